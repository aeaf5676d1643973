//! When a site checkpoint, a run checkpoint or a measurement is due. Pure, like its parent; must not know what is done
//! instead when none is.
use coalition_protocol::Seq;
use coalition_protocol::history::{Commit, View};
use coalition_spec::run::Interval;

use super::{Outside, Situation};

/// A site checkpoint is due after so many steps or seconds, and only if there is something new to keep.
pub(super) fn save(s: &Situation<'_>) -> bool {
    let done = s.cursor.steps.saturating_sub(s.saved.map_or(0, |c| c.steps));
    match s.interval {
        Interval::Steps(n) => done >= n.max(1),
        Interval::Seconds(n) => done > 0 && s.since_saved >= n.saturating_mul(1000),
    }
}

fn tokens_and_budget(view: &View, seq: Seq) -> Option<(u64, u64)> {
    let (_, _, commit) = view.commits().find(|(q, ..)| *q == seq)?;
    let (tokens, plan) = match commit {
        Commit::Genesis => return None,
        Commit::Outer(x) => (x.tokens, x.plan),
        Commit::Step(x) => (x.tokens, x.plan),
    };
    Some((tokens, view.plan(plan)?.budget))
}

/// A run checkpoint is due at every n-th round, at the end of the budget, after a step of a one-member plan (nothing else
/// holds its state), and where the hub asks.
pub(super) fn store(s: &Situation<'_>, o: &Outside<'_>) -> bool {
    let at = s.cursor.applied;
    if s.stored.contains(&at) {
        return false;
    }
    o.save.contains(&at) || milestone(s, o) || is_step(o.view, at)
}

fn is_step(view: &View, seq: Seq) -> bool {
    view.commits().any(|(q, _, c)| q == seq && matches!(c, Commit::Step(_)))
}

fn milestone(s: &Situation<'_>, o: &Outside<'_>) -> bool {
    let round = s.cursor.round.0;
    round > 0
        && (round.is_multiple_of(s.keep_every.max(1))
            || tokens_and_budget(o.view, s.cursor.applied).is_some_and(|(tokens, budget)| tokens >= budget))
}

/// θ is measured before training, with every kept run checkpoint, and at the end.
pub(super) fn evaluation(s: &Situation<'_>, o: &Outside<'_>) -> bool {
    let done = s.cursor.measured.is_some_and(|of| of >= s.cursor.applied);
    s.measures && !done && (s.cursor.applied == Seq(0) || milestone(s, o))
}
