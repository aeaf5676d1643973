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
    let plain = ProgressStyle::with_template("  {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    let run = all.add(ProgressBar::new(1));
    if let Ok(bar) = ProgressStyle::with_template("{prefix:.bold} [{bar:30}] {percent:>3} %  {msg}") {
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
            let text = show::site(line);
            bar.set_message(match line.state {
                SiteState::Silent | SiteState::SetAside | SiteState::Retired => style::warning(&text),
                _ => text,
            });
        }
        tokio::time::sleep(FRAME).await;
        if snapshot.changed().await.is_err() {
            return;
        }
    }
}

fn message(s: &Snapshot) -> String {
    let mut parts = vec![format!("{}, round {}", show::phase(s.status.phase), s.status.round.0)];
    if s.status.loss.is_some() {
        parts.push(format!("loss {}", show::loss(s.status.loss)));
    }
    if let Some((_, now)) = show::bits(s) {
        parts.push(format!("{now:.3} bits/byte"));
    }
    if s.status.tokens_per_second.is_some() {
        parts.push(show::speed(s.status.tokens_per_second));
    }
    if let Some(eta) = s.status.eta_seconds {
        parts.push(format!("{} left", show::duration(eta as f64)));
    }
    parts.join("  ")
}
