//! Rank 0's loop: look at the outside, ask [`next`] what to do, do it, report. It holds the outer state and talks to gateway
//! and store; judgement is in `next`, arithmetic in `outer`, tensors in `rank`.
mod acts;
mod agreement;
mod commits;
mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coalition_outer::{OuterState, VectorLayout};
use coalition_protocol::history::View;
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::messages::{Offer, StateReport, StepOffer, StoredCheckpoint, TrainerReport};
use coalition_protocol::{Digest, Seq, SiteId, exit, leave};
use coalition_spec::RunSpec;
use coalition_store::log::{LogWriter, SiteEntry};
use coalition_store::{BlockingStore, StoreError};

use agreement::Kept;
pub use session::{Ground, lead};

use super::cursor::Cursor;
use super::decisions::{Decision, announce};
use super::next::{Action, Fence, Leave, Outside, Situation, next};
use super::progress::Meter;
use super::rank::{Done, Rank};
use super::report::Reporter;
use super::watch::{Seen, Watch};
use crate::alive::turned;
use crate::config::Flip;
use crate::failure::{Failure, Stop};
use crate::once::Once;

/// Between looks while nothing happens; a change of the view ends a pause at once.
const LOOK: Duration = Duration::from_millis(500);
/// How often the store is looked through for run checkpoints that a courier brought.
const LOOK_FOR_BASES: Duration = Duration::from_secs(2);

/// A contribution or step that stands and is reported.
#[derive(Clone, Debug)]
enum Offered {
    Contribution(Offer),
    Step(StepOffer),
}

impl Offered {
    const fn plan(&self) -> Seq {
        match self {
            Self::Contribution(o) => o.key.plan,
            Self::Step(s) => s.plan,
        }
    }
    const fn entry(&self) -> u64 {
        match self {
            Self::Contribution(o) => o.key.entry,
            Self::Step(s) => s.entry,
        }
    }
}

/// Rank 0.
pub struct Leader<'a, 'b> {
    rank: &'a mut Rank<'b>,
    store: &'a BlockingStore,
    watch: &'a Watch,
    reporter: Reporter,
    spec: RunSpec,
    site: SiteId,
    layout: VectorLayout,
    class: Digest,
    fence: Fence,
    log: LogWriter,
    cursor: Cursor,
    outer: OuterState,
    state: StateReport,
    before: Option<Kept>,
    /// What was held when nothing here could put a contradicted state right.
    helpless: Option<Arc<BTreeSet<ContributionKey>>>,
    /// Test switch.
    flip: Option<Flip>,
    saved: Option<(Cursor, SiteEntry)>,
    saved_at: Instant,
    offered: Option<Offered>,
    stored: BTreeMap<Seq, StoredCheckpoint>,
    /// Run checkpoints that do not count, as told last.
    passed_by: Once,
    /// What the store did not take, as told last.
    refused: Once,
    looked_for_bases: Instant,
    meter: Meter,
    waiting_for: String,
    /// What the other ranks do not have yet.
    unshared: Option<Decision>,
    terminate: bool,
    terminated_at: Option<Instant>,
    suspended: bool,
}

impl Leader<'_, '_> {
    /// Leads until the gang parts; gives the exit code.
    fn run(&mut self) -> Result<u8, Stop> {
        loop {
            turned();
            let seen = self.watch.now();
            if let Some(why) = &seen.broken {
                return Err(Failure::new(exit::TRY_AGAIN, why.clone()).into());
            }
            if let Some(why) = self.reporter.refused() {
                self.announce(&Decision::Leave { code: None })?;
                return Err(Stop::Rejoin(why));
            }
            self.terminate |= seen.terminate;
            if self.terminate && self.terminated_at.is_none() {
                self.terminated_at = Some(Instant::now());
            }
            let (Some(view), Some(site_run)) = (seen.view.clone(), seen.site_run.clone()) else {
                self.wait(&seen, "the gateway's first answer")?;
                continue;
            };
            if view.state(self.cursor.applied).is_some_and(|(fixed, _)| fixed == self.cursor.state) {
                self.before = None;
            }
            let action = {
                let stored = self.stored.keys().copied().collect();
                let outside = Outside {
                    view: &view,
                    desired: site_run.desired,
                    fence: Fence {
                        epoch: site_run.epoch,
                        incarnation: site_run.incarnation,
                        attempt: seen.attempt.max(self.fence.attempt),
                    },
                    store_lost: seen.store_lost,
                    held: &seen.held,
                    save: &site_run.save,
                    disagreement: self.disputed(&view, &site_run, &seen.held),
                    refuted: self.refuted(&view).is_some(),
                    terminate: self.terminate,
                };
                next(&self.situation(&stored), &outside)
            };
            if !matches!(action, Action::Wait(_)) {
                self.waiting_for.clear();
            }
            match self.act(&seen, &view, action) {
                Ok(None) => self.refused = Once::default(),
                Ok(Some(code)) => return Ok(code),
                Err(acts::Undone::Later(e)) => self.try_later(&seen, &e)?,
                Err(acts::Undone::Stop(s)) => return Err(s),
            }
        }
    }

    fn situation<'s>(&'s self, stored: &'s BTreeSet<Seq>) -> Situation<'s> {
        Situation {
            site: &self.site,
            fence: self.fence,
            cursor: &self.cursor,
            rows: self.rows(),
            offered: self.offered.as_ref().map(Offered::plan),
            saved: self.saved.as_ref().map(|(c, _)| c),
            since_saved: self.saved_at.elapsed().as_millis() as u64,
            stored,
            interval: self.spec.checkpoint.interval,
            keep_every: self.spec.checkpoint.keep_every_rounds,
            measures: self.rank.body.measures(),
        }
    }

    /// Samples of an inner step.
    fn rows(&self) -> u64 {
        (self.spec.training.batch_tokens / self.spec.data.sequence_length as u64).max(1)
    }

    /// A store that does not take something now may take it later; SIGTERM does not wait for that for long.
    fn try_later(&mut self, seen: &Seen, e: &StoreError) -> Result<(), Stop> {
        if !e.is_transient() || self.terminated_at.is_some_and(|t| t.elapsed() > leave::SAVE) {
            return Err(Failure::new(e.exit_code(), e.to_string()).into());
        }
        self.refused.warn(e.to_string());
        self.wait(seen, &format!("its store: {e}"))
    }

    /// Carries out a decision on all ranks, this one included.
    fn together(&mut self, decision: &Decision) -> Result<Done, Stop> {
        self.announce(decision)?;
        let mut theta = if *decision == Decision::Evaluate { self.outer.theta().to_vec() } else { Vec::new() };
        self.rank.perform(decision, &mut theta)
    }

    fn announce(&mut self, decision: &Decision) -> Result<(), Stop> {
        announce(self.rank.comm.as_mut(), decision)
    }

    /// Gives the other ranks what they lack, before they use it.
    fn share(&mut self) -> Result<(), Stop> {
        match self.unshared.take() {
            Some(decision) => self.together(&decision).map(|_| ()),
            None => Ok(()),
        }
    }

    fn wait(&mut self, seen: &Seen, why: &str) -> Result<(), Stop> {
        why.clone_into(&mut self.waiting_for);
        self.meter.waits(why);
        self.report(seen);
        if self.rank.comm.world() > 1
            && let Done::Nothing(told) = self.together(&Decision::Idle)?
        {
            self.terminate |= told;
        }
        self.watch.changed(seen.version, LOOK);
        if self.looked_for_bases.elapsed() > LOOK_FOR_BASES
            && let Some(view) = &seen.view
        {
            self.look_for_bases(view)?;
        }
        Ok(())
    }

    fn look_for_bases(&mut self, view: &View) -> Result<(), Stop> {
        self.looked_for_bases = Instant::now();
        match super::checkpointing::stored(self.store, view, &mut self.passed_by) {
            Ok(found) => {
                let found = found.into_iter().map(|c| (c.seq, c)).collect();
                if self.stored != found {
                    self.helpless = None;
                }
                self.stored = found;
                Ok(())
            }
            Err(e) if e.is_transient() => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Hands the newest report to the sender.
    fn report(&mut self, seen: &Seen) {
        let Some(head) = seen.head_at(self.cursor.applied) else { return };
        let inner_steps = seen
            .view
            .as_ref()
            .and_then(|v| v.plan(self.cursor.plan?)?.part(&self.site).map(|p| p.inner_steps))
            .unwrap_or(0);
        let (mut offers, mut step) = (Vec::new(), None);
        match &self.offered {
            Some(Offered::Contribution(o)) => offers.push(o.clone()),
            Some(Offered::Step(s)) => step = Some(s.clone()),
            None => {}
        }
        self.reporter.submit(TrainerReport {
            epoch: self.fence.epoch,
            incarnation: self.fence.incarnation,
            attempt: self.fence.attempt,
            counter: 0,
            head,
            state: Some(self.state.clone()),
            offers,
            step,
            checkpoints: self.stored.values().cloned().collect(),
            progress: self.meter.report(&self.cursor, inner_steps, &self.waiting_for),
            saved: self.suspended,
        });
    }

    fn leave(&mut self, seen: &Seen, how: Leave) -> Result<u8, Stop> {
        let code = match how {
            Leave::Finished => exit::FINISHED,
            Leave::Saved => {
                self.suspended = true;
                exit::STOPPED
            }
            Leave::Stopped => exit::GATEWAY,
            Leave::Rejoin(why) => {
                self.announce(&Decision::Leave { code: None })?;
                return Err(Stop::Rejoin(why));
            }
        };
        self.waiting_for.clear();
        self.report(seen);
        if !self.reporter.flush(leave::REPORT) {
            tracing::warn!("the last report did not reach the gateway in {} s", leave::REPORT.as_secs());
        }
        self.announce(&Decision::Leave { code: Some(code) })?;
        Ok(code)
    }
}
