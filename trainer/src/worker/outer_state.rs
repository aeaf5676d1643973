//! O = (θ, u) after any commit, from what the own store holds: a base and the contributions since (D20), each proved. Must
//! not know inner state.
use coalition_outer::{OuterState, Rule, VectorLayout, Weighted};
use coalition_protocol::history::{Commit, View};
use coalition_protocol::record::Outer;
use coalition_protocol::{Seq, exit};
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
    /// θ of genesis; none for a run that begins from a checkpoint, which stands in the store as that of record 0.
    pub initial: Option<&'a [f32]>,
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

    /// The newest state that can be reached, with its commit. The initial state always can, unless it was another run's.
    pub fn farthest(&self) -> Result<(Seq, OuterState), Stop> {
        let end = self.view.last_commit().0;
        self.best_of_bases(end, |_| true)?.ok_or_else(|| {
            let what = match &self.view.genesis().origin {
                Some(o) => format!("the one it begins from, of record {} of run {}", o.seq, o.run),
                None => "the initial one".to_owned(),
            };
            Failure::new(exit::CHECKPOINT, format!("no state of the run can be reached, not even {what}")).into()
        })
    }

    /// Tries bases that count from the newest down, and takes the first that replays furthest, up to `target`.
    fn best_of_bases(&self, target: Seq, counts: impl Fn(Seq) -> bool) -> Result<Option<(Seq, OuterState)>, Stop> {
        let run = self.view.run();
        let bases = self.store.wait(run_checkpoint::list(self.store.store(), run))?;
        let known: Vec<Seq> = self.view.commits().map(|(s, ..)| s).collect();
        let mut best: Option<(Seq, OuterState)> = None;
        let fit = |b: &Seq| *b <= target && known.contains(b) && counts(*b);
        let beginning = self.initial.map(Err);
        for base in bases.into_iter().rev().filter(fit).map(Ok).chain(beginning) {
            let (at, state) = match base {
                Ok(seq) => match self.store.wait(run_checkpoint::load(self.store.store(), run, seq, self.layout)) {
                    Ok((_, state)) => (seq, state),
                    Err(e) => {
                        tracing::warn!("run checkpoint {seq} is passed by: {e}");
                        continue;
                    }
                },
                Err(initial) => (Seq(0), OuterState::initial(initial.to_vec())),
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
    use coalition_protocol::{Digest, Epoch};
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
            let source = Source { store: &store, view, layout: &layout, initial: Some(&initial) };
            [source.at(seq), source.proved(seq)].map(|found| found.unwrap().is_some())
        };
        assert_eq!(from(&w.view), [true, false], "this site may have written it of a wrong state");
        w.append(Body::State(State { of: seq, digest: state.digest(), confirmers: vec![site("a")] }));
        assert_eq!(from(&w.view), [true, true]);
    }

    #[test]
    fn a_run_that_begins_from_a_checkpoint_has_no_other_beginning() {
        let layout = VectorLayout::new([("x", vec![4096])]).unwrap();
        let state = OuterState::initial(vec![1.0; 4096]);
        let w = World::from(&["a", "b"], Some(state.digest()));
        let store = BlockingStore::open(&Location::Memory).unwrap();
        let source = Source { store: &store, view: &w.view, layout: &layout, initial: None };
        let Err(Stop::Exit(failure)) = source.farthest() else { panic!("it began from nothing") };
        assert!(failure.message.contains("record 50 of run old"), "{}", failure.message);
        let base = RunCheckpoint {
            run: w.view.run(),
            epoch: Epoch(1),
            seq: Seq(0),
            tokens: 0,
            spec: Digest::ZERO,
            layout: &layout,
            state: &state,
            config: &serde_json::json!({}),
            extra: &[],
        };
        store.wait(run_checkpoint::save(store.store(), &base)).unwrap();
        let (at, found) = source.farthest().unwrap_or_else(|_| panic!("it stands there"));
        assert_eq!((at, found.digest()), (Seq(0), state.digest()));
        assert!(source.proved(Seq(0)).unwrap_or_default().is_some(), "the first record fixes the state");
    }
}
