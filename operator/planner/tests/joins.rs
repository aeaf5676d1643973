//! A site that comes between the first record and the first plan: it joins, and the run goes on with those that were there.
#![allow(clippy::unwrap_used)]
mod sim;

use coalition_planner::{Millis, plan};
use sim::Sim;

#[test]
fn a_site_that_joins_before_the_first_plan_holds_nobody_up() {
    let mut world = Sim::new(sim::spec::small(2, 20), &[100, 100], 7).world;
    let late: coalition_protocol::SiteId = "beta".parse().unwrap();
    let mut now = Millis(30_000);
    for site in world.sites.values_mut() {
        site.contact = Some(now);
    }
    world.sites.get_mut(&late).unwrap().refusal = Some("it has not told what it has yet".to_owned());
    let mut kinds = Vec::new();
    for _ in 0..8 {
        if let Some(record) = plan(&world, now).append {
            kinds.push(record.body.kind());
            world.appended(&record, now).unwrap();
        }
        // The leader has waited long enough for answers; the second site is there now.
        now = now.plus(10_000);
        for site in world.sites.values_mut() {
            (site.contact, site.refusal) = (Some(now), None);
        }
    }
    assert_eq!(kinds.first(), Some(&"genesis"));
    assert!(kinds.contains(&"members"), "{kinds:?}");
    assert!(kinds.contains(&"plan"), "nothing is planned after {kinds:?}");
}
