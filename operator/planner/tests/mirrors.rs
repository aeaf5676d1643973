//! A hub whose history was rolled back: what comes back from mirrors, what stops it, who is set aside (D7).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod sim;

use coalition_planner::status::{Phase, Reason};
use coalition_planner::{Millis, Observed, World, plan};
use coalition_protocol::history::View;
use coalition_protocol::messages::SiteReport;
use coalition_protocol::record::Body;
use coalition_protocol::sign::{HubKey, SignedRecord};
use coalition_protocol::{Digest, SiteId};
use sim::Sim;

fn at_round(sites: u32, rounds: u64, seed: u64) -> Sim {
    let mut sim = Sim::new(sim::spec::small(sites, 20), &[100, 120, 140][..sites as usize], seed);
    assert!(sim.until(900_000, |s| s.view().is_some_and(|v| v.last_round().0 >= rounds)));
    sim
}

fn report<'a>(world: &'a mut World, site: &SiteId) -> &'a mut SiteReport {
    match &mut world.sites.get_mut(site).unwrap().report {
        Observed::Present { value, .. } => value,
        other @ Observed::Unknown { .. } => panic!("{other:?}"),
    }
}

/// A hub whose history lost its newest records, and those records.
fn rolled_back(by: usize) -> (Sim, World, Vec<SignedRecord>) {
    let sim = at_round(2, 4, 9);
    let key = HubKey::from_seed(&[7; 32]);
    let mut signed: Vec<SignedRecord> = sim.chain.iter().map(|r| key.sign(r.clone()).unwrap()).collect();
    let lost = signed.split_off(signed.len() - by);
    let mut world = sim.world.clone();
    world.view = View::replay(&signed).unwrap();
    world.tick(Millis(sim.now));
    (sim, world, lost)
}

#[test]
fn records_that_the_hub_lost_are_adopted_from_the_longest_mirror() {
    let (sim, mut w, lost) = rolled_back(4);
    let (alpha, beta) = (sim.sites[0].id.clone(), sim.sites[1].id.clone());
    let head = w.view.as_ref().unwrap().head();
    for x in [&alpha, &beta] {
        report(&mut w, x).head = Some(head);
    }
    w.leader.noted = Some(lost[3].record.seq);
    let now = Millis(sim.now);
    let d = plan(&w, now);
    assert_eq!(
        (d.adopt, d.append, d.status.phase, d.status.reason),
        (vec![], None, Phase::Stalled, Reason::HubRewound)
    );
    report(&mut w, &alpha).records = lost[..1].to_vec();
    report(&mut w, &beta).records = lost[..3].to_vec();
    let d = plan(&w, now);
    assert_eq!((&d.adopt[..], d.append), (&lost[..3], None));
    assert!(d.events.iter().any(|e| e.reason == "RecordsRestored" && e.site.as_ref() == Some(&beta)));
    for r in &d.adopt {
        w.adopted(&r.record, now).unwrap();
    }
    // One is still missing, and alpha's page is an old one now: no contradiction.
    let d = plan(&w, now);
    assert_eq!((d.adopt, d.append, d.status.reason), (vec![], None, Reason::HubRewound));
    report(&mut w, &alpha).records = lost[3..].to_vec();
    let d = plan(&w, now);
    assert_eq!(d.adopt, lost[3..]);
    w.adopted(&d.adopt[0].record, now).unwrap();
    assert_eq!(w.view, sim.world.view, "the chain is the one it was");
    // Nothing is adopted before every member was heard, or one grace passed: another may have more.
    let (_, mut w, lost) = rolled_back(2);
    report(&mut w, &alpha).records = lost;
    w.new_leader("second", now);
    assert_eq!((plan(&w, now).adopt, plan(&w, now).append), (vec![], None));
}

#[test]
fn a_page_that_proves_nothing_sets_its_site_aside() {
    let (sim, mut w, lost) = rolled_back(3);
    let (alpha, beta) = (sim.sites[0].id.clone(), sim.sites[1].id.clone());
    let (head, now) = (w.view.as_ref().unwrap().head(), Millis(sim.now));
    let mut forged = lost.clone();
    forged[1] = HubKey::from_seed(&[8; 32]).sign(lost[1].record.clone()).unwrap();
    for (x, page) in [(&alpha, &lost), (&beta, &forged)] {
        report(&mut w, x).head = Some(head);
        report(&mut w, x).records.clone_from(page);
    }
    let d = plan(&w, now);
    assert_eq!(d.adopt, lost);
    for r in &d.adopt {
        w.adopted(&r.record, now).unwrap();
    }
    // The forged one has the right number and digest, so only its site's own copy is wrong; a changed one is told apart.
    let mut changed = lost[1].record.clone();
    changed.parent = Digest::ZERO;
    report(&mut w, &beta).records[1].record = changed;
    let d = plan(&w, now);
    let Some(Body::Members(m)) = d.body() else { panic!("{:?}", d.append) };
    assert_eq!((&m.set_aside[0].site, m.set_aside[0].reason.as_str()), (&beta, "UnprovedHead"));
    w.appended(&d.append.unwrap(), now).unwrap();
    assert!(plan(&w, now).append.is_none_or(|r| !matches!(r.body, Body::Members(_))), "not lifted while it claims so");
    report(&mut w, &beta).records.clear();
    let (newest, ..) = w.view.as_ref().unwrap().last_commit();
    let head = w.view.as_ref().unwrap().head();
    let state = w.view.as_ref().unwrap().state(newest).map_or(sim.states[&newest], |s| s.0);
    let r = report(&mut w, &beta);
    r.head = Some(head);
    if let Some(s) = &mut r.state {
        (s.of, s.digest) = (newest, state);
    }
    let d = plan(&w, now);
    let Some(Body::Members(m)) = d.body() else { panic!("{:?}", d.append) };
    assert_eq!(m.lifted, [beta]);
}
