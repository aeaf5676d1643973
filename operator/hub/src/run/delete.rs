//! The end of a TrainingRun's object: its sites are told to stop, and it goes once they did, or are not there to be asked. Must not
//! touch checkpoints: they outlive their run.
//!
//! Why this is safe without a record: nothing commits but by a record that a hub appends, and no hub appends to the history of
//! an object that is being deleted. A run that is created again under the same name has another identity (`names::run_id`),
//! so another history, other SiteRuns and other keys in every store: what an unreachable site still does counts for nothing.
use coalition_crds::TrainingRun;
use coalition_protocol::RunId;
use kube::Resource as _;

use super::{Keeper, LONGEST, Next, PassError};
use crate::apply::FINALIZER;
use crate::stop::{self, State};

/// How long a site that is heard may take to stop, milliseconds: longer than the longest step (`planner::standing` counts a
/// gang as hanging after as long).
const PATIENCE: u64 = 120_000;

impl Keeper {
    pub(super) async fn delete(&mut self, object: &TrainingRun, id: &RunId) -> Result<Next, PassError> {
        // Nothing is decided any more.
        self.run = None;
        let ours = object.meta().finalizers.as_ref().is_some_and(|f| f.iter().any(|f| f == FINALIZER));
        if !ours {
            return Ok(Next::Within(LONGEST));
        }
        let now = self.leader.sources.heard.now();
        let since = *self.deleting.get_or_insert(now);
        if !self.remove_all(object, id).await? && now.since(since) < PATIENCE {
            return Ok(Next::Within(stop::LOOK));
        }
        let others = object.meta().finalizers.iter().flatten().filter(|f| *f != FINALIZER).cloned().collect();
        self.set_finalizers(object, others).await?;
        tracing::info!("its sites have stopped or are not heard; the run's object may go");
        Ok(Next::Within(LONGEST))
    }

    /// Removes what was asked of sites, as far as they confirmed that they stopped. True once nothing is left to wait for: what
    /// then remains is of sites that are not heard, and goes when they are (`strays`).
    pub(super) async fn remove_all(&mut self, object: &TrainingRun, id: &RunId) -> Result<bool, PassError> {
        let mut done = true;
        for asked in self.leader.sources.asked_for(id) {
            if asked.spec.training_run.uid != object.meta().uid.clone().unwrap_or_default() {
                continue;
            }
            match stop::bring_on(&self.leader, &asked).await? {
                State::Removed => {}
                State::Stopping => done = false,
                State::Unheard => {
                    tracing::info!(site = %asked.spec.message.site, "it is not heard: its SiteRun stays, marked")
                }
            }
        }
        Ok(done)
    }
}
