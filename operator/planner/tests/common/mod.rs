//! What tests of single decisions and of endings share: a run in the simulator, brought to an instant.
use coalition_planner::{Decision, Millis, Observed, World, plan};
use coalition_protocol::SiteId;
use coalition_protocol::messages::SiteReport;

use crate::sim::{self, Sim};

/// Longest simulated time, milliseconds: a quarter of an hour, some times what the longest of these runs takes.
pub const LIMIT: u64 = 900_000;

/// A run of up to three sites of different speed, so many rounds in.
pub fn at_round(sites: u32, rounds: u64, seed: u64) -> Sim {
    let mut sim = Sim::new(sim::spec::small(sites, 20), &[100, 120, 140][..sites as usize], seed);
    assert!(sim.until(LIMIT, |s| s.view().is_some_and(|v| v.last_round().0 >= rounds)));
    sim
}

/// What the hub decides now.
pub fn decide(sim: &Sim) -> Decision {
    plan(&sim.world, Millis(sim.now))
}

/// A site's newest report, to be changed by hand.
pub fn report<'a>(world: &'a mut World, site: &SiteId) -> &'a mut SiteReport {
    match &mut world.sites.get_mut(site).unwrap().report {
        Observed::Present { value, .. } => value,
        other @ Observed::Unknown { .. } => panic!("{other:?}"),
    }
}

/// The kinds of the records so far.
#[allow(dead_code)] // Each test binary uses a part.
pub fn kinds(sim: &Sim) -> Vec<&'static str> {
    sim.chain.iter().map(|r| r.body.kind()).collect()
}
