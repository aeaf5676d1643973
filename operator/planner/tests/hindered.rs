//! Sites that are heard and do not do their part: a gang that hangs, a store that takes nothing, stores that were rolled back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;
mod sim;

use coalition_planner::status::{Phase, Reason};
use coalition_planner::{Millis, Standing, commit, plan};
use coalition_protocol::SiteId;
use coalition_protocol::messages::StateReport;
use coalition_protocol::record::Body;
use common::{LIMIT, at_round, decide, report};
use sim::Sim;

/// A gang that does nothing at a site that speaks: told at once, retired after `sites.replaceAfterSeconds`, and not taken back
/// while it goes on doing nothing.
#[test]
fn a_gang_that_hangs_is_retired_though_its_site_is_heard() {
    let mut sim = at_round(2, 3, 21);
    let id = sim.sites[0].id.clone();
    let after = sim.world.spec.sites.replace_after_seconds;
    let still = |sim: &mut Sim, seconds: u64| {
        report(&mut sim.world, &id).gang.still_seconds = seconds;
        decide(sim)
    };
    let retired = |d: &coalition_planner::Decision| match d.body() {
        Some(Body::Members(m)) => m.retired.iter().map(|r| (r.site.clone(), r.reason.clone())).collect(),
        _ => Vec::new(),
    };
    let d = still(&mut sim, 60);
    assert_eq!((d.status.reason, retired(&d)), (Reason::SiteHindered, vec![]));
    assert!(d.status.sites[0].waiting_for.contains("no sign of life for 60 s"), "{}", d.status.sites[0].waiting_for);
    let enough = after.max(120);
    assert_eq!(retired(&still(&mut sim, enough - 1)), vec![]);
    let d = still(&mut sim, enough);
    assert_eq!(retired(&d), vec![(id.clone(), "Hangs".to_owned())]);
    // Its next report, of whatever incarnation, says whether it could join.
    let mut r = report(&mut sim.world, &id).clone();
    r.counter += 1;
    sim.world.report(r.clone(), Millis(sim.now));
    assert!(sim.world.sites[&id].refusal.as_ref().is_some_and(|x| x.contains("no sign of life")));
    r.counter += 1;
    r.gang.still_seconds = 0;
    sim.world.report(r, Millis(sim.now));
    assert_eq!(sim.world.sites[&id].refusal, None);
}

/// The last site is not retired for hanging: what it alone has would be lost.
#[test]
fn the_only_site_is_not_retired_for_hanging() {
    let mut sim = at_round(1, 3, 22);
    let id = sim.sites[0].id.clone();
    report(&mut sim.world, &id).gang.still_seconds = 100_000;
    let d = decide(&sim);
    assert!(!matches!(d.body(), Some(Body::Members(_))), "{:?}", d.body());
    assert_eq!(d.status.reason, Reason::SiteHindered);
}

/// A store that takes nothing: its site is given the hold window, then the round is committed without it, and the reason told is
/// the store's, not that members do not reach each other.
#[test]
fn a_site_whose_store_takes_nothing_is_left_out_after_the_windows() {
    let mut sim = at_round(2, 3, 23);
    let (other, id) = (sim.sites[0].id.clone(), sim.sites[1].id.clone());
    assert!(sim.until(LIMIT, |s| {
        let (view, now) = (s.view().unwrap(), Millis(s.now));
        let standing = Standing::new(&s.world, view, &s.world.memory, now);
        commit::offers(&standing).len() == 1 && commit::offers(&standing).contains_key(&other)
    }));
    // Nothing more is heard from the simulator: the hub goes on by hand, with what the sites would say.
    let grace = sim.view().unwrap().current_plan().unwrap().1.grace_millis;
    let fails = coalition_protocol::messages::STORE_FAILED.to_owned();
    report(&mut sim.world, &id).refusals.insert(fails, "the disk is full".to_owned());
    let decide_at = |sim: &mut Sim, at: u64| {
        let now = Millis(at);
        for site in [&other, &id] {
            sim.world.heard(site, now);
        }
        plan(&sim.world, now)
    };
    let start = sim.now;
    let (mut at, mut seen) = (start, None);
    while at < start + 3 * grace + 1000 {
        at += 50;
        let d = decide_at(&mut sim, at);
        assert_eq!(d.status.reason, Reason::SiteHindered, "{}", d.status.message);
        assert!(d.status.message.contains("the disk is full"), "{}", d.status.message);
        if let Some(Body::Outer(o)) = d.body() {
            assert_eq!(o.holders, vec![other.clone()]);
            seen = Some(at);
            break;
        }
        assert!(d.body().is_none(), "{:?}", d.body());
    }
    let seen = seen.expect("committed without it");
    assert!(seen - start >= 2 * grace, "it had both windows: {} ms, the grace is {grace}", seen - start);
}

/// Two stores rolled back under a newer hub: what the sites say for a grace counts against what the history says they hold.
#[test]
fn stores_that_were_rolled_back_together_are_seen_to_hold_nothing() {
    let mut sim = at_round(2, 5, 24);
    let newest = sim.view().unwrap().last_commit().0;
    let earlier = sim.view().unwrap().commits().rev().nth(2).map(|(seq, ..)| seq).unwrap();
    let now = Millis(sim.now);
    let names: Vec<SiteId> = sim.sites.iter().map(|s| s.id.clone()).collect();
    for id in &names {
        let mut r = report(&mut sim.world, id).clone();
        r.counter += 1;
        r.holds.clear();
        r.offers.clear();
        r.checkpoints.clear();
        if let Some(state) = &mut r.state {
            state.of = earlier;
            state.digest = sim.states[&earlier];
        }
        sim.world.report(r, now);
    }
    assert_ne!(decide(&sim).status.reason, Reason::StateLost, "it may be about to say more");
    let later = Millis(sim.now + sim.view().unwrap().current_plan().map_or(20_000, |(_, p)| p.grace_millis));
    for id in &names {
        sim.world.heard(id, later);
    }
    let d = plan(&sim.world, later);
    assert_eq!((d.status.phase, d.status.reason), (Phase::Stalled, Reason::StateLost), "{}", d.status.message);
    assert!(d.status.message.contains(&format!("record {earlier}")), "{} {newest}", d.status.message);
}

/// At the end nothing but the last checkpoint's second copy is wanted. A store that takes nothing is waited for as long as a
/// silent site, then the run ends without it.
#[test]
fn a_store_that_takes_nothing_does_not_keep_a_run_from_its_end() {
    let mut sim = Sim::new(sim::spec::small(2, 4), &[100, 100], 25);
    assert!(sim.until(LIMIT, |s| s.view().is_some_and(|v| v.tokens() >= v.genesis().budget)));
    let (well, ill) = (sim.sites[0].id.clone(), sim.sites[1].id.clone());
    let (newest, after) = (sim.view().unwrap().last_commit().0, sim.world.spec.sites.replace_after_seconds * 1000);
    let state = sim.states[&newest];
    // By hand from here: both show the last state, and it is agreed on.
    for site in [&well, &ill] {
        let r = report(&mut sim.world, site);
        r.state = r.state.take().map(|s| StateReport { of: newest, digest: state, ..s });
        r.checkpoints.clear();
    }
    while let Some(record) = decide(&sim).append {
        assert!(matches!(record.body, Body::State(_)), "{record:?}");
        sim.world.appended(&record, Millis(sim.now)).unwrap();
    }
    let stored = coalition_protocol::messages::StoredCheckpoint { seq: newest, state, bytes: 1 };
    report(&mut sim.world, &well).checkpoints = vec![stored];
    let broken = report(&mut sim.world, &ill);
    broken.checkpoints.clear();
    broken.refusals.insert(coalition_protocol::messages::STORE_FAILED.to_owned(), "the disk is full".to_owned());
    let at = |sim: &mut Sim, millis: u64| {
        let now = Millis(sim.now + millis);
        for site in [&well, &ill] {
            sim.world.heard(site, now);
        }
        plan(&sim.world, now)
    };
    let d = at(&mut sim, 10);
    assert!(d.body().is_none() && d.status.phase == Phase::Finishing, "{:?}", d.body());
    assert!(
        d.status.message.contains("the disk is full") && d.status.message.contains("retired"),
        "{}",
        d.status.message
    );
    assert!(at(&mut sim, after - 1).body().is_none());
    let d = at(&mut sim, after + 10);
    let Some(Body::Members(m)) = d.body() else { panic!("{:?}", d.body()) };
    assert_eq!((m.retired[0].site.clone(), m.retired[0].reason.as_str()), (ill.clone(), "StoreFails"));
    assert!(m.joined.is_empty());
    let now = Millis(sim.now + after + 10);
    sim.world.appended(d.append.as_ref().unwrap(), now).unwrap();
    let d = plan(&sim.world, now);
    assert!(matches!(d.body(), Some(Body::End(e)) if e.confirmers == [well.clone()]), "{:?}", d.body());
}
