//! What does not count (D13, D14, D17, D21): a state that is not agreed on, a checkpoint of another state, a contribution held
//! under another digest, a site that was left out and is silent. Reports are written by hand, over a run in the simulator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;
mod sim;

use coalition_planner::status::Reason;
use coalition_planner::{Decision, Millis, Standing, checkpoints, commit, plan, windows};
use coalition_protocol::bits::BatchHash;
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::messages::{Held, Offer, StateReport, StoredCheckpoint};
use coalition_protocol::record::{Body, LeaseUse};
use coalition_protocol::{Digest, Real, Seq, SiteId};
use common::{LIMIT, at_round, decide, report};
use rstest::rstest;
use sim::{Fault, Sim};

fn standing(sim: &Sim) -> Standing<'_> {
    Standing::new(&sim.world, sim.view().unwrap(), &sim.world.memory, Millis(sim.now))
}

fn names(sim: &Sim) -> Vec<SiteId> {
    sim.sites.iter().map(|s| s.id.clone()).collect()
}

/// Appends what is decided.
fn append(sim: &mut Sim, d: &Decision) {
    let now = Millis(sim.now);
    sim.world.appended(d.append.as_ref().unwrap(), now).unwrap();
}

/// Two sites right after a commit that nobody has spoken of, with a plan open.
fn after_a_commit(seed: u64) -> Sim {
    let mut sim = Sim::new(sim::spec::small(2, 20), &[100, 100], seed);
    let fresh = |s: &Sim| {
        s.view().is_some_and(|v| {
            v.last_round().0 >= 3 && v.state(v.last_commit().0).is_none() && v.current_plan().is_some()
        })
    };
    assert!(sim.until(LIMIT, fresh));
    sim
}

/// Lets `site` say that it computed `digest` for the newest commit.
fn says(sim: &mut Sim, site: &SiteId, digest: Digest) {
    let (of, head) = (sim.view().unwrap().last_commit().0, sim.view().unwrap().head());
    let r = report(&mut sim.world, site);
    r.head = Some(head);
    r.state = Some(StateReport { of, digest, chunks: vec![digest], reproduced: false });
}

/// Lets both sites offer all they were leased up to the open plan, and hold both offers.
fn all_offer_and_hold(sim: &mut Sim) {
    let view = sim.view().unwrap();
    let (seq, _) = view.current_plan().unwrap();
    let mut offers = Vec::new();
    for site in names(sim) {
        let leases = view.ledger().leases(&site).filter(|(p, _)| *p <= seq);
        let used: Vec<LeaseUse> = leases.map(|(plan, l)| LeaseUse { plan, used: l.ranges.clone() }).collect();
        let tokens = used.iter().map(|u| u.used.len()).sum::<u64>() * view.genesis().sequence_length;
        let (epoch, incarnation) = (view.head().epoch, view.incarnation(&site).unwrap());
        let key = ContributionKey { site, epoch, incarnation, plan: seq, fragment: 0, entry: 1000 };
        let digest = Digest::of(key.to_string().as_bytes());
        let norm = Real::new(1.0).unwrap();
        offers.push(Offer { key, digest, bytes: 4, tokens, used, batch_hash: BatchHash(1), norm });
    }
    for site in names(sim) {
        let r = report(&mut sim.world, &site);
        r.offers = offers.iter().filter(|o| o.key.site == site).cloned().collect();
        r.holds = offers.iter().map(|o| Held { key: o.key.clone(), digest: o.digest }).collect();
    }
}

/// Nothing new is said for two graces, by sites that are heard all the while.
fn two_graces_later(sim: &mut Sim) {
    sim.world.tick(Millis(sim.now));
    sim.now += 2 * standing(sim).grace();
    for site in names(sim) {
        sim.world.heard(&site, Millis(sim.now));
    }
}

#[test]
fn nothing_is_committed_on_states_that_differ_however_long_it_takes() {
    let mut sim = after_a_commit(31);
    let right = sim.states[&sim.view().unwrap().last_commit().0];
    let both = names(&sim);
    says(&mut sim, &both[0], right);
    says(&mut sim, &both[1], Digest::of(b"a flipped bit"));
    all_offer_and_hold(&mut sim);
    two_graces_later(&mut sim);
    // The next round may be planned meanwhile.
    let mut d = decide(&sim);
    while matches!(d.body(), Some(Body::Plan(_))) {
        append(&mut sim, &d);
        d = decide(&sim);
    }
    assert_eq!((d.body(), d.status.reason), (None, Reason::StatesDiffer));
    // It was only that: with equal states these very offers are committed.
    says(&mut sim, &both[1], right);
    let d = decide(&sim);
    assert!(matches!(d.body(), Some(Body::State(s)) if s.confirmers == both), "{:?}", d.body());
    append(&mut sim, &d);
    let d = decide(&sim);
    assert!(matches!(d.body(), Some(Body::Outer(o)) if o.holders == both), "{:?}", d.body());
}

#[test]
fn who_holds_something_else_under_the_key_does_not_hold_it() {
    let mut sim = after_a_commit(32);
    let right = sim.states[&sim.view().unwrap().last_commit().0];
    let both = names(&sim);
    for site in &both {
        says(&mut sim, site, right);
    }
    all_offer_and_hold(&mut sim);
    let held = |sim: &Sim| commit::holds(&standing(sim))[&both[0]].iter().cloned().collect::<Vec<_>>();
    assert_eq!(held(&sim), both);
    let of_other = report(&mut sim.world, &both[0]).holds.iter_mut().find(|h| h.key.site == both[1]).unwrap();
    of_other.digest = Digest::ZERO;
    assert_eq!(held(&sim), both[..1]);
}

#[rstest]
#[case::it_has_none(None)]
#[case::it_has_one_of_another_state(Some(Digest::ZERO))]
fn a_run_is_not_complete_with_one_copy_of_its_last_state(#[case] second: Option<Digest>) {
    let mut sim = Sim::new(sim::spec::small(2, 4), &[100, 100], 33);
    assert!(sim.until(LIMIT, |s| s.view().is_some_and(|v| v.tokens() >= v.genesis().budget)));
    let seq: Seq = sim.view().unwrap().last_commit().0;
    let state = sim.states[&seq];
    let both = names(&sim);
    for site in &both {
        says(&mut sim, site, state);
    }
    let copy = |state| StoredCheckpoint { seq, state, bytes: 1 };
    report(&mut sim.world, &both[0]).checkpoints = vec![copy(state)];
    report(&mut sim.world, &both[1]).checkpoints = second.map(copy).into_iter().collect();
    if sim.view().unwrap().state(seq).is_none() {
        let d = decide(&sim);
        assert!(matches!(d.body(), Some(Body::State(_))), "{:?}", d.body());
        append(&mut sim, &d);
    }
    let d = decide(&sim);
    assert_eq!((d.body(), d.status.reason), (None, Reason::SavingFinalCheckpoint));
    assert_eq!(checkpoints::stored(&standing(&sim))[&seq].iter().collect::<Vec<_>>(), [&both[0]]);
    report(&mut sim.world, &both[1]).checkpoints = vec![copy(state)];
    let d = decide(&sim);
    assert!(matches!(d.body(), Some(Body::End(e)) if e.confirmers == both), "{:?}", d.body());
}

#[test]
fn who_was_left_out_is_not_waited_for_before_it_speaks_again() {
    let mut sim = at_round(2, 3, 34);
    let id = sim.sites[1].id.clone();
    sim.inflict(Fault::KillTrainer { site: 1, millis: 60_000 });
    let left_out = |s: &Sim| {
        let x = standing(s);
        x.gives(&id) && x.heard(&id) && x.reaches(&id) && x.left_out_and_silent(&id)
    };
    assert!(sim.until(LIMIT, left_out), "{:#?}", sim.events);
    assert!(!windows::waited_for(&standing(&sim)).contains(&id));
    sim.now += 1;
    sim.world.heard(&id, Millis(sim.now));
    assert!(windows::waited_for(&standing(&sim)).contains(&id), "it speaks again");
    assert_eq!(plan(&sim.world, Millis(sim.now)).body(), None);
}
