//! One bar for the run, one line a site, events above them.
use std::sync::Arc;
use std::time::Duration;

use coalition_local::Snapshot;
use coalition_planner::status::SiteState;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::watch;

use crate::show;
use crate::style;
use crate::view::News;

/// Redrawn at most so often.
const FRAME: Duration = Duration::from_millis(100);

/// Follows until the sender is gone.
pub async fn follow(mut snapshot: watch::Receiver<Arc<Snapshot>>) {
    let all = MultiProgress::new();
    let plain = ProgressStyle::with_template("  {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    // Coloured by the template: the message alone is cut to the width of the terminal.
    let warning = match ProgressStyle::with_template("  {wide_msg:.yellow}") {
        Ok(style) if style::is_on() => style,
        _ => plain.clone(),
    };
    let run = all.add(ProgressBar::new(1));
    if let Ok(bar) = ProgressStyle::with_template("{prefix:.bold} [{bar:30}] {percent:>3} %  {wide_msg}") {
        run.set_style(bar.progress_chars("=> "));
    }
    let mut sites: Vec<ProgressBar> = Vec::new();
    let mut news = News::default();
    news.skip(&snapshot.borrow());
    loop {
        let now = snapshot.borrow_and_update().clone();
        for told in news.of(&now) {
            let text = format!("[{}] {}", show::duration(told.seconds), told.event.message);
            let _ = all.println(if told.event.warning { style::warning(&text) } else { style::faint(&text) });
        }
        run.set_length(now.status.budget.max(1));
        run.set_position(now.status.tokens);
        run.set_prefix(now.run.to_string());
        run.set_message(message(&now));
        while sites.len() < now.status.sites.len() {
            let bar = all.add(ProgressBar::new_spinner());
            bar.set_style(plain.clone());
            sites.push(bar);
        }
        for (bar, line) in sites.iter().zip(&now.status.sites) {
            bar.set_style(match line.state {
                SiteState::Silent | SiteState::SetAside | SiteState::Retired => warning.clone(),
                _ => plain.clone(),
            });
            bar.set_message(show::site(line));
        }
        tokio::time::sleep(FRAME).await;
        if snapshot.changed().await.is_err() {
            return;
        }
    }
}

fn message(s: &Snapshot) -> String {
    let mut parts = vec![format!("{}, {} committed", show::phase(s.status.phase), show::rounds(s.status.round.0))];
    if s.status.loss.is_some() {
        parts.push(format!("loss {} nats/token", show::loss(s.status.loss)));
    }
    if let Some((_, now)) = show::bits(s) {
        parts.push(format!("held-out {now:.3} bits/byte"));
    }
    if s.status.tokens_per_second.is_some() {
        parts.push(show::speed(s.status.tokens_per_second));
    }
    if let Some(eta) = s.status.eta_seconds {
        parts.push(format!("{} left", show::duration(eta as f64)));
    }
    parts.join("  ")
}
