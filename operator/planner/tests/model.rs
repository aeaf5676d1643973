//! Fence, hold and commit in an explicit-state model (stateright): every interleaving of a hub with a paused second leader,
//! sites that lose stores or crash, retirements, voids, and reports that arrive late. What a commit includes is chosen by
//! the planner's own `selection::select`.
//!
//! `COALITION_MODEL=large` checks bigger bounds (minutes to hours).
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::trivially_copy_pass_by_ref, clippy::unused_self, clippy::type_complexity)]
mod model {
    pub mod rules;
    pub mod site;
    pub mod state;
    pub mod steps;
}

use model::rules::{Action, Bounds, Mutation, truth};
use model::state::{Rec, State};
use stateright::{Checker, Model, Property};

struct Run(Bounds);

/// An action with what comes of it, so that it is worked out once.
#[derive(Clone)]
struct Step {
    action: Action,
    next: State,
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.action.fmt(f)
    }
}

// Paths are told by their actions.
impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        self.action == other.action
    }
}

fn once_per_round(_: &Run, s: &State) -> bool {
    let mut rounds: Vec<u8> =
        s.records.iter().filter_map(|r| if let Rec::Outer { round, .. } = r { Some(*round) } else { None }).collect();
    let n = rounds.len();
    rounds.dedup();
    rounds.len() == n && rounds.is_sorted()
}

fn equal_states(m: &Run, s: &State) -> bool {
    let f = m.0.fold(s);
    s.sites
        .iter()
        .filter_map(|x| x.store.as_ref()?.applied)
        .all(|(n, state)| f.commits.get(..n as usize).is_some_and(|done| truth(s, done) == state))
}

fn only_valid_incarnations(m: &Run, s: &State) -> bool {
    s.records.iter().enumerate().all(|(n, r)| {
        let Rec::Outer { included, .. } = r else { return true };
        let before = State { records: s.records[..n].to_vec(), ..s.clone() };
        let f = m.0.fold(&before);
        included.iter().all(|c| f.inc[c.site as usize] == c.inc)
    })
}

fn positions_once(_: &Run, s: &State) -> bool {
    let mut seen = 0u32;
    s.records.iter().all(|r| match r {
        Rec::Outer { included, .. } => included.iter().all(|c| {
            let fresh = seen & c.used == 0;
            seen |= c.used;
            fresh
        }),
        _ => true,
    })
}

// D14: if two counted at every commit, the loss of one store loses nothing.
fn applicable(m: &Run, s: &State) -> bool {
    let f = m.0.fold(s);
    let by_two =
        f.commits.iter().all(|n| matches!(&s.records[*n as usize], Rec::Outer { counted, .. } if *counted >= 2));
    if f.commits.is_empty() || !by_two || s.losses + s.retirements > 1 {
        return true;
    }
    s.sites.iter().filter_map(|x| x.store.as_ref()).any(|store| {
        store.applied.is_some_and(|(at, _)| {
            f.commits.iter().skip(at as usize).all(|n| {
                matches!(&s.records[*n as usize], Rec::Outer { included, .. }
                    if included.iter().all(|c| store.held.contains(c)))
            })
        })
    })
}

// From every state a way on: where nothing can happen any more, all rounds are committed and applied somewhere, or what the
// newest commit needs stood in one store only and that store is gone.
fn progress(m: &Run, s: &State) -> bool {
    if !m.0.steps(s).is_empty() {
        return true;
    }
    let f = m.0.fold(s);
    let newest = f.commits.len();
    let somewhere = s
        .sites
        .iter()
        .any(|x| x.store.as_ref().is_some_and(|st| st.applied.is_some_and(|(n, _)| n as usize == newest)));
    let alone = s.records.iter().any(|r| matches!(r, Rec::Outer { counted, .. } if *counted < 2));
    (newest == m.0.rounds as usize && somewhere) || (alone && s.losses > 0) || s.losses + s.retirements > 1
}

impl Model for Run {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![self.0.start()]
    }

    fn actions(&self, s: &State, out: &mut Vec<Step>) {
        out.extend(self.0.steps(s).into_iter().map(|(action, next)| Step { action, next }));
    }

    fn next_state(&self, _: &State, step: Step) -> Option<State> {
        Some(step.next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one commit a round", once_per_round),
            Property::always("equal state wherever a record is applied", equal_states),
            Property::always("no contribution of a retired incarnation", only_valid_incarnations),
            Property::always("each position in at most one included contribution", positions_once),
            Property::always("what a site gave is what the record holds", |_, s: &State| !s.deceived),
            Property::always("one store may burn", applicable),
            Property::always("from every state a way on", progress),
            Property::sometimes("the run ends", |m, s| m.0.fold(s).commits.len() == m.0.rounds as usize),
        ]
    }
}

/// The smallest model: two sites, one round, no faults. Each test adds what it is about.
const NONE: Bounds = Bounds {
    sites: 2,
    rounds: 1,
    losses: 0,
    retirements: 0,
    voids: 0,
    crashes: 0,
    paused: false,
    mutation: Mutation::None,
};

fn check(b: Bounds) {
    let checker = Run(b).checker().threads(2).spawn_bfs().join();
    println!("{b:?}: {} states, depth {}", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
}

fn breaks(b: Bounds) -> &'static str {
    let checker = Run(b).checker().threads(2).spawn_bfs().join();
    let found = checker.discoveries();
    let broken = found.keys().find(|name| **name != "the run ends");
    println!("{b:?}: {} states, broken: {broken:?}", checker.unique_state_count());
    broken.unwrap_or(&"nothing")
}

#[test]
fn two_sites_with_a_lost_store() {
    check(Bounds { rounds: 2, losses: 1, ..NONE });
}

#[test]
fn two_sites_with_a_retirement_and_a_void() {
    check(Bounds { retirements: 1, voids: 1, ..NONE });
}

#[test]
fn two_sites_with_a_paused_leader() {
    check(Bounds { paused: true, losses: 1, ..NONE });
    check(Bounds { paused: true, voids: 1, ..NONE });
}

#[test]
fn two_sites_with_a_crash_and_a_void() {
    check(Bounds { crashes: 1, voids: 1, ..NONE });
}

#[test]
fn three_sites() {
    check(Bounds { sites: 3, ..NONE });
}

#[test]
fn mutations_are_found() {
    let find = |b: Bounds| breaks(b);
    assert_ne!(
        find(Bounds { paused: true, retirements: 1, mutation: Mutation::KeepChoiceAfterReread, ..NONE }),
        "nothing"
    );
    assert_ne!(find(Bounds { crashes: 1, mutation: Mutation::CheckpointAfterCreation, ..NONE }), "nothing");
    assert_ne!(find(Bounds { losses: 1, mutation: Mutation::NoOpeningEntry, ..NONE }), "nothing");
    assert_ne!(find(Bounds { losses: 1, mutation: Mutation::HeldByOne, ..NONE }), "nothing");
    assert_ne!(find(Bounds { voids: 1, mutation: Mutation::KeyByRound, ..NONE }), "nothing");
    assert_ne!(find(Bounds { voids: 1, mutation: Mutation::VoidReturnsRanges, ..NONE }), "nothing");
}

#[test]
fn large() {
    if std::env::var("COALITION_MODEL").is_ok_and(|v| v == "large") {
        check(Bounds { rounds: 2, losses: 1, voids: 1, crashes: 1, paused: true, ..NONE });
        check(Bounds { rounds: 2, losses: 1, retirements: 1, voids: 1, ..NONE });
        check(Bounds { sites: 3, losses: 1, ..NONE });
        check(Bounds { sites: 3, retirements: 1, ..NONE });
        check(Bounds { sites: 3, rounds: 2, losses: 1, ..NONE });
    }
}
