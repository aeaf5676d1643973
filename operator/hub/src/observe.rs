//! Observe: what the API server shows goes into the world, with the instant this hub saw it. Must not decide anything.
//!
//! A site is heard of when its Lease is renewed or a report comes; both are dated by the arrival here. No time that stands in
//! an object is read: the clocks of two machines are never compared.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coalition_crds::site::{Facts, Site};
use coalition_planner::genesis::GATHER_MILLIS;
use coalition_planner::{Millis, Received, World};
use coalition_protocol::{Digest, SiteId};

use crate::facts::{self, Candidate};
use crate::sources::Sources;

/// What a hub has seen of the sites of one run.
#[derive(Debug, Default)]
pub struct Seen {
    /// By site: incarnation and counter of the report that went into the world last.
    reports: BTreeMap<SiteId, (u64, u64)>,
    /// By site: why its own report says that it cannot join, if it does.
    hindered: BTreeMap<SiteId, Option<String>>,
    /// Labels of the sites that match, for their shape.
    pub labels: BTreeMap<SiteId, BTreeMap<String, String>>,
}

/// Takes what is new into `world`. `since` is when this hub began to lead.
pub fn observe(world: &mut World, sources: &Sources, namespace: &str, seen: &mut Seen, since: Millis, now: Millis) {
    let sites: Vec<Arc<Site>> = sources.sites.all();
    let matching = facts::matching(&world.spec, sites.iter().map(AsRef::as_ref));
    let told: BTreeMap<SiteId, Facts> =
        matching.iter().filter_map(|(id, _)| Some((id.clone(), sources.facts(id.as_str())?))).collect();
    if world.view.is_none() {
        let fixed = facts::fixed(&world.spec, told.values());
        world.setup.elements = fixed.elements;
        world.setup.samples_per_pass = fixed.samples_per_pass;
        world.setup.data = fixed.data.unwrap_or(world.setup.data);
    }
    let data = world.view.as_ref().map_or(world.setup.data, |v| v.genesis().data);
    let data = Some(data).filter(|d| *d != Digest::ZERO);
    let candidates: BTreeMap<SiteId, Candidate> = matching
        .into_iter()
        .map(|(id, site)| {
            let candidate = facts::candidate(site, told.get(&id), &world.spec, namespace, data);
            (id, candidate)
        })
        .collect();
    for id in candidates.keys() {
        world.add_site(id.clone(), now);
    }
    // One that is not selected any more takes no new part; what it has, it keeps.
    let was_member: BTreeSet<SiteId> = world.view.iter().flat_map(|v| v.members().keys().cloned()).collect();
    let unselected: Vec<SiteId> =
        world.sites.keys().filter(|id| !candidates.contains_key(*id) && !was_member.contains(*id)).cloned().collect();
    for id in unselected {
        world.sites.remove(&id);
    }
    seen.labels = candidates.iter().map(|(id, c)| (id.clone(), c.labels.clone())).collect();
    for id in world.sites.keys().cloned().collect::<Vec<_>>() {
        report(world, sources, &id, seen, now);
        if !told.contains_key(&id)
            && !was_member.contains(&id)
            && let Some(site) = world.sites.get_mut(&id)
        {
            site.contact = None;
        }
        let refusal = match candidates.get(&id) {
            // It may yet say what it has: a run that begins waits for it as for a silent one.
            Some(_) if !told.contains_key(&id) && is_coming(sources, &id, since, now) => None,
            Some(c) => c.refusal.clone(),
            None => Some("spec.sites.selector does not match it any more".to_owned()),
        };
        if let Some(site) = world.sites.get_mut(&id) {
            site.refusal = refusal.or_else(|| seen.hindered.get(&id).cloned().flatten());
        }
    }
}

/// True if a site that has not told what it has may do so soon: it is heard of, or this hub has not listened for long.
fn is_coming(sources: &Sources, id: &SiteId, since: Millis, now: Millis) -> bool {
    now.since(sources.heard(id.as_str()).unwrap_or(since)) < GATHER_MILLIS
}

/// What one site answered since the last pass, and when it was heard of.
fn report(world: &mut World, sources: &Sources, id: &SiteId, seen: &mut Seen, now: Millis) {
    let heard = sources.heard(id.as_str());
    let message = sources.report(id, world.run()).and_then(|r| r.spec.run.clone());
    if let Some(message) = message {
        let mark = (message.incarnation.0, message.counter);
        if seen.reports.insert(id.clone(), mark) != Some(mark) {
            let received = world.report(message, heard.unwrap_or(now));
            tracing::debug!(site = %id, counter = mark.1, ?received, "report");
            if matches!(received, Received::Newest | Received::StaleFence) {
                let refusal = world.sites.get(id).and_then(|s| s.refusal.clone());
                seen.hindered.insert(id.clone(), refusal);
            }
        }
    }
    if let Some(at) = heard
        && world.sites.get(id).is_some_and(|s| s.contact.is_none_or(|c| c < at))
    {
        world.heard(id, at);
    }
}
