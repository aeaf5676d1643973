//! How a runner ends: it waits for the hub, for sites that save, and says which of them did not. Must not know who asked.
use std::sync::PoisonError;
use std::time::Duration;

use coalition_planner::status::Phase;
use coalition_protocol::{SiteId, leave};
use tokio::time::{Instant, timeout};

use super::Runner;
use crate::hub::snapshot::Snapshot;
use crate::{LocalError, durable, stop};

/// How long workers may take to confirm the end and leave by themselves, before they are stopped.
const LEAVE: Duration = Duration::from_secs(20);
/// For how long no process may run before a stop no longer waits for word of having saved: none can come any more. Longer
/// than a report takes to be written, and than the pause before a supervisor that failed is started again.
const NOBODY: Duration = Duration::from_secs(1);

/// How a runner ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The run reached its budget.
    Complete,
    /// The run failed, or ran out of time.
    Failed,
    /// Everything is saved; `resume` goes on.
    Suspended,
    /// Stopped before these sites had said that they saved: their next start goes on from their last site checkpoint.
    Unsaved(Vec<SiteId>),
}

impl Runner {
    /// Waits for the end of the run or of a stop, and for the workers to leave. Sites that could not save in time are killed:
    /// that costs work since their last site checkpoint, nothing else.
    pub async fn finished(&self) -> Result<Ending, LocalError> {
        let hub = self.hub.lock().await.take();
        let Some(hub) = hub else { return Err(LocalError::Bug("the end was waited for twice".to_owned())) };
        let mut hub = hub;
        let (ended, in_time) = tokio::select! {
            ended = &mut hub => (ended, true),
            () = self.overdue() => {
                self.enough.send_replace(true);
                (hub.await, false)
            }
        };
        let outcome = ended.unwrap_or_else(|e| Err(LocalError::Bug(format!("the hub's loop ended: {e}"))));
        if let Err(e) = outcome {
            // Without a hub nobody tells the workers to leave, and whoever waits shall hear why at once.
            self.shut_down().await;
            return Err(e);
        }
        // Sites whose grace is over have had their time.
        let left = in_time && timeout(LEAVE, self.wait_until_left()).await.is_ok();
        tracing::debug!(in_time, left, "workers left");
        let unsaved = self.unsaved();
        self.shut_down().await;
        let last = self.snapshot.borrow().clone();
        match last.status.phase {
            Phase::Complete => Ok(Ending::Complete),
            Phase::Failed => Ok(Ending::Failed),
            _ => self.settle(&last, unsaved),
        }
    }

    /// Sites that ran when the stop was asked for, or since, and have not said that their workers saved and left.
    fn unsaved(&self) -> Vec<SiteId> {
        let inbox = self.exchange.inbox();
        let saved = |x: &SiteId| inbox.get(x).and_then(|i| i.report.as_ref()).is_some_and(|r| r.gang.stopped);
        let ran = self.ran.lock().unwrap_or_else(PoisonError::into_inner);
        ran.iter().filter(|x| !saved(x)).cloned().collect()
    }

    /// Leaves in the status what whoever asked for the stop reads there: the hub that writes it has ended.
    fn settle(&self, last: &Snapshot, unsaved: Vec<SiteId>) -> Result<Ending, LocalError> {
        let mut last = last.clone();
        last.unsaved.clone_from(&unsaved);
        if unsaved.is_empty() {
            last.status.phase = Phase::Suspended;
            last.status.message = String::from("suspended: what ran is saved; resume to go on exactly from here");
        } else {
            last.status.phase = Phase::Suspending;
            last.status.message = format!("stopped: {}", stop::unsaved(&unsaved));
        }
        durable::replace_view(&self.setup.layout.status(), &last)?;
        Ok(if unsaved.is_empty() { Ending::Suspended } else { Ending::Unsaved(unsaved) })
    }

    /// Returns once a stop was asked for and need not be waited for any longer: a site without power, or whose workers never
    /// joined, never says that it saved. Whoever asked for a stop must get one, within the grace that a pod has.
    async fn overdue(&self) {
        // The sender lives as long as this runner.
        let _ = self.suspend.subscribe().wait_for(|asked| *asked).await;
        let latest = Instant::now() + leave::GRACE;
        let mut poll = tokio::time::interval(Duration::from_millis(50));
        let mut busy = Instant::now();
        while Instant::now() < latest && busy.elapsed() < NOBODY {
            poll.tick().await;
            let running = self.processes().await;
            if !running.is_empty() {
                busy = Instant::now();
            }
            self.ran.lock().unwrap_or_else(PoisonError::into_inner).extend(running.into_iter().map(|p| p.site));
        }
    }

    async fn wait_until_left(&self) {
        let mut poll = tokio::time::interval(Duration::from_millis(50));
        while !self.processes().await.is_empty() {
            poll.tick().await;
        }
    }
}
