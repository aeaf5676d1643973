//! A SiteRun that is wanted no more: its site is told to stop, and the object goes once it did. Must not know why.
use std::time::Duration;

use coalition_crds::site_report::SiteReport;
use coalition_crds::site_run::SiteRun;
use coalition_planner::Millis;
use coalition_protocol::messages::Desired;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};

use crate::apply::{ApplyError, MANAGER};
use crate::leader::Leader;

/// Between two looks at whether a site stopped, if nothing is heard.
pub const LOOK: Duration = Duration::from_secs(5);
/// A site of which nothing was heard for so long is not waited for, milliseconds: eight renewals of its Lease, as long as
/// Kubernetes waits for a node's word before it counts as away (node-monitor-grace-period was 40 s for ten years).
pub const UNHEARD: u64 = 40_000;
/// Ends the nonce under which a site is told to stop: a report that repeats it was made after that was read.
const STOP: &str = "-stop";

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The site stopped; the objects are gone.
    Removed,
    /// The site is heard, and has not stopped yet.
    Stopping,
    /// The site is not heard: the SiteRun stays, and says what it shall do when it is back.
    Unheard,
}

/// True if this report says that the gang stopped, after it was told to.
pub fn confirmed(asked: &SiteRun, report: Option<&SiteReport>) -> bool {
    let message = &asked.spec.message;
    report.and_then(|r| r.spec.run.as_ref()).is_some_and(|r| {
        message.desired == Desired::Stop
            && message.nonce.ends_with(STOP)
            && r.nonce == message.nonce
            && (r.gang.stopped || r.gang.workers_ready == 0)
    })
}

/// True if a site that was heard of at `heard` is not there to be asked, as far as a hub that has listened since `since` knows.
pub fn unheard(heard: Option<Millis>, since: Millis, now: Millis) -> bool {
    now.since(heard.unwrap_or(since)) >= UNHEARD
}

/// Tells the site to stop, if it was not told; removes what was asked of it once it did.
pub async fn bring_on(leader: &Leader, asked: &SiteRun) -> Result<State, ApplyError> {
    let message = &asked.spec.message;
    let (site, name) = (message.site.as_str(), message.run.as_str());
    let namespace = asked.metadata.namespace.as_deref().unwrap_or_default();
    let runs: Api<SiteRun> = Api::namespaced(leader.client.clone(), namespace);
    let named = || format!("SiteRun/{name} of site {site}");
    let known = leader.sources.is_site(site);
    if known && !(message.desired == Desired::Stop && message.nonce.ends_with(STOP)) {
        let mut told = SiteRun::new(name, asked.spec.clone());
        told.metadata.labels.clone_from(&asked.metadata.labels);
        let m = &mut told.spec.message;
        m.desired = Desired::Stop;
        m.nonce = format!("{}{STOP}", leader.nonce);
        m.offers.clear();
        runs.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&told))
            .await
            .map_err(|e| ApplyError::api(named(), e))?;
        return Ok(State::Stopping);
    }
    let sources = &leader.sources;
    let report = sources.report(&message.site, &message.run);
    // A site that was struck from the coalition is not asked any more.
    if confirmed(asked, report.as_deref()) || !known {
        let same = Preconditions { uid: asked.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
        gone(runs.delete(name, &params).await.map(drop)).map_err(|e| ApplyError::api(named(), e))?;
        let reports: Api<SiteReport> = Api::namespaced(leader.client.clone(), namespace);
        gone(reports.delete(name, &DeleteParams::default()).await.map(drop))
            .map_err(|e| ApplyError::api(format!("SiteReport/{name} of site {site}"), e))?;
        return Ok(State::Removed);
    }
    let now = sources.heard.now();
    Ok(if unheard(sources.heard(site), leader.since, now) { State::Unheard } else { State::Stopping })
}

/// What is gone already need not be deleted; what is another one now is not ours to delete.
fn gone(deleted: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match deleted {
        Err(kube::Error::Api(s)) if s.code == 404 || s.code == 409 => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_that_has_just_begun_takes_nobody_for_away() {
        assert!(!unheard(None, Millis(1_000), Millis(1_000 + UNHEARD - 1)));
        assert!(unheard(None, Millis(1_000), Millis(1_000 + UNHEARD)));
        assert!(!unheard(Some(Millis(50_000)), Millis(0), Millis(60_000)));
    }
}
