//! Plain lines: an event when it happens, a line for the run and each site when something changed, at most one group every
//! few seconds. Lines end up in files: each begins with the time of day.
use std::sync::Arc;
use std::time::Duration;

use coalition_local::Snapshot;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::out::note;
use crate::show;
use crate::view::News;

/// Least time between two groups of lines.
const EVERY: Duration = Duration::from_secs(5);

/// Follows until the sender is gone.
pub async fn follow(mut snapshot: watch::Receiver<Arc<Snapshot>>) {
    let mut news = News::default();
    news.skip(&snapshot.borrow());
    let mut last: Option<(Instant, Vec<String>)> = None;
    loop {
        let now = snapshot.borrow_and_update().clone();
        for told in news.of(&now) {
            let mark = if told.event.warning { "! " } else { "" };
            note!("{} [{}] {mark}{}", show::time_of_day(), show::duration(told.seconds), told.event.message);
        }
        let group: Vec<String> = std::iter::once(show::run(&now, true))
            .chain(now.status.sites.iter().map(|l| format!("  {}", show::site(&now, l, usize::MAX))))
            .collect();
        let due = last.as_ref().is_none_or(|(at, lines)| at.elapsed() >= EVERY && *lines != group);
        if due {
            for line in &group {
                note!("{} {line}", show::time_of_day());
            }
            last = Some((Instant::now(), group));
        }
        if snapshot.changed().await.is_err() {
            return;
        }
    }
}
