//! The judgement, without network, files or tensors: legal histories on one side, the expected action on the other.
pub(in crate::worker) mod world;

use coalition_protocol::bits::BatchHash;
use coalition_protocol::messages::Desired;
use coalition_protocol::record::{Body, Void};
use coalition_protocol::{Attempt, Incarnation, Round, Seq};

use super::*;
use crate::worker::cursor::WARMUP;
use crate::worker::effect::{Effect, effect};
use world::{ROWS, World, key, site};

#[test]
fn a_round_with_two_sites() {
    let mut w = World::new(&["a", "b"]);
    assert!(w.is_waiting(), "no plan yet");
    w.fix_state();
    let plan = w.plan(&["a", "b"]);
    w.plan(&["a", "b"]);
    assert_eq!(w.next(), Action::Begin(plan));
    w.cursor.begin(plan);
    assert_eq!(w.next(), Action::Step);
    w.step();
    assert_eq!(w.next(), Action::Step);
    w.step();
    assert_eq!(w.next(), Action::Save, "two steps since the beginning");
    w.save();
    assert_eq!(w.next(), Action::Step);
    w.step();
    assert_eq!(w.next(), Action::Offer);
    w.save();
    w.offered = Some(plan);
    assert_eq!(w.next(), Action::Wait("b to finish round 1".to_owned()));
    let commit = w.commit(&["a", "b"]);
    w.held.insert(key("a", plan));
    assert!(matches!(w.next(), Action::Wait(why) if why.contains("contributions of b")));
    w.held.insert(key("b", plan));
    assert_eq!(w.next(), Action::Apply(commit));
}

#[test]
fn a_base_spares_what_cannot_be_fetched() {
    let mut w = World::new(&["a", "b"]);
    w.fix_state();
    w.plan(&["a", "b"]);
    w.commit(&["b"]);
    w.fix_state();
    w.plan(&["a", "b"]);
    let second = w.commit(&["b"]);
    assert!(w.is_waiting());
    w.stored.insert(second);
    assert_eq!(w.next(), Action::Jump(second));
    // A base of a record that is no commit is none.
    w.stored = [Seq(second.0 - 1)].into();
    assert!(w.is_waiting());
}

#[test]
fn a_void_makes_late_work_and_a_lost_lease_drops_it() {
    let mut w = World::new(&["a", "b"]);
    w.fix_state();
    let first = w.plan(&["a", "b"]);
    w.cursor.begin(first);
    w.step();
    w.append(Body::Void(Void { round: Round(1), plans: vec![first], reason: "NoQuorum".to_owned() }));
    assert_eq!(w.next(), Action::LeavePlan);
    let plan = w.view.plan(first).cloned().unwrap();
    w.cursor.leave_plan(Some(&plan), &site("a"), ROWS);
    assert_eq!(w.cursor.late[0].used.len(), ROWS);
    let second = w.plan(&["a", "b"]);
    assert_eq!(w.next(), Action::Begin(second), "the lease of the voided plan stays");
    let (used, hash) = {
        w.cursor.begin(second);
        w.step();
        w.cursor.all_used(second, w.view.plan(second).unwrap(), &site("a"), ROWS)
    };
    assert_eq!(used.iter().map(|u| (u.plan, u.used.len())).collect::<Vec<_>>(), [(first, ROWS), (second, ROWS)]);
    assert_eq!(hash, BatchHash(2));
    // Someone else's word that the lease is gone: late work over it must not be offered.
    w.cursor.late[0].plan = Seq(999);
    assert_eq!(w.next(), Action::DropLate);
}

#[test]
fn a_part_without_positions_offers_late_work_or_waits() {
    let mut w = World::new(&["a", "b"]);
    w.fix_state();
    let first = w.plan(&["a", "b"]);
    w.cursor.begin(first);
    w.step();
    w.commit(&["b"]);
    w.fix_state();
    w.cursor.applied = w.view.last_commit().0;
    w.cursor.round = Round(1);
    let plan = w.view.plan(first).cloned().unwrap();
    w.cursor.leave_plan(Some(&plan), &site("a"), ROWS);
    let second = w.plan_of(&[("a", 0, false), ("b", 6, false)]);
    assert_eq!(w.next(), Action::Begin(second));
    w.cursor.begin(second);
    assert_eq!(w.next(), Action::Offer, "late work alone");
    w.cursor.settle();
    w.cursor.begin(second);
    assert!(w.is_waiting(), "nothing to do and nothing to give");
}

#[test]
fn a_plan_may_drop_late_work() {
    let mut w = World::new(&["a", "b"]);
    w.fix_state();
    let first = w.plan(&["a", "b"]);
    w.cursor.begin(first);
    w.step();
    w.append(Body::Void(Void { round: Round(1), plans: vec![first], reason: "NoQuorum".to_owned() }));
    let plan = w.view.plan(first).cloned().unwrap();
    w.cursor.leave_plan(Some(&plan), &site("a"), ROWS);
    let second = w.plan_of(&[("a", 3, true), ("b", 3, false)]);
    assert_eq!(w.next(), Action::DropLate, "before the plan that says so is begun");
    w.cursor.settle();
    assert_eq!(w.next(), Action::Begin(second));
}

#[test]
fn effects_follow_the_record() {
    let mut w = World::new(&["a", "b"]);
    w.fix_state();
    let outer = |w: &World| match w.view.last_commit().2 {
        Commit::Outer(o) => o.clone(),
        _ => panic!(),
    };
    let of = |w: &World| effect(&outer(w), &site("a"), Incarnation(1), &w.cursor);
    let plan = w.plan(&["a", "b"]);
    w.cursor.begin(plan);
    w.step();
    w.commit(&["b"]);
    assert_eq!(of(&w), Effect::Shift, "left out once with work");
    w.fix_state();
    w.plan(&["a", "b"]);
    w.commit(&["b"]);
    assert_eq!(of(&w), Effect::Drop, "left out twice");
    w.fix_state();
    w.plan(&["a", "b"]);
    w.commit(&["a", "b"]);
    assert_eq!(of(&w), Effect::Take, "included");
    w.cursor.settle();
    w.fix_state();
    w.plan(&["a", "b"]);
    w.commit(&["b"]);
    assert_eq!(of(&w), Effect::Take, "left out once without work");
}

#[test]
fn parting() {
    let mut w = World::new(&["a"]);
    w.terminate = true;
    assert_eq!(w.next(), Action::Save);
    w.save();
    assert_eq!(w.next(), Action::Leave(Leave::Saved));
    w.terminate = false;
    w.desired = Desired::Suspend;
    assert_eq!(w.next(), Action::Leave(Leave::Saved));
    w.desired = Desired::Run;
    w.fence.attempt = Attempt(2);
    assert!(matches!(w.next(), Action::Leave(Leave::Rejoin(_))));
    w.desired = Desired::Stop;
    assert_eq!(w.next(), Action::Leave(Leave::Stopped));
}

#[test]
fn a_lost_store_does_nothing_at_all() {
    let mut w = World::new(&["a"]);
    w.plan(&["a"]);
    w.store_lost = true;
    assert!(w.is_waiting());
    w.terminate = true;
    assert_eq!(w.next(), Action::Leave(Leave::Saved), "nothing can be saved there");
}

#[test]
fn batches_walk_through_the_ranges_in_order() {
    let mut w = World::new(&["a"]);
    let seq = w.plan(&["a"]);
    w.cursor.begin(seq);
    let mut fed = Vec::new();
    loop {
        let plan = w.view.plan(seq).unwrap();
        let batch = w.cursor.batch(plan, &site("a"), 4);
        if batch.is_empty() {
            break;
        }
        assert_eq!(w.cursor.used(plan, &site("a"), 4), fed.iter().copied().collect());
        fed.extend(batch.iter());
        w.step();
    }
    assert_eq!(fed, (0..6).collect::<Vec<_>>(), "a short last batch");
    assert_eq!(w.cursor.inner_step, 2);
}

#[test]
fn only_zero_moments_warm_up() {
    let digest = world::digest();
    let zero = Cursor::rejoined(Seq(9), Round(5), digest, None);
    assert_eq!((zero.warmup_left, zero.trained_round), (WARMUP, Round(5)));
    let mut saved = Cursor { trained_round: Round(4), steps: 77, inner_step: 3, ..Cursor::fresh(digest) };
    let own = Cursor::rejoined(Seq(9), Round(5), digest, Some(&saved));
    assert_eq!((own.warmup_left, own.trained_round), (0, Round(4)), "they are as old as they were");
    assert!(!own.has_work() && own.plan.is_none(), "nothing else comes along");
    saved.warmup_left = 7;
    assert_eq!(Cursor::rejoined(Seq(9), Round(5), digest, Some(&saved)).warmup_left, 7, "an unfinished one goes on");
    assert_eq!(Cursor::rejoined(Seq(0), Round(0), digest, None), Cursor::fresh(digest));
    let old = |round| saved.stale_at(Round(round));
    assert_eq!((old(3), old(6), old(7)), (false, false, true));
}

#[test]
fn nothing_is_built_on_a_state_that_was_refuted() {
    let mut w = World::new(&["a", "b"]);
    w.fix_state();
    w.plan(&["a", "b"]);
    w.refuted = true;
    w.disagreement = true;
    assert_eq!(w.next(), Action::Reproduce, "first it is looked into");
    let commit = w.commit(&["b"]);
    w.held.insert(key("b", Seq(2)));
    assert_eq!(w.next(), Action::Reproduce, "also while a newer commit waits");
    w.stored.insert(commit);
    assert_eq!(w.next(), Action::Reproduce);
    w.stored.clear();
    w.disagreement = false;
    assert!(w.is_waiting(), "nothing newer is applied");
    w.stored.insert(Seq(0));
    assert_eq!(w.next(), Action::Jump(Seq(0)));
}

#[test]
fn a_milestone_is_measured_and_then_stored() {
    let mut w = World::new(&["a", "b"]);
    let mut last = Seq(0);
    for _ in 0..10 {
        w.fix_state();
        w.plan(&["a", "b"]);
        last = w.commit(&["a", "b"]);
    }
    w.cursor.applied = last;
    w.cursor.round = Round(10);
    assert_eq!(w.next(), Action::Evaluate(last), "every tenth round");
    w.cursor.measured = Some(last);
    assert_eq!(w.next(), Action::Store(last));
    w.stored.insert(last);
    assert!(w.is_waiting());
}
