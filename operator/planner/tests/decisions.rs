//! Single decisions, at instants that the simulator reaches or that are made by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;
mod sim;

use coalition_planner::commit::{self, Refused};
use coalition_planner::status::{Phase, Reason};
use coalition_planner::{Millis, Received, Standing, World, plan};
use coalition_protocol::history::Head;
use coalition_protocol::messages::SiteReport;
use coalition_protocol::record::Body;
use coalition_protocol::{Digest, Seq, SiteId};
use common::{LIMIT, at_round, decide, kinds, report};
use proptest::prelude::*;
use sim::{Fault, Sim};

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// The order in which sites answer does not matter, and deciding twice is deciding once.
    #[test]
    fn the_order_of_answers_does_not_matter(seed in 0u64..1000, ticks in 1u64..160, order in Just([0usize, 1, 2]).prop_shuffle()) {
        let mut sim = Sim::new(sim::spec::small(3, 10), &[100, 130, 90], seed);
        for n in 0..3 {
            sim.faults.push((2000 + n * 3000, Fault::KillTrainer { site: (seed % 3) as usize, millis: 2500 }));
        }
        for _ in 0..ticks {
            sim.tick();
        }
        let now = sim.now + 50;
        let names: Vec<SiteId> = sim.sites.iter().map(|s| s.id.clone()).collect();
        let answers: Vec<Option<SiteReport>> = names.iter().map(|n| sim.world.sites[n].report.value().cloned()).collect();
        let asked = |order: &[usize]| {
            let mut w = sim.world.clone();
            let nonce = w.leader.nonce.clone();
            w.new_leader(nonce, Millis(now));
            w.memory.round = None;
            for n in order {
                if let Some(r) = answers[*n].clone() {
                    w.report(r, Millis(now));
                }
            }
            plan(&w, Millis(now))
        };
        let one = asked(&[0, 1, 2]);
        prop_assert_eq!(&one, &asked(&order));
        prop_assert_eq!(decide(&sim), decide(&sim));
    }
}

#[test]
fn an_old_or_foreign_report_replaces_nothing() {
    let mut sim = at_round(2, 2, 1);
    let id = sim.sites[0].id.clone();
    let known = report(&mut sim.world, &id).clone();
    let now = Millis(sim.now + 1);
    let w = &mut sim.world;
    let with = |f: &dyn Fn(&mut SiteReport)| {
        let mut r = SiteReport { counter: known.counter + 5, ..known.clone() };
        f(&mut r);
        r
    };
    assert_eq!(w.report(with(&|r| r.counter = 1), now), Received::Old);
    assert_eq!(w.report(with(&|r| r.nonce = "another".into()), now), Received::OtherNonce);
    assert_eq!(w.report(with(&|r| r.incarnation.0 = 9), now), Received::StaleFence);
    assert_eq!(w.report(with(&|r| r.run = "another".parse().unwrap()), now), Received::OtherRun);
    assert_eq!(report(w, &id), &known);
    assert_eq!(w.report(with(&|_| {}), now), Received::Newest);
}

#[test]
fn a_new_leader_appends_nothing_until_all_echo_or_one_grace_passed() {
    let mut sim = at_round(2, 3, 2);
    sim.world.new_leader("second", Millis(sim.now));
    let d = decide(&sim);
    assert_eq!((d.append, d.status.reason), (None, Reason::NewLeader));
    assert_eq!(d.next_deadline, Some(Millis(sim.now + 2000)));
    assert!(d.intents.len() >= 2, "every site is shown the nonce");
    let head = sim.view().unwrap().head();
    // One site stays away: the other goes on after the grace, no sooner.
    sim.inflict(Fault::Down { site: 0, millis: 60_000 });
    sim.until(1800, |_| false);
    assert_eq!(sim.view().unwrap().head(), head);
    assert!(sim.until(20_000, |s| s.view().unwrap().head().seq > head.seq));
}

#[test]
fn a_norm_above_the_limit_sets_the_site_aside_until_it_is_back_in_line() {
    let mut sim = at_round(2, 6, 3);
    sim.sites[1].norm = 6.0;
    let is_aside = |s: &Sim| s.view().unwrap().members()[&s.sites[1].id].set_aside.is_some();
    assert!(sim.until(LIMIT, is_aside));
    let last = sim.chain.iter().rev().find_map(|r| if let Body::Members(m) = &r.body { Some(m) } else { None });
    assert_eq!(last.unwrap().set_aside[0].reason, "NormAboveLimit");
    sim.sites[1].norm = 1.0;
    assert!(sim.until(LIMIT, |s| !is_aside(s)), "lifted after a commit without it");
    assert!(sim.until(LIMIT, Sim::ended));
}

#[test]
fn the_last_member_above_the_limit_is_not_set_aside_but_told() {
    let mut sim = at_round(2, 6, 3);
    sim.sites[0].norm = 6.0;
    sim.sites[1].norm = 7.0;
    sim.until(60_000, |_| false);
    let status = decide(&sim).status;
    assert_eq!((status.phase, status.reason), (Phase::Stalled, Reason::NormAboveLimit), "{}", status.message);
}

#[test]
fn a_head_this_history_does_not_know_sets_aside_and_a_newer_one_stops_everything() {
    let mut sim = at_round(2, 3, 4);
    let id = sim.sites[1].id.clone();
    let head = sim.view().unwrap().head();
    let mut w = sim.world.clone();
    report(&mut w, &id).head = Some(Head { digest: Digest::ZERO, ..head });
    let d = plan(&w, Millis(sim.now));
    let Some(Body::Members(m)) = d.body() else { panic!("{:?}", d.append) };
    assert_eq!(m.set_aside[0].reason, "UnprovedHead");
    report(&mut sim.world, &id).head = Some(Head { seq: head.seq.next(), ..head });
    let d = decide(&sim);
    assert_eq!((d.append, d.status.phase, d.status.reason), (None, Phase::Stalled, Reason::HubRewound));
}

#[test]
fn different_states_that_are_reproduced_stall_the_run() {
    let mut sim = Sim::new(sim::spec::small(2, 20), &[100, 100], 12);
    // A fresh commit whose state nobody has fixed yet.
    assert!(
        sim.until(LIMIT, |s| {
            s.view().is_some_and(|v| v.last_round().0 >= 3 && v.state(v.last_commit().0).is_none())
        })
    );
    let of = sim.view().unwrap().last_commit().0;
    for (id, bits) in [("alpha", b"a"), ("beta", b"b")] {
        let r = report(&mut sim.world, &id.parse().unwrap());
        let digest = Digest::of(bits);
        let chunks = vec![digest];
        r.state = Some(coalition_protocol::messages::StateReport { of, digest, chunks, reproduced: false });
    }
    let d = decide(&sim);
    assert_eq!((d.body(), d.status.reason), (None, Reason::StatesDiffer));
    let exposed = d.intents.iter().filter_map(|i| match i {
        coalition_planner::Intent::AskSite(r) => Some(r.disagreement.len()),
        coalition_planner::Intent::AnnounceCheckpoint(_) => None,
    });
    assert_eq!(exposed.collect::<Vec<_>>(), [2, 2], "both see both");
    for id in ["alpha", "beta"] {
        report(&mut sim.world, &id.parse().unwrap()).state.as_mut().unwrap().reproduced = true;
    }
    let d = decide(&sim);
    assert_eq!((d.body(), d.status.phase, d.status.reason), (None, Phase::Stalled, Reason::ArithmeticDisagreement));
}

#[test]
fn a_quorum_that_cannot_be_had_voids_the_plans_and_moves_no_range() {
    let mut spec = sim::spec::small(2, 20);
    spec.training.outer.quorum = 2;
    let mut sim = Sim::new(spec, &[100, 100], 13);
    assert!(sim.until(LIMIT, |s| s.view().is_some_and(|v| v.last_round().0 >= 3)));
    sim.inflict(Fault::Down { site: 1, millis: 30_000 });
    assert!(sim.until(LIMIT, |s| kinds(s).contains(&"void")));
    assert!(sim.until(LIMIT, Sim::ended));
}

#[test]
fn grace_is_twenty_seconds_at_least_unless_it_is_set() {
    let mut sim = at_round(2, 2, 14);
    let grace = |s: &Sim| {
        s.chain.iter().rev().find_map(|r| if let Body::Plan(p) = &r.body { Some(p.grace_millis) } else { None })
    };
    assert_eq!(grace(&sim), Some(2000));
    sim.world.spec.training.outer.grace_seconds = None;
    let rounds = sim.view().unwrap().last_round().0;
    assert!(sim.until(LIMIT, |s| s.view().unwrap().last_round().0 > rounds + 2));
    assert_eq!(grace(&sim), Some(20_000));
}

#[test]
fn a_newcomer_that_cannot_apply_a_contribution_does_not_count_as_its_holder() {
    let mut sim = at_round(2, 3, 15);
    let id = sim.sites[1].id.clone();
    sim.inflict(Fault::LoseStore { site: 1, millis: 300 });
    let there = |s: &Sim| s.world.sites[&id].report.value().is_some_and(|r| r.incarnation.0 == 2 && r.state.is_none());
    assert!(sim.until(LIMIT, there));
    let s = Standing::new(&sim.world, sim.view().unwrap(), &sim.world.memory, Millis(sim.now));
    assert!(s.heard(&id) && !s.reaches(&id) && !s.counted().contains(&id));
    assert!(s.counted().contains(&sim.sites[0].id));
}

#[test]
fn an_offer_counts_only_from_the_agreed_state() {
    let mut sim = at_round(2, 3, 16);
    let id = sim.sites[1].id.clone();
    let offering = |s: &Sim| {
        let v = s.view().unwrap();
        let s = Standing::new(&s.world, v, &s.world.memory, Millis(s.now));
        v.state(v.last_commit().0).is_some() && commit::offer_of(&s, &id).is_some()
    };
    assert!(sim.until(LIMIT, offering));
    let r = report(&mut sim.world, &id);
    let offer = r.offers.last().unwrap().clone();
    r.state.as_mut().unwrap().digest = Digest::ZERO;
    let s = Standing::new(&sim.world, sim.view().unwrap(), &sim.world.memory, Millis(sim.now));
    assert_eq!(commit::judge(&s, &id, &offer), Err(Refused::NotOnBase));
    assert!(!commit::heard_offers(&s).contains_key(&id));
}

#[test]
fn a_run_begins_once_all_sites_are_there_or_the_others_were_waited_for() {
    let spec = sim::spec::small(3, 4);
    let mut w = Sim::new(spec, &[100, 100, 100], 1).world;
    let id = |n: &str| -> SiteId { n.parse().unwrap() };
    w.heard(&id("alpha"), Millis(100));
    let d = plan(&w, Millis(100));
    assert_eq!((d.append, d.status.phase, d.next_deadline), (None, Phase::Queued, Some(Millis(2000))));
    let begins = |w: &World, t: u64| match plan(w, Millis(t)).append.map(|r| r.body) {
        Some(Body::Genesis(g)) => g.members.len(),
        None => 0,
        other => panic!("{other:?}"),
    };
    assert_eq!((begins(&w, 1999), begins(&w, 2000)), (0, 1));
    w.heard(&id("beta"), Millis(100));
    w.heard(&id("gamma"), Millis(100));
    assert_eq!(begins(&w, 200), 3);
    w.sites.get_mut(&id("beta")).unwrap().refusal = Some("its store is read-only".into());
    assert_eq!(begins(&w, 200), 2, "who cannot is not waited for");
    assert_eq!(Seq(0), plan(&w, Millis(200)).append.unwrap().seq);
}
