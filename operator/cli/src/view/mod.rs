//! The live view of a run: bars on a terminal, lines elsewhere. Shows snapshots; knows nothing of how they come about.
mod bars;
pub mod fit;
mod lines;

use std::io::IsTerminal;
use std::sync::Arc;

use coalition_local::{Runner, Snapshot, Told};
use tokio::sync::watch;

/// Events that were not shown yet.
#[derive(Debug, Default)]
pub struct News {
    shown: Option<Told>,
}

impl News {
    /// What was told after the last call, oldest first.
    pub fn of(&mut self, s: &Snapshot) -> Vec<Told> {
        let from = self.shown.as_ref().and_then(|last| s.events.iter().rposition(|e| e == last)).map_or(0, |n| n + 1);
        self.shown = s.events.last().cloned().or(self.shown.take());
        s.events[from..].to_vec()
    }
    /// Takes all that was told before as shown.
    pub fn skip(&mut self, s: &Snapshot) {
        self.shown = s.events.last().cloned();
    }
}

/// Follows a run until it is dropped or the runner ends.
pub async fn follow(runner: &Runner, plain: bool) {
    let snapshot: watch::Receiver<Arc<Snapshot>> = runner.snapshot();
    if plain || !std::io::stderr().is_terminal() {
        lines::follow(snapshot).await;
    } else {
        bars::follow(snapshot).await;
    }
}
