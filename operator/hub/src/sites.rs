//! Site objects: what each site said of itself, and how long ago it was heard of. Written when something changed, never by the
//! clock. Must not know runs, but for how many a site has.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coalition_crds::conditions::Time;
use coalition_crds::names::site_namespace;
use coalition_crds::site::{Facts, LeaseAge, Site, SiteStatus, StoreState};
use coalition_kit::said::Said;
use coalition_kit::unreadable::Unreadable;
use coalition_planner::Millis;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource as _};
use serde_json::json;
use tokio::time::Instant;

use crate::apply::MANAGER;
use crate::figures::Silences;
use crate::leader::Leader;
use crate::stop::UNHEARD;
use crate::{conditions, report};

/// A site that renewed its Lease for so long in vain missed one renewal: it renews every 5 s. Milliseconds.
const LATE: u64 = 10_000;
/// How often ages are looked at, on this hub's own clock: as often as a site renews its Lease. Asks no server.
const LOOK: Duration = Duration::from_secs(5);

/// Keeps the status of all Sites. The caller stops polling it when the lease is lost.
pub(crate) async fn keep(leader: Arc<Leader>) {
    let mut silences = Silences::new(leader.figures.clone());
    let mut said: BTreeMap<String, Said> = BTreeMap::new();
    loop {
        silences.keep(|site| leader.sources.sites.get(None, site).is_some());
        for site in leader.sources.sites.all() {
            let name = site.metadata.name.clone().unwrap_or_default();
            let begun = Instant::now();
            let (heard, now) = (leader.sources.heard(&name), leader.sources.heard.now());
            silences.set(&name, heard.map(|at| now.since(at)));
            let done = bring_on(&leader, &site, &name).await;
            if done.is_err() || matches!(done, Ok(true)) {
                leader.metrics.passed("Site", begun.elapsed(), done.as_ref().err().map(|_| "api"));
            }
            let said = said.entry(name.clone()).or_default();
            match done {
                Ok(_) => {
                    said.forget();
                }
                Err(error) if said.is_news(&error) => {
                    tracing::warn!(site = name, %error, "its status was not written; it is tried again");
                }
                Err(_) => {}
            }
        }
        tokio::select! {
            () = leader.sources.wake.sites.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// True if something was written.
async fn bring_on(leader: &Leader, site: &Site, name: &str) -> Result<bool, kube::Error> {
    let sources = &leader.sources;
    let (heard, now) = (sources.heard(name), sources.heard.now());
    let before = site.status.clone().unwrap_or_default();
    let age = age(heard, before.lease, leader.since, now);
    let namespace = site_namespace(name);
    let runs = sources.asked.all().iter().filter(|r| r.metadata.namespace.as_deref() == Some(&namespace)).count();
    let told = Told { facts: sources.facts(name), unreadable: sources.unreadable_of(name) };
    let next = status(site, told, age, i32::try_from(runs).unwrap_or(i32::MAX), &report::now());
    if next == before {
        return Ok(false);
    }
    let api: Api<Site> = Api::all(leader.client.clone());
    let patch = json!({
        "apiVersion": Site::api_version(&()),
        "kind": Site::kind(&()),
        "metadata": {"name": name, "uid": site.metadata.uid},
        "status": next,
    });
    match api.patch_status(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&patch)).await {
        // It went, or became another one, meanwhile.
        Err(kube::Error::Api(s)) if s.code == 404 || s.code == 409 => Ok(false),
        other => other.map(|_| true),
    }
}

/// The class of a site's age, for a hub that has listened since `since`. What stood there before stands until this hub has
/// listened for long enough to know better.
pub fn age(heard: Option<Millis>, before: LeaseAge, since: Millis, now: Millis) -> LeaseAge {
    match heard.map(|at| now.since(at)) {
        Some(0..=LATE) => LeaseAge::Fresh,
        Some(age) if age < UNHEARD => LeaseAge::Late,
        None if before == LeaseAge::Never || now.since(since) < UNHEARD => before,
        Some(_) | None => LeaseAge::Lost,
    }
}

/// What a site said.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// What it has.
    pub facts: Option<Facts>,
    /// What it said that nobody can read.
    pub unreadable: Option<Unreadable>,
}

/// The status of a site.
pub fn status(site: &Site, told: Told, lease: LeaseAge, runs: i32, now: &Time) -> SiteStatus {
    let before = site.status.as_ref();
    let facts = told.facts.or_else(|| before.and_then(|s| s.facts.clone()));
    let name = site.metadata.name.as_deref().unwrap_or_default();
    let (reason, message) = match (lease, &facts) {
        (LeaseAge::Never, _) => {
            let text = format!(
                "nothing was heard of it yet: its operator renews the Lease `site` in namespace {}",
                site_namespace(name)
            );
            ("NeverHeard", text)
        }
        (LeaseAge::Lost, _) => {
            ("Silent", "nothing is heard of it: what it trains goes on there, and counts once it is back".to_owned())
        }
        _ if let Some(bad) = &told.unreadable => ("UnreadableReport", nonsense(name, bad)),
        (_, None) => ("NoFacts", "it renews its Lease, but has not told what it has (SiteReport `site`)".to_owned()),
        _ if site.spec.cordoned => ("Cordoned", "spec.cordoned is true: it takes no new part of any run".to_owned()),
        (_, Some(f)) if f.refusal.is_some() => ("Refuses", f.refusal.clone().unwrap_or_default()),
        (_, Some(f)) if !matches!(f.store.state, StoreState::Usable | StoreState::Unknown) => {
            ("StoreUnusable", format!("its store cannot be used: {}", f.store.message))
        }
        _ => ("Heard", "it takes part in what runs give it".to_owned()),
    };
    let before = before.map(|s| s.conditions.as_slice()).unwrap_or_default();
    let holds = reason == "Heard";
    SiteStatus {
        observed_generation: site.metadata.generation,
        lease,
        runs,
        facts,
        conditions: conditions::ready(before, (holds, reason, &message), site.metadata.generation, now),
    }
}

fn nonsense(site: &str, bad: &Unreadable) -> String {
    format!(
        "SiteReport {} in namespace {} cannot be read ({}): what it said before counts on; upgrade the operator of the site or \
         of the hub so that they fit, or delete that object",
        bad.name,
        site_namespace(site),
        bad.error
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_those_that_this_hub_observed() {
        let at = Millis;
        let since = at(1_000_000);
        assert_eq!(age(Some(at(1_000_000)), LeaseAge::Lost, since, at(1_000_000 + LATE)), LeaseAge::Fresh);
        assert_eq!(age(Some(at(1_000_000)), LeaseAge::Fresh, since, at(1_000_001 + LATE)), LeaseAge::Late);
        assert_eq!(age(Some(at(1_000_000)), LeaseAge::Fresh, since, at(1_000_000 + UNHEARD)), LeaseAge::Lost);
        // A hub that has just begun knows nothing: what stood there stands.
        assert_eq!(age(None, LeaseAge::Fresh, since, at(1_000_000)), LeaseAge::Fresh);
        assert_eq!(age(None, LeaseAge::Fresh, since, at(1_000_000 + UNHEARD)), LeaseAge::Lost);
        assert_eq!(age(None, LeaseAge::Never, since, at(9_000_000)), LeaseAge::Never);
    }

    #[test]
    fn a_site_says_why_it_is_not_ready() {
        let mut site = Site::new("north", coalition_crds::SiteSpec::default());
        let now = Time(jiff::Timestamp::UNIX_EPOCH);
        let reason = |s: SiteStatus| s.conditions[0].reason.clone();
        assert_eq!(reason(status(&site, Told::default(), LeaseAge::Never, 0, &now)), "NeverHeard");
        assert_eq!(reason(status(&site, Told::default(), LeaseAge::Fresh, 0, &now)), "NoFacts");
        let bad = Unreadable {
            namespace: Some("site-north".to_owned()),
            name: "run-1".to_owned(),
            labels: BTreeMap::new(),
            error: "nonsense ".repeat(500),
        };
        let told = status(&site, Told { facts: None, unreadable: Some(bad) }, LeaseAge::Fresh, 0, &now);
        let said = told.conditions[0].clone();
        assert!(said.reason == "UnreadableReport" && said.message.contains("SiteReport run-1 in"), "{said:?}");
        assert!(said.message.len() <= 1024, "the bound of a condition's message");
        site.status = Some(status(&site, Told::default(), LeaseAge::Fresh, 0, &now));
        assert_eq!(
            Some(status(&site, Told::default(), LeaseAge::Fresh, 0, &now)),
            site.status,
            "written again, nothing changes"
        );
    }
}
