//! Observe: what sites said since the last pass goes into the world, with the instant this hub heard it.
use std::collections::BTreeMap;

use coalition_planner::World;
use coalition_protocol::SiteId;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::hub::link::Exchange;

/// What was taken into the world already: counter of the report and instant, by site.
pub type Seen = BTreeMap<SiteId, (Option<u64>, Instant)>;

/// Takes what is new.
pub fn observe(world: &mut World, exchange: &Exchange, clock: &Clock, seen: &mut Seen) {
    for (site, inbox) in exchange.inbox() {
        // Reports of an earlier life of the hub count once their site is heard in this one.
        let Some(heard) = inbox.heard else { continue };
        let counter = inbox.report.as_ref().map(|r| r.counter);
        let before = seen.insert(site.clone(), (counter, heard));
        if let Some(report) = &inbox.report
            && before.is_none_or(|(c, _)| c != counter)
        {
            let received = world.report((**report).clone(), clock.at(heard));
            tracing::debug!(%site, counter = report.counter, ?received, "report");
        }
        if before.is_none_or(|(_, at)| at < heard) {
            world.heard(&site, clock.at(heard));
        }
    }
}
