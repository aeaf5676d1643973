//! Taking part in what was committed: applying records in order, going to a later base. Every act may be repeated after a
//! failure. Must not decide which.
use coalition_outer::{OuterState, Vector, shift};
use coalition_protocol::history::{Commit, View};
use coalition_protocol::record::{Outer, Step};
use coalition_protocol::{Round, Seq, exit, keys};
use coalition_store::{StoreError, contribution, run_checkpoint};

use super::Leader;
use super::acts::Undone;
use super::agreement::Kept;
use crate::config::When;
use crate::failure::{Failure, Stop};
use crate::worker::cursor::WARMUP;
use crate::worker::decisions::Decision;
use crate::worker::effect::{Effect, effect};
use crate::worker::outer_state::after;

impl Leader<'_, '_> {
    pub(super) fn apply(&mut self, view: &View, seq: Seq) -> Result<(), Undone> {
        let Some((_, round, commit)) = view.commits().find(|(s, ..)| *s == seq) else {
            return Err(Failure::bug(format!("record {seq} is no commit")).into());
        };
        match commit {
            Commit::Outer(o) => self.apply_outer(view, seq, round, o),
            Commit::Step(s) => self.apply_step(seq, round, s),
            Commit::Genesis => Err(Failure::bug("genesis is applied from the start").into()),
        }
    }

    fn apply_outer(&mut self, view: &View, seq: Seq, round: Round, outer: &Outer) -> Result<(), Undone> {
        let next = match after(self.store, view, &self.outer, outer) {
            Ok(next) => next,
            Err(e @ (StoreError::Damaged { .. } | StoreError::NotFound { .. })) => {
                return Err(self.drop_damaged(view, outer, &e)?);
            }
            Err(e) => return Err(e.into()),
        };
        let effect = effect(outer, &self.site, self.fence.incarnation, &self.cursor);
        let included = outer.included.iter().any(|i| i.key.site == self.site);
        match effect {
            Effect::Shift => {
                self.leave_plan(view);
                let x = self.rank.body.trainer.params_mut();
                shift(x, self.outer.theta(), next.theta()).map_err(Stop::from)?;
                self.share_parameters();
                self.moved_to(seq, round, next);
            }
            Effect::Take | Effect::Drop => {
                self.cursor.settle();
                self.moved_to(seq, round, next);
                self.take_theta()?;
            }
        }
        if !included && self.cursor.stale_at(round) {
            self.reset_moments(round);
        }
        Ok(())
    }

    /// A contribution that this store holds damaged: without its manifest it is not held, and the courier fetches it again.
    /// Gives what the act that found it ends with.
    pub(super) fn drop_damaged(&self, view: &View, outer: &Outer, why: &StoreError) -> Result<Undone, Undone> {
        tracing::warn!("{why}; it is fetched again from another holder");
        for i in &outer.included {
            let loaded = self.store.wait(contribution::load(self.store.store(), view.run(), &i.key, Some(i.digest)));
            if matches!(loaded, Err(StoreError::Damaged { .. })) {
                let folder = keys::contribution(view.run(), &i.key);
                for name in [keys::MANIFEST, keys::CONTRIBUTION_DATA] {
                    self.store.wait(self.store.store().delete(&format!("{folder}/{name}")))?;
                }
            }
        }
        Ok(Undone::Later(StoreError::Unreachable {
            store: self.store.store().name().to_owned(),
            key: format!("the contributions to round {}", outer.round),
            reason: why.to_string(),
        }))
    }

    fn apply_step(&mut self, seq: Seq, round: Round, record: &Step) -> Result<(), Undone> {
        let next = self.outer.after_step(self.rank.body.trainer.params().to_vec()).map_err(Stop::from)?;
        let digest = next.digest();
        if digest != record.state {
            return Err(Failure::new(
                exit::CHECKPOINT,
                format!(
                    "the step of round {round} gives state {digest}, record {seq} says {}: the site checkpoint it names \
                     ({}) is not the one this site stands on",
                    record.state, record.checkpoint
                ),
            )
            .into());
        }
        self.cursor.settle();
        self.moved_to(seq, round, next);
        Ok(())
    }

    /// The outer state is now `next`, after `seq`.
    fn moved_to(&mut self, seq: Seq, round: Round, mut next: OuterState) {
        self.fault(round, When::Computed, &mut next);
        let report = next.report(seq);
        self.fault(round, When::Kept, &mut next);
        let left = Kept::new(std::mem::replace(&mut self.outer, next), std::mem::replace(&mut self.state, report));
        // What an older commit led from stays until a digest after it is fixed (D4).
        self.before.get_or_insert(left);
        self.helpless = None;
        self.cursor.applied = seq;
        self.cursor.round = round;
        self.cursor.state = self.state.digest;
        self.offered = None;
    }

    pub(super) fn leave_plan(&mut self, view: &View) {
        let rows = self.rows();
        let plan = self.cursor.plan.and_then(|seq| view.plan(seq));
        self.cursor.leave_plan(plan, &self.site, rows);
        self.offered = None;
    }

    pub(super) fn take_theta(&mut self) -> Result<(), Undone> {
        self.rank.body.trainer.set_params(self.outer.theta()).map_err(Stop::from)?;
        self.share_parameters();
        Ok(())
    }

    pub(super) fn share_parameters(&mut self) {
        // State includes parameters; it stays due if it was.
        self.unshared.get_or_insert(Decision::Parameters);
    }

    fn reset_moments(&mut self, round: Round) {
        if self.rank.body.trainer.adam_count() > 0 {
            self.meter.zeroed();
        }
        self.rank.body.trainer.reset_moments();
        self.cursor.warmup_left = WARMUP;
        self.cursor.trained_round = round;
        self.unshared = Some(Decision::State { adam_count: 0 });
    }

    /// A switch of tests: a bit flips once.
    fn fault(&mut self, round: Round, when: When, state: &mut OuterState) {
        if let Some(f) = self.flip.take_if(|f| f.round == round.0 && f.when == when) {
            tracing::warn!("a test flips a bit of chunk {} of the state of round {round}", f.chunk);
            flip(state, f.chunk);
        }
    }

    pub(super) fn jump(&mut self, view: &View, seq: Seq) -> Result<(), Undone> {
        let Some((_, round, _)) = view.commits().find(|(s, ..)| *s == seq) else {
            return Err(Failure::bug(format!("record {seq} is no commit")).into());
        };
        let loaded = self.store.wait(run_checkpoint::load(self.store.store(), view.run(), seq, &self.layout));
        let state = match loaded {
            Ok((_, state)) if view.state(seq).is_none_or(|(fixed, _)| fixed == state.digest()) => state,
            Ok(_) | Err(StoreError::Damaged { .. } | StoreError::NotFound { .. }) => {
                tracing::warn!("run checkpoint {seq} is not what it must be: unmade, to be fetched again");
                self.stored.remove(&seq);
                // As long as its manifest stands, it would be found again, and no other copy would be brought.
                self.store.wait(run_checkpoint::unmake(self.store.store(), view.run(), seq))?;
                return Ok(());
            }
            Err(e) => return Err(e.into()),
        };
        self.cursor.settle();
        self.moved_to(seq, round, state);
        self.before = None;
        self.take_theta()?;
        if self.cursor.stale_at(round) {
            self.reset_moments(round);
        }
        Ok(())
    }
}

fn flip(state: &mut OuterState, n: usize) {
    let Some((vector, k)) = state.place(n) else { return };
    let (mut theta, mut u) = state.piece(k).into_parts();
    let list = if vector == Vector::Theta { &mut theta } else { &mut u };
    if let Some(x) = list.first_mut() {
        *x = f32::from_bits(x.to_bits() ^ 1 << 22);
    }
    if let Ok(piece) = OuterState::new(theta, u) {
        let _ = state.replace_chunk(n, &piece);
    }
}
