//! O = (θ, u) after any commit, from what the own store holds: a base and the contributions since (D20), each proved. Must
//! not know inner state.
use coalition_outer::{OuterState, Rule, VectorLayout, Weighted};
use coalition_protocol::history::{Commit, View};
use coalition_protocol::record::Outer;
use coalition_protocol::{Seq, exit, keys};
use coalition_spec::run::Base;
use coalition_store::{BlockingStore, StoreError, contribution, run_checkpoint};

use crate::alive::turned;
use crate::failure::{Failure, Stop};

/// Where outer states come from.
pub struct Source<'a> {
    /// The own store.
    pub store: &'a BlockingStore,
    /// The history.
    pub view: &'a View,
    /// The layout.
    pub layout: &'a VectorLayout,
    /// Where the run begins.
    pub beginning: Beginning<'a>,
}

/// Where a run begins: O at genesis.
pub enum Beginning<'a> {
    /// With this drawn θ and no momentum (D2).
    Drawn(&'a [f32]),
    /// With the state that another run left, if the store has it.
    From(&'a Base),
}

impl Beginning<'_> {
    /// O at genesis; none if this store does not have it.
    fn state(&self, store: &BlockingStore, layout: &VectorLayout) -> Result<Option<OuterState>, Stop> {
        let base = match self {
            Self::Drawn(theta) => return Ok(Some(OuterState::initial(theta.to_vec()))),
            Self::From(base) => base,
        };
        let what = format!("run checkpoint {} of run {}, with which this run begins,", base.seq, base.run);
        match store.wait(run_checkpoint::load(store.store(), &base.run, base.seq, layout)) {
            Ok((_, state)) if state.digest() == base.state => Ok(Some(state)),
            Ok((_, state)) => {
                tracing::warn!(
                    "{what} has state {} here, and must have {}: it is passed by",
                    state.digest(),
                    base.state
                );
                Ok(None)
            }
            Err(e @ (StoreError::NotFound { .. } | StoreError::Damaged { .. })) => {
                tracing::warn!("{what} is passed by: {e}");
                Ok(None)
            }
            Err(e) => Err(e.into()),
        }
    }

    /// What to do where not even the beginning is there.
    fn way_out(&self) -> String {
        match self {
            Self::Drawn(_) => "not even the initial one".to_owned(),
            Self::From(base) => format!(
                "and the one it begins with is not in this store, or not what it must be: copy `{}` there from the store of a \
                 site that has it",
                keys::checkpoint(&base.run, base.seq)
            ),
        }
    }
}

impl From<StoreError> for Stop {
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::Fenced { .. } => Self::Rejoin(e.to_string()),
            e => Self::Exit(Failure::new(e.exit_code(), e.to_string())),
        }
    }
}

/// Reads the contributions that `outer` includes and applies them to `before` (D15).
pub fn after(store: &BlockingStore, view: &View, before: &OuterState, outer: &Outer) -> Result<OuterState, StoreError> {
    let mut parts = Vec::with_capacity(outer.included.len());
    for i in &outer.included {
        turned();
        let (_, delta) = store.wait(contribution::load(store.store(), view.run(), &i.key, Some(i.digest)))?;
        if delta.len() != before.theta().len() {
            return Err(StoreError::Damaged {
                store: store.store().name().to_owned(),
                key: i.key.to_string(),
                expected: format!("{} elements", before.theta().len()),
                got: format!("{} elements", delta.len()),
            });
        }
        parts.push((delta, i.tokens));
    }
    let weighted: Vec<Weighted<'_>> = parts.iter().map(|(delta, tokens)| Weighted { delta, tokens: *tokens }).collect();
    before.after(&weighted, &Rule::of(view.genesis())).map_err(|e| StoreError::BadValue {
        key: format!("the outer step of plan {}", outer.plan),
        reason: e.to_string(),
    })
}

impl Source<'_> {
    /// The state after `target`, if the store has what it takes. A damaged object counts as absent, and is told.
    pub fn at(&self, target: Seq) -> Result<Option<OuterState>, Stop> {
        Ok(self.best_of_bases(target, |_| true)?.filter(|(seq, _)| *seq == target).map(|(_, o)| o))
    }

    /// The same, from bases whose state is fixed only: one that this site wrote itself proves nothing about its own value.
    pub fn proved(&self, target: Seq) -> Result<Option<OuterState>, Stop> {
        let fixed = |base: Seq| self.view.state(base).is_some();
        Ok(self.best_of_bases(target, fixed)?.filter(|(seq, _)| *seq == target).map(|(_, o)| o))
    }

    /// The newest state that can be reached, with its commit. A drawn initial state always can.
    pub fn farthest(&self) -> Result<(Seq, OuterState), Stop> {
        let end = self.view.last_commit().0;
        self.best_of_bases(end, |_| true)?.ok_or_else(|| {
            let what = format!("no state of the run can be reached, {}", self.beginning.way_out());
            Failure::new(exit::CHECKPOINT, what).into()
        })
    }

    /// Tries bases that count from the newest down, and takes the first that replays furthest, up to `target`.
    fn best_of_bases(&self, target: Seq, counts: impl Fn(Seq) -> bool) -> Result<Option<(Seq, OuterState)>, Stop> {
        let run = self.view.run();
        let bases = self.store.wait(run_checkpoint::list(self.store.store(), run))?;
        let known: Vec<Seq> = self.view.commits().map(|(s, ..)| s).collect();
        let mut best: Option<(Seq, OuterState)> = None;
        let fit = |b: &Seq| *b <= target && known.contains(b) && counts(*b);
        for base in bases.into_iter().rev().filter(fit).map(Some).chain([None]) {
            let (at, state) = match base {
                Some(seq) => match self.store.wait(run_checkpoint::load(self.store.store(), run, seq, self.layout)) {
                    Ok((_, state)) => (seq, state),
                    Err(e) => {
                        tracing::warn!("run checkpoint {seq} is passed by: {e}");
                        continue;
                    }
                },
                None => match self.beginning.state(self.store, self.layout)? {
                    Some(state) => (Seq(0), state),
                    None => continue,
                },
            };
            if !self.agrees(at, &state) {
                continue;
            }
            let reached = self.replay(at, state, target)?;
            let done = reached.0 == target;
            if best.as_ref().is_none_or(|(seq, _)| reached.0 > *seq) {
                best = Some(reached);
            }
            if done {
                break;
            }
        }
        Ok(best)
    }

    fn agrees(&self, at: Seq, state: &OuterState) -> bool {
        let Some((fixed, _)) = self.view.state(at) else { return true };
        let ours = state.digest();
        if ours != fixed {
            tracing::warn!("the state of record {at} read here has digest {ours}, the history says {fixed}: passed by");
        }
        ours == fixed
    }

    fn replay(&self, from: Seq, mut state: OuterState, target: Seq) -> Result<(Seq, OuterState), Stop> {
        let mut at = from;
        for (seq, _, commit) in self.view.commits().filter(|(s, ..)| *s > from && *s <= target) {
            // A step's x lies in a site checkpoint or a base, never in a contribution.
            let Commit::Outer(outer) = commit else { break };
            match after(self.store, self.view, &state, outer) {
                Ok(next) if self.agrees(seq, &next) => (at, state) = (seq, next),
                Ok(_) => break,
                Err(e @ (StoreError::NotFound { .. } | StoreError::Damaged { .. })) => {
                    tracing::info!("replay stops before record {seq}: {e}");
                    break;
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok((at, state))
    }
}

#[cfg(test)]
mod tests {
    use coalition_protocol::record::{Body, State};
    use coalition_protocol::{Digest, Epoch, RunId};
    use coalition_store::Location;
    use coalition_store::run_checkpoint::RunCheckpoint;

    use super::*;
    use crate::worker::next::tests::world::{World, site};

    #[test]
    fn a_base_that_nobody_agreed_on_proves_nothing() {
        let mut w = World::new(&["a", "b"]);
        // Another initial state than the one below, so that only the base can give one.
        w.fix_state();
        w.plan(&["a", "b"]);
        let seq = w.commit(&["a", "b"]);
        let layout = VectorLayout::new([("x", vec![4096])]).unwrap();
        let state = OuterState::initial(vec![1.0; 4096]);
        let store = BlockingStore::open(&Location::Memory).unwrap();
        let base = RunCheckpoint {
            run: w.view.run(),
            epoch: Epoch(1),
            seq,
            tokens: 1,
            spec: Digest::ZERO,
            layout: &layout,
            state: &state,
            config: &serde_json::json!({}),
            extra: &[],
        };
        store.wait(run_checkpoint::save(store.store(), &base)).unwrap();
        let initial = layout.zeros();
        let from = |view: &View| {
            let beginning = Beginning::Drawn(&initial);
            let source = Source { store: &store, view, layout: &layout, beginning };
            [source.at(seq), source.proved(seq)].map(|found| found.unwrap().is_some())
        };
        assert_eq!(from(&w.view), [true, false], "this site may have written it of a wrong state");
        w.append(Body::State(State { of: seq, digest: state.digest(), confirmers: vec![site("a")] }));
        assert_eq!(from(&w.view), [true, true]);
    }

    /// K(7) of run `old` is there, is wrong, and is not there; the new run has its own commits.
    #[test]
    fn a_run_begins_with_the_state_that_another_one_left() {
        let w = World::new(&["a", "b"]);
        let layout = VectorLayout::new([("x", vec![4096])]).unwrap();
        let state = OuterState::new(vec![1.5; 4096], vec![0.25; 4096]).unwrap();
        let old: RunId = "old".parse().unwrap();
        let store = BlockingStore::open(&Location::Memory).unwrap();
        let base = Base { run: old.clone(), seq: Seq(7), state: state.digest() };
        let farthest = |base: &Base| {
            let beginning = Beginning::From(base);
            Source { store: &store, view: &w.view, layout: &layout, beginning }.farthest()
        };
        let refused = |base: &Base| match farthest(base).unwrap_err() {
            Stop::Exit(f) => {
                assert!(f.code == exit::CHECKPOINT && f.message.contains("runs/old/checkpoints/00000007"), "{f}")
            }
            Stop::Rejoin(why) => panic!("{why}"),
        };
        refused(&base);
        let saved = RunCheckpoint {
            run: &old,
            epoch: Epoch(1),
            seq: Seq(7),
            tokens: 1,
            spec: Digest::ZERO,
            layout: &layout,
            state: &state,
            config: &serde_json::json!({}),
            extra: &[],
        };
        store.wait(run_checkpoint::save(store.store(), &saved)).unwrap();
        let (seq, found) = farthest(&base).unwrap();
        assert_eq!((seq, found.digest()), (Seq(0), state.digest()), "θ and u alike");
        refused(&Base { state: Digest::of(b"another"), ..base });
    }
}
