//! What rank 0 does next: a pure function of where the site stands, what the history says and what the hub asks. All of the
//! worker's judgement is here; tensors, files and the network only carry it out.
use std::collections::BTreeSet;

use coalition_protocol::history::{Commit, View};
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::messages::Desired;
use coalition_protocol::{Attempt, Epoch, Incarnation, Round, Seq, SiteId};
use coalition_spec::run::Interval;

use super::cursor::Cursor;

mod due;

/// The fence under which this gang works (D8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// Raised by rewind or takeover.
    pub epoch: Epoch,
    /// Raised when the site is assigned.
    pub incarnation: Incarnation,
    /// Raised when the gang forms.
    pub attempt: Attempt,
}

/// Where the site stands.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// This site.
    pub site: &'a SiteId,
    /// Its fence.
    pub fence: Fence,
    /// Its cursor.
    pub cursor: &'a Cursor,
    /// Samples of an inner step.
    pub rows: u64,
    /// The plan for which a contribution or a step stands and is reported.
    pub offered: Option<Seq>,
    /// The cursor of the newest site checkpoint of this incarnation.
    pub saved: Option<&'a Cursor>,
    /// Milliseconds since the newest site checkpoint, or since the gang formed.
    pub since_saved: u64,
    /// Run checkpoints that stand in the own store.
    pub stored: &'a BTreeSet<Seq>,
    /// Between site checkpoints.
    pub interval: Interval,
    /// Every so many rounds a run checkpoint is kept.
    pub keep_every: u64,
    /// True if θ can be measured on held-out text.
    pub measures: bool,
}

/// What the outside says.
#[derive(Clone, Copy, Debug)]
pub struct Outside<'a> {
    /// The history.
    pub view: &'a View,
    /// What the hub asks.
    pub desired: Desired,
    /// The fence now in force; what is not ours is over.
    pub fence: Fence,
    /// The site found its store lost.
    pub store_lost: bool,
    /// Contributions in the own store.
    pub held: &'a BTreeSet<ContributionKey>,
    /// Commits for which a run checkpoint is asked.
    pub save: &'a [Seq],
    /// Another site computed another state for the applied commit, and this site has not yet looked into it.
    pub disagreement: bool,
    /// The history fixed another state for the applied commit than this site computes.
    pub refuted: bool,
    /// SIGTERM came.
    pub terminate: bool,
}

/// How a gang parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leave {
    /// The run is over.
    Finished,
    /// Suspended, or SIGTERM; all is saved.
    Saved,
    /// No longer wanted.
    Stopped,
    /// Form again, under the fence now in force.
    Rejoin(String),
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Part.
    Leave(Leave),
    /// Write a site checkpoint.
    Save,
    /// Apply this commit, the next one after the cursor's.
    Apply(Seq),
    /// Go to the run checkpoint of this commit: what lies between cannot be applied here.
    Jump(Seq),
    /// Look into the applied state, chunk by chunk (D17).
    Reproduce,
    /// Write the run checkpoint of this commit, the applied one.
    Store(Seq),
    /// Measure θ of this commit on held-out text.
    Evaluate(Seq),
    /// The plan in work is void: what was fed is late work.
    LeavePlan,
    /// Late work whose lease is gone: drop it, x ← θ.
    DropLate,
    /// Begin this plan.
    Begin(Seq),
    /// Do one inner step.
    Step,
    /// Create the contribution to the plan in work, or the step of a one-member plan.
    Offer,
    /// Nothing to do until something changes; why, for people.
    Wait(String),
}

/// Decides.
pub fn next(s: &Situation<'_>, o: &Outside<'_>) -> Action {
    if let Some(leave) = parting(s, o) {
        return leave;
    }
    if o.refuted && !o.disagreement {
        // Nothing may be built on it. Only bases with the state that was fixed count as stored.
        let at = s.cursor.applied;
        let waiting = || match o.view.ended() {
            Some(_) => Action::Leave(Leave::Finished),
            None => Action::Wait(format!("a run checkpoint of record {at} or later: its own state differs")),
        };
        return s.stored.range(at..).next_back().copied().map_or_else(waiting, Action::Jump);
    }
    if o.store_lost {
        return Action::Wait("its store was lost: waiting to be assigned anew".to_owned());
    }
    if o.disagreement {
        // Before anything newer is applied: nothing is built on a state in doubt.
        return Action::Reproduce;
    }
    if let Some((seq, round, commit)) = o.view.commits().find(|(seq, ..)| *seq > s.cursor.applied) {
        return match advance(s, o, seq, round, commit) {
            // Nobody will bring what is missing once the run is over.
            Action::Wait(_) if o.view.ended().is_some() => Action::Leave(Leave::Finished),
            action => action,
        };
    }
    // Measured first: once the last checkpoint stands, the run may end before a measurement is heard.
    if due::evaluation(s, o) {
        return Action::Evaluate(s.cursor.applied);
    }
    if due::store(s, o) {
        return Action::Store(s.cursor.applied);
    }
    if o.view.ended().is_some() {
        return Action::Leave(Leave::Finished);
    }
    train(s, o)
}

fn parting(s: &Situation<'_>, o: &Outside<'_>) -> Option<Action> {
    let leave = |l| Some(Action::Leave(l));
    if o.desired == Desired::Stop && o.view.ended().is_none() {
        return leave(Leave::Stopped);
    }
    if o.fence != s.fence {
        let now = o.fence;
        return leave(Leave::Rejoin(format!(
            "epoch {}, incarnation {}, attempt {} are in force",
            now.epoch, now.incarnation, now.attempt
        )));
    }
    if o.view.ended().is_none() && (o.terminate || o.desired == Desired::Suspend) {
        // A commit asked for may wait: it is applied again after the return.
        let saved = s.saved.is_some_and(|c| c.mark() == s.cursor.mark());
        return if saved || o.store_lost { leave(Leave::Saved) } else { Some(Action::Save) };
    }
    None
}

fn advance(s: &Situation<'_>, o: &Outside<'_>, seq: Seq, round: Round, commit: &Commit) -> Action {
    // A base further on spares everything before it; needed where something before cannot be applied.
    let base = || {
        let known: BTreeSet<Seq> = o.view.commits().map(|(q, ..)| q).collect();
        s.stored.range(seq..).rev().find(|q| known.contains(q)).copied()
    };
    match commit {
        Commit::Outer(outer) => {
            let missing: Vec<&str> =
                outer.included.iter().filter(|i| !o.held.contains(&i.key)).map(|i| i.key.site.as_str()).collect();
            if missing.is_empty() {
                return Action::Apply(seq);
            }
            base().map_or_else(
                || Action::Wait(format!("the contributions of {} to round {round}", missing.join(", "))),
                Action::Jump,
            )
        }
        Commit::Step(step) => {
            if &step.site == s.site && step.incarnation == s.fence.incarnation && base().is_none() {
                // Its own step. A process that came back to a place before the snapshot trains there again: same bits.
                return match o.view.plan(step.plan) {
                    Some(_) if s.cursor.plan != Some(step.plan) => Action::Begin(step.plan),
                    Some(p) if !s.cursor.batch(p, s.site, s.rows).is_empty() => Action::Step,
                    _ => Action::Apply(seq),
                };
            }
            let waiting = || Action::Wait(format!("a run checkpoint of record {seq} or later, made by {}", step.site));
            base().map_or_else(waiting, Action::Jump)
        }
        Commit::Genesis => Action::Wait("a history that begins twice".to_owned()),
    }
}

fn train(s: &Situation<'_>, o: &Outside<'_>) -> Action {
    let current = o.view.current_plan();
    let mine = current.filter(|(_, p)| p.part(s.site).is_some_and(|p| p.incarnation == s.fence.incarnation));
    if let Some(work) = s.cursor.plan
        && mine.map(|(seq, _)| seq) != Some(work)
    {
        return Action::LeavePlan;
    }
    let leased = |u: &coalition_protocol::record::LeaseUse| {
        o.view.ledger().leases(s.site).any(|(plan, l)| {
            plan == u.plan && l.incarnation == s.fence.incarnation && l.ranges.first(u.used.len()) == u.used
        })
    };
    if !s.cursor.late.iter().all(leased) {
        return Action::DropLate;
    }
    let round = s.cursor.round.next();
    let Some((seq, plan)) = mine else {
        let waiting = match (current, o.view.members().get(s.site)) {
            (_, Some(m)) if m.retired => "its incarnation was retired: waiting to be assigned anew".to_owned(),
            (_, Some(m)) if let Some(why) = &m.set_aside => format!("it is set aside: {why}"),
            (Some(_), _) => format!("the end of round {round}, which goes on without it"),
            (None, _) => format!("the plan of round {round}"),
        };
        return Action::Wait(waiting);
    };
    if s.cursor.plan != Some(seq) {
        return Action::Begin(seq);
    }
    if s.cursor.batch(plan, s.site, s.rows).is_empty() {
        if s.offered == Some(seq) {
            let others: Vec<&str> =
                plan.parts.iter().map(|p| p.site.as_str()).filter(|n| *n != s.site.as_str()).collect();
            return Action::Wait(if others.is_empty() {
                format!("the record of round {round}")
            } else {
                format!("{} to finish round {round}", others.join(", "))
            });
        }
        if !s.cursor.has_work() {
            return Action::Wait(format!("the end of round {round}: the budget leaves it nothing to do"));
        }
        return Action::Offer;
    }
    if due::save(s) { Action::Save } else { Action::Step }
}

#[cfg(test)]
pub(super) mod tests;
