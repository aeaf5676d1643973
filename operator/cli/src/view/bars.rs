//! One bar for the run, one line a site, events above them.
use std::sync::Arc;
use std::time::Duration;

use coalition_local::Snapshot;
use coalition_planner::status::{Phase, SiteState};
use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::watch;

use crate::show;
use crate::style;
use crate::view::News;
use crate::view::fit::{Part, fit};

/// Redrawn at most so often.
const FRAME: Duration = Duration::from_millis(100);
/// Columns of the run's line beside name, bar and words: ` [`, `] `, three digits and ` %  `.
const FIXED: usize = 11;
/// Columns before a site's line.
const INDENT: usize = 2;

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
    let mut drawn = 0;
    let mut sites: Vec<ProgressBar> = Vec::new();
    let mut news = News::default();
    news.skip(&snapshot.borrow());
    loop {
        let now = snapshot.borrow_and_update().clone();
        for told in news.of(&now) {
            let text = format!("[{}] {}", show::duration(told.seconds), told.event.message);
            let _ = all.println(if told.event.warning { style::warning(&text) } else { style::faint(&text) });
        }
        let columns = columns();
        if columns != drawn {
            drawn = columns;
            let template = format!("{{prefix:.bold}} [{{bar:{}}}] {{percent:>3}} %  {{wide_msg}}", bar(columns));
            if let Ok(style) = ProgressStyle::with_template(&template) {
                run.set_style(style.progress_chars("=> "));
            }
        }
        run.set_length(now.status.budget.max(1));
        run.set_position(now.status.tokens);
        run.set_prefix(now.run.to_string());
        run.set_message(message(&now, columns.saturating_sub(now.run.as_str().len() + bar(columns) + FIXED)));
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
            bar.set_message(show::site(&now, line, columns.saturating_sub(INDENT)));
        }
        tokio::time::sleep(FRAME).await;
        if snapshot.changed().await.is_err() {
            return;
        }
    }
}

/// The run's line, in the columns that are left beside its bar.
fn message(s: &Snapshot, width: usize) -> String {
    let usual = matches!(s.status.phase, Phase::Starting | Phase::Training);
    let mut parts = vec![
        Part::new(if usual { 3 } else { 1 }, show::phase(s.status.phase)),
        Part::new(4, format!("{} committed", show::rounds(s.status.round.0))),
    ];
    if s.status.loss.is_some() {
        parts.push(Part::new(2, format!("loss {} nats/token", show::loss(s.status.loss))));
    }
    parts.extend(show::held_out(s).map(|text| Part::new(5, text)));
    parts.extend(show::pace(s).into_iter().map(|text| Part::new(1, text)));
    fit(&parts, width)
}

/// Columns of the terminal.
fn columns() -> usize {
    usize::from(Term::stderr().size().1)
}

/// Columns of the bar itself: a tenth of the terminal, as the words beside it say more.
fn bar(columns: usize) -> usize {
    (columns / 10).clamp(5, 30)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn speed_and_time_left_stay_on_narrow_terminals() {
        let s: Snapshot = serde_json::from_value(serde_json::json!({
            "run": "quickstart", "runner": 1, "seconds": 60.0, "events": [], "spent": {},
            "evaluations": [{"of": 0, "loss": "5.2", "bitsPerByte": "7.527"}],
            "measured": {"of": 0, "round": 0, "tokens": 0},
            "status": {
                "phase": "Training", "reason": "RoundInProgress", "message": "", "head": null, "tokens": 1000, "budget": 4000,
                "round": 12, "leftOut": 0, "loss": "5.123", "tokensPerSecond": "12500.0", "etaSeconds": 200, "sites": [],
                "checkpoint": null, "restartsCharged": 0, "restartsInfrastructure": 0
            }
        }))
        .unwrap();
        let all = message(&s, 200);
        assert_eq!(
            all,
            "training  12 rounds committed  loss 5.123 nats/token  held-out 7.527 bits/byte (round 0)  12.5k tokens/s  \
             3 min 20 s left"
        );
        for columns in [80, 100, 120, 160] {
            // The bar, its brackets, its percentage and the gaps.
            let width = columns - "quickstart".len() - bar(columns) - FIXED;
            let line = message(&s, width);
            assert!(line.len() <= width && line.ends_with("12.5k tokens/s  3 min 20 s left"), "{columns}: {line}");
        }
    }
}
