//! Observe: what the API server shows goes into the world, with the instant this hub saw it. Must not decide anything.
//!
//! A site is heard of when its Lease is renewed or a report comes; both are dated by the arrival here. No time that stands in
//! an object is read: the clocks of two machines are never compared.
use std::collections::BTreeMap;
use std::sync::Arc;

use coalition_crds::site::{Facts, Site};
use coalition_crds::site_report::{SITE, SiteReport};
use coalition_planner::{Millis, World};
use coalition_protocol::SiteId;

use crate::facts::{self, Candidate};
use crate::sources::Sources;

/// What a hub has seen of the sites of one run.
#[derive(Debug, Default)]
pub struct Seen {
    /// By site: counter of the report that went into the world last.
    reports: BTreeMap<SiteId, u64>,
    /// Labels of the sites that match, for their shape.
    pub labels: BTreeMap<SiteId, BTreeMap<String, String>>,
}

/// Takes what is new into `world`.
pub fn observe(world: &mut World, sources: &Sources, namespace: &str, seen: &mut Seen, now: Millis) {
    let sites: Vec<Arc<Site>> = sources.sites.all();
    let matching = facts::matching(&world.spec, sites.iter().map(AsRef::as_ref));
    let told: BTreeMap<SiteId, Facts> =
        matching.iter().filter_map(|(id, _)| Some((id.clone(), sources.facts(id)?))).collect();
    if world.view.is_none() {
        let fixed = facts::fixed(&world.spec, told.values());
        world.setup.elements = fixed.elements;
        world.setup.samples_per_pass = fixed.samples_per_pass;
        world.setup.data = fixed.data.unwrap_or(world.setup.data);
    }
    let data = world.view.as_ref().map_or(world.setup.data, |v| v.genesis().data);
    seen.labels.clear();
    for (id, site) in matching {
        let Candidate { refusal, labels } = facts::candidate(
            site,
            told.get(&id),
            &world.spec,
            namespace,
            Some(data).filter(|d| *d != coalition_protocol::Digest::ZERO),
        );
        world.add_site(id.clone(), now);
        if let Some(s) = world.sites.get_mut(&id) {
            s.refusal = refusal;
        }
        seen.labels.insert(id, labels);
    }
    for id in world.sites.keys().cloned().collect::<Vec<_>>() {
        if let Some(report) = sources.report(&id, world.run()) {
            let message = report.spec.run.clone();
            if let Some(message) = message
                && seen.reports.insert(id.clone(), message.counter) != Some(message.counter)
            {
                let received = world.report(message, sources.heard(&id).unwrap_or(now));
                tracing::debug!(site = %id, ?received, "report");
            }
        }
        if let Some(at) = sources.heard(&id)
            && world.sites.get(&id).is_some_and(|s| s.contact.is_none_or(|c| c < at))
        {
            world.heard(&id, at);
        }
    }
}

/// True if this is the report of what a site has, not of a run.
pub fn is_of_site(report: &SiteReport) -> bool {
    report.metadata.name.as_deref() == Some(SITE)
}
