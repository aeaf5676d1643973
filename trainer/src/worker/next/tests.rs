//! The judgement, without network, files or tensors: legal histories on one side, the expected action on the other.
use std::collections::BTreeSet;

use coalition_protocol::bits::BatchHash;
use coalition_protocol::history::View;
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::messages::Desired;
use coalition_protocol::record::{
    Assignment, Body, Genesis, Included, LeaseUse, LeftOut, Outer, Part, Plan, Record, State, VERSION, Void,
};
use coalition_protocol::sign::HubKey;
use coalition_protocol::{Attempt, Digest, Epoch, Incarnation, IntervalSet, Real, Round, Seq, SiteId};
use coalition_spec::run::Interval;

use super::*;
use crate::worker::effect::{Effect, effect};

const ROWS: u64 = 2;

fn site(name: &str) -> SiteId {
    name.parse().unwrap()
}

fn digest() -> Digest {
    Digest::of(b"state")
}

struct World {
    view: View,
    cursor: Cursor,
    saved: Option<Cursor>,
    offered: Option<Seq>,
    stored: BTreeSet<Seq>,
    held: BTreeSet<ContributionKey>,
    desired: Desired,
    fence: Fence,
    store_lost: bool,
    refuted: bool,
    terminate: bool,
}

impl World {
    /// A run of these sites at its beginning, seen by `a`; θ was measured.
    fn new(sites: &[&str]) -> Self {
        let genesis = Genesis {
            hub_key: HubKey::from_seed(&[1; 32]).public().0,
            hub_generation: 1,
            spec: Digest::ZERO,
            data: Digest::ZERO,
            samples_per_pass: 1000,
            sequence_length: 8,
            batch_tokens: 8 * ROWS,
            inner_steps: 3,
            budget: 10_000,
            seed: 1,
            elements: 4096,
            fragments: 1,
            outer_lr: Real::new(0.7).unwrap(),
            outer_momentum: Real::new(0.9).unwrap(),
            members: sites.iter().map(|s| Assignment { site: site(s), incarnation: Incarnation(1) }).collect(),
        };
        let record = Record {
            version: VERSION,
            run: "r".parse().unwrap(),
            epoch: Epoch(1),
            seq: Seq(0),
            parent: Digest::ZERO,
            body: Body::Genesis(genesis),
        };
        let view = View::start(&HubKey::from_seed(&[1; 32]).sign(record).unwrap()).unwrap();
        let mut cursor = Cursor::fresh(digest());
        cursor.measured = Some(Seq(0));
        Self {
            view,
            cursor,
            saved: None,
            offered: None,
            stored: BTreeSet::new(),
            held: BTreeSet::new(),
            desired: Desired::Run,
            fence: Fence { epoch: Epoch(1), incarnation: Incarnation(1), attempt: Attempt(1) },
            store_lost: false,
            refuted: false,
            terminate: false,
        }
    }

    fn append(&mut self, body: Body) -> Seq {
        let record = self.view.next(body);
        self.view.apply(&record).unwrap();
        record.seq
    }

    /// Plans the next round for these sites, three steps each.
    fn plan(&mut self, sites: &[&str]) -> Seq {
        let mut taken = IntervalSet::new();
        let parts = sites
            .iter()
            .map(|s| {
                let ranges = self.view.ledger().next_free(3 * ROWS, &taken);
                taken = taken.union(&ranges);
                let tokens = ranges.len() * 8;
                Part { site: site(s), incarnation: Incarnation(1), inner_steps: 3, ranges, tokens }
            })
            .collect();
        let round = self.view.open_plans().last().map_or(self.view.last_round(), |(_, p)| p.round).next();
        let in_flight: u64 = self.view.open_plans().map(|(_, p)| p.tokens()).sum();
        self.append(Body::Plan(Plan {
            round,
            tokens_before: self.view.tokens() + in_flight,
            budget: 10_000,
            parts,
            stretch: 4,
            grace_millis: 1,
            quorum: 1,
            norm_limit: None,
        }))
    }

    fn fix_state(&mut self) {
        let of = self.view.last_commit().0;
        let confirmers = vec![site("a")];
        self.append(Body::State(State { of, digest: digest(), confirmers }));
    }

    /// Commits the current plan with the contributions of `sites`; the others are left out.
    fn commit(&mut self, sites: &[&str]) -> Seq {
        let (seq, plan) = self.view.current_plan().map(|(s, p)| (s, p.clone())).unwrap();
        let has = |s: &SiteId| sites.contains(&s.as_str());
        let included: Vec<Included> = plan
            .parts
            .iter()
            .filter(|p| has(&p.site))
            .map(|p| Included {
                key: key(p.site.as_str(), seq),
                digest: Digest::ZERO,
                tokens: p.tokens,
                used: vec![LeaseUse { plan: seq, used: p.ranges.clone() }],
                batch_hash: BatchHash(0),
                norm: Real::ZERO,
            })
            .collect();
        let left_out = plan
            .parts
            .iter()
            .filter(|p| !has(&p.site))
            .map(|p| LeftOut {
                site: p.site.clone(),
                incarnation: p.incarnation,
                returned: self.view.members()[&p.site].missed >= 1,
            })
            .collect();
        let tokens = self.view.tokens() + included.iter().map(|i| i.tokens).sum::<u64>();
        let holders = included.iter().map(|i| i.key.site.clone()).collect();
        self.append(Body::Outer(Outer {
            plan: seq,
            round: plan.round,
            fragment: 0,
            included,
            holders,
            left_out,
            tokens,
        }))
    }

    fn next(&self) -> Action {
        let me = site("a");
        let situation = Situation {
            site: &me,
            fence: Fence { epoch: Epoch(1), incarnation: Incarnation(1), attempt: Attempt(1) },
            cursor: &self.cursor,
            rows: ROWS,
            offered: self.offered,
            saved: self.saved.as_ref(),
            since_saved: 0,
            stored: &self.stored,
            interval: Interval::Steps(2),
            keep_every: 10,
            measures: true,
        };
        let outside = Outside {
            view: &self.view,
            desired: self.desired,
            fence: self.fence,
            store_lost: self.store_lost,
            held: &self.held,
            save: &[],
            disagreement: false,
            refuted: self.refuted,
            terminate: self.terminate,
        };
        next(&situation, &outside)
    }

    fn step(&mut self) {
        self.cursor.stepped(BatchHash(1), true, self.cursor.round.next());
    }

    fn save(&mut self) {
        self.saved = Some(self.cursor.clone());
    }

    fn is_waiting(&self) -> bool {
        matches!(self.next(), Action::Wait(_))
    }
}

fn key(maker: &str, plan: Seq) -> ContributionKey {
    ContributionKey { site: site(maker), epoch: Epoch(1), incarnation: Incarnation(1), plan, fragment: 0, entry: 1 }
}

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
fn nothing_is_built_on_a_state_that_was_refuted() {
    let mut w = World::new(&["a", "b"]);
    w.fix_state();
    w.plan(&["a", "b"]);
    w.refuted = true;
    assert!(w.is_waiting());
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
