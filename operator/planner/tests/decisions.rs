//! Single decisions, at instants that the simulator reaches or that are made by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod sim;

use coalition_planner::status::{Phase, Reason, SiteState};
use coalition_planner::{Decision, Millis, Observed, Received, World, plan};
use coalition_protocol::history::Head;
use coalition_protocol::messages::{Desired, Failure, SiteReport};
use coalition_protocol::record::{Body, Outcome};
use coalition_protocol::{Digest, Seq, SiteId};
use coalition_spec::run::{FailureAction, FailureReason, FailureRule};
use proptest::prelude::*;
use rstest::rstest;
use sim::{Fault, Sim};

const LIMIT: u64 = 900_000;

fn at_round(sites: u32, rounds: u64, seed: u64) -> Sim {
    let mut sim = Sim::new(sim::spec::small(sites, 20), &[100, 120, 140][..sites as usize], seed);
    assert!(sim.until(LIMIT, |s| s.view().is_some_and(|v| v.last_round().0 >= rounds)));
    sim
}

fn decide(sim: &Sim) -> Decision {
    plan(&sim.world, Millis(sim.now))
}

fn report<'a>(world: &'a mut World, site: &SiteId) -> &'a mut SiteReport {
    match &mut world.sites.get_mut(site).unwrap().report {
        Observed::Present { value, .. } => value,
        other => panic!("{other:?}"),
    }
}

fn kinds(sim: &Sim) -> Vec<&'static str> {
    sim.chain.iter().map(|r| r.body.kind()).collect()
}

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
fn suspended_runs_save_stop_and_go_on_from_there() {
    let mut sim = at_round(2, 3, 5);
    sim.world.suspend = true;
    let d = decide(&sim);
    assert!(matches!(d.status.phase, Phase::Suspending));
    sim.tick();
    assert!(sim.world.sites.values().all(|s| s.asked.as_ref().is_some_and(|a| a.desired == Desired::Suspend)));
    let plans = kinds(&sim).iter().filter(|k| **k == "plan").count();
    sim.until(40_000, |_| false);
    assert_eq!(kinds(&sim).iter().filter(|k| **k == "plan").count(), plans, "nothing is planned");
    assert!(!kinds(&sim).contains(&"members"), "and nobody is retired");
    sim.world.suspend = false;
    assert!(sim.until(LIMIT, Sim::ended));
}

#[test]
fn the_deadline_ends_a_run_and_says_so() {
    let mut sim = at_round(1, 2, 6);
    sim.world.spec.active_deadline_seconds = Some(sim.now / 1000 + 1);
    assert!(sim.until(LIMIT, Sim::ended));
    let end = sim.view().unwrap().ended().unwrap();
    assert_eq!(end.outcome, Outcome::DeadlineExceeded);
    assert!(end.message.contains("activeDeadlineSeconds"));
}

fn failing(codes: &[i32], rules: Vec<FailureRule>) -> Sim {
    let mut sim = at_round(1, 2, 7);
    sim.world.spec.failure_policy.rules = rules;
    let id = sim.sites[0].id.clone();
    let failure =
        |(n, code): (usize, &i32)| Failure { number: n as u64 + 1, worker: 0, exit_code: *code, log: "why".into() };
    let r = report(&mut sim.world, &id);
    r.gang.failures = codes.iter().enumerate().map(failure).collect();
    sim.world.tick(Millis(sim.now));
    sim
}

fn rule(codes: &[i32], reasons: &[FailureReason], action: FailureAction) -> FailureRule {
    FailureRule { on_exit_codes: codes.to_vec(), on_reasons: reasons.to_vec(), action }
}

#[rstest]
#[case::a_bug_is_charged(&[70, 70], vec![], 2, 0, false)]
#[case::the_machine_is_not(&[137, 75, 139], vec![], 0, 3, false)]
#[case::unless_a_rule_says_so(&[137], vec![rule(&[], &[], FailureAction::Restart)], 1, 0, false)]
#[case::or_that_it_is_not(&[70], vec![rule(&[70], &[], FailureAction::RestartAndIgnoreLimit)], 0, 1, false)]
#[case::three_are_allowed(&[70, 70, 70], vec![], 3, 0, false)]
#[case::four_end_it(&[70, 70, 70, 70], vec![], 4, 0, true)]
#[case::bad_configuration_ends_it(&[64], vec![rule(&[64], &[], FailureAction::FailRun)], 0, 0, true)]
#[case::first_rule_wins(&[64], vec![rule(&[], &[], FailureAction::Restart), rule(&[64], &[], FailureAction::FailRun)], 1, 0, false)]
fn failures_are_charged_by_the_first_rule(
    #[case] codes: &[i32],
    #[case] rules: Vec<FailureRule>,
    #[case] charged: u64,
    #[case] infrastructure: u64,
    #[case] ends: bool,
) {
    let sim = failing(codes, rules);
    let d = decide(&sim);
    assert_eq!((d.status.restarts_charged, d.status.restarts_infrastructure), (charged, infrastructure));
    match d.body() {
        Some(Body::End(e)) => {
            assert!(ends, "{e:?}");
            assert_eq!(e.outcome, Outcome::Failed);
            assert!(e.message.contains("alpha"), "{}", e.message);
        }
        other => assert!(!ends, "{other:?}"),
    }
    // Seen once is charged once, and falls out of the window.
    let mut w = sim.world.clone();
    w.tick(Millis(sim.now + 10));
    assert_eq!(w.memory.restarts, sim.world.memory.restarts);
    w.tick(Millis(sim.now + 101_000));
    assert_eq!(w.memory.restarts.charged.len(), 0);
}

#[test]
fn a_run_is_complete_only_once_its_last_checkpoint_is_at_two_sites() {
    let mut sim = Sim::new(sim::spec::small(2, 4), &[100, 100], 8);
    assert!(sim.until(LIMIT, |s| s.view().is_some_and(|v| v.tokens() >= v.genesis().budget)));
    for id in ["alpha", "beta"] {
        report(&mut sim.world, &id.parse().unwrap()).checkpoints.clear();
    }
    let d = decide(&sim);
    assert!(!matches!(d.body(), Some(Body::End(_) | Body::Plan(_))));
    assert_eq!((d.status.phase, d.status.reason), (Phase::Finishing, Reason::SavingFinalCheckpoint));
    let wanted = sim.view().unwrap().last_commit().0;
    assert!(sim.until(LIMIT, Sim::ended));
    let end = sim.view().unwrap().ended().unwrap();
    assert_eq!((end.of, end.confirmers.len()), (wanted, 2));
}

#[test]
fn the_only_site_that_has_the_state_is_waited_for_not_replaced() {
    let mut sim = at_round(1, 3, 9);
    sim.inflict(Fault::Down { site: 0, millis: 120_000 });
    sim.until(100_000, |_| false);
    let line = &decide(&sim).status.sites[0];
    assert_eq!(line.state, SiteState::Silent);
    assert!(line.next.contains("waits for it"), "{}", line.next);
    assert!(sim.until(LIMIT, Sim::ended));
    assert_eq!(sim.view().unwrap().incarnation(&sim.sites[0].id).unwrap().0, 1);
}

#[test]
fn a_state_that_nobody_has_any_more_stalls_and_says_what_was_lost() {
    let mut sim = at_round(2, 5, 10);
    sim.inflict(Fault::LoseStore { site: 0, millis: 500 });
    sim.inflict(Fault::LoseStore { site: 1, millis: 500 });
    sim.until(30_000, |_| false);
    let status = decide(&sim).status;
    assert_eq!((status.phase, status.reason), (Phase::Stalled, Reason::StateLost));
    assert!(status.message.contains("cannot rewind"), "{}", status.message);
    let rounds = sim.view().unwrap().last_round();
    sim.until(60_000, |_| false);
    assert_eq!(sim.view().unwrap().last_round(), rounds, "nothing is built on what is gone");
}

#[test]
fn a_store_lost_before_the_first_commit_loses_nothing() {
    let mut sim = Sim::new(sim::spec::small(1, 4), &[100], 11);
    assert!(sim.until(LIMIT, |s| s.view().is_some_and(|v| v.open_plans().count() > 0)));
    sim.inflict(Fault::LoseStore { site: 0, millis: 300 });
    assert!(sim.until(LIMIT, Sim::ended));
    assert_eq!(sim.view().unwrap().incarnation(&sim.sites[0].id).unwrap().0, 2);
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
fn work_left_out_at_the_end_costs_one_more_trimmed_plan() {
    for seed in 0..12 {
        let mut sim = Sim::new(sim::spec::small(2, 6), &[100, 100], seed);
        let victim = (seed % 2) as usize;
        assert!(sim.until(LIMIT, |s| s.view().is_some_and(|v| v.last_round().0 >= 5)));
        sim.inflict(Fault::KillTrainer { site: victim, millis: 3500 });
        assert!(sim.until(LIMIT, Sim::ended), "seed {seed}");
        let v = sim.view().unwrap();
        let over = v.tokens() - v.genesis().budget;
        assert!(over <= 4 * v.genesis().sequence_length, "seed {seed}: {over} tokens too many");
    }
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
