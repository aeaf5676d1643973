//! How runs stop and end: suspended, out of time, failed, complete, lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;
mod sim;

use coalition_planner::Millis;
use coalition_planner::status::{Phase, Reason, SiteState};
use coalition_protocol::messages::{Desired, Failure};
use coalition_protocol::record::{Body, Outcome};
use coalition_spec::run::{FailureAction, FailureReason, FailureRule};
use common::{LIMIT, at_round, decide, kinds, report};
use rstest::rstest;
use sim::{Fault, Sim};

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
    assert!(end.message.contains("a new run may begin from one"), "{}", end.message);
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
#[case::nor_a_damaged_store(&[66; 12], vec![], 0, 12, false)]
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

/// A site's next incarnation brings its old failures along: they were charged already, and only a new number is new.
#[test]
fn failures_are_charged_once_over_all_incarnations() {
    let mut sim = failing(&[70, 70], vec![]);
    let id = sim.sites[0].id.clone();
    let r = report(&mut sim.world, &id);
    r.incarnation = r.incarnation.next();
    sim.world.tick(Millis(sim.now + 10));
    assert_eq!(sim.world.memory.restarts.charged.len(), 2);
    let r = report(&mut sim.world, &id);
    r.gang.failures = vec![Failure { number: 3, worker: 0, exit_code: 70, log: "why".into() }];
    sim.world.tick(Millis(sim.now + 20));
    assert_eq!(sim.world.memory.restarts.charged.len(), 3);
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
    assert!(status.message.contains("begins at the beginning"), "{}", status.message);
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
fn work_left_out_at_the_end_costs_one_more_trimmed_plan() {
    for seed in 0..12 {
        let mut sim = Sim::new(sim::spec::small(2, 6), &[100, 100], seed);
        let victim = (seed % 2) as usize;
        assert!(sim.until(LIMIT, |s| s.view().is_some_and(|v| v.last_round().0 >= 5)));
        sim.inflict(Fault::Down { site: victim, millis: 3000 + seed * 700 });
        assert!(sim.until(LIMIT, Sim::ended), "seed {seed}");
        let v = sim.view().unwrap();
        let over = v.tokens() - v.genesis().budget;
        assert!(over <= 4 * v.genesis().sequence_length, "seed {seed}: {over} tokens too many");
    }
}

#[test]
fn late_work_counts_as_planned() {
    let mut sim = Sim::new(sim::spec::small(2, 8), &[100, 100], 17);
    assert!(sim.until(LIMIT, |s| s.view().is_some_and(|v| v.last_round().0 >= 6)));
    sim.inflict(Fault::Down { site: 1, millis: 60_000 });
    assert!(sim.until(LIMIT, |s| s.view().unwrap().last_round().0 >= 7));
    let v = sim.view().unwrap();
    assert_eq!(v.members()[&sim.sites[1].id].missed, 1, "left out of round 7");
    // Committed, in flight, and what the one left out keeps of round 7 make up the budget, to the token.
    sim.until(300, |s| s.view().unwrap().last_round().0 > 7);
    let v = sim.view().unwrap();
    let open: Vec<_> = v.open_plans().map(|(seq, _)| seq).collect();
    let kept = v.ledger().all_leases().filter(|(plan, _)| !open.contains(plan));
    let late = kept.map(|(_, l)| l.ranges.len()).sum::<u64>() * v.genesis().sequence_length;
    assert!(v.last_round().0 == 7 && late > 0);
    assert_eq!(v.tokens() + v.in_flight() + late, v.genesis().budget);
}

/// What `why` says of a site that is away: what the others do meanwhile, and when its part is given up.
#[test]
fn of_a_site_that_is_away_it_is_told_what_happens_and_when() {
    let mut sim = at_round(2, 3, 11);
    let after = sim.world.spec.sites.replace_after_seconds;
    sim.inflict(Fault::Down { site: 0, millis: 10_000 * after });
    assert!(sim.until(LIMIT, |s| decide(s).status.sites[0].state == SiteState::Silent));
    let status = decide(&sim).status;
    assert_eq!(status.reason, Reason::SiteSilent);
    for text in [&status.sites[0].next, &status.message] {
        for word in ["round ", "retired in ", " s ", "sites.replaceAfterSeconds"] {
            assert!(text.contains(word), "{word:?} is missing in: {text}");
        }
    }
    assert!(status.sites[0].waiting_for.starts_with("a sign of life, for "), "{}", status.sites[0].waiting_for);
    assert!(sim.until(LIMIT, |s| decide(s).status.sites[0].state == SiteState::Retired));
    assert!(decide(&sim).status.sites[0].next.contains("new incarnation"), "it may come back");
    assert!(sim.until(LIMIT, Sim::ended));
}
