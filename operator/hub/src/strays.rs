//! What outlives its TrainingRun: SiteRuns of sites that were not heard when it went, Checkpoints that somebody deletes, and what
//! was remembered of it. Must not touch what belongs to a run that is there. What one object is refused holds up no other.
use std::sync::Arc;
use std::time::Duration;

use coalition_crds::training_run::RunReference;
use coalition_crds::{Checkpoint, SiteRun, TrainingRun};
use coalition_kit::said::Said;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use tokio::time::Instant;

use crate::apply::ApplyError;
use crate::leader::Leader;
use crate::{checkpoints, memory, stop};

/// Pause after something failed, and between two looks while a site is told to stop.
const AGAIN: Duration = stop::LOOK;

/// Looks after them. The caller stops polling it when the lease is lost.
pub(crate) async fn keep(leader: Arc<Leader>) {
    let mut said = Said::default();
    loop {
        let begun = Instant::now();
        let looked = look(&leader).await;
        for error in &looked.failed {
            leader.metrics.passed("SiteRun", begun.elapsed(), Some("api"));
            if said.is_news(error) {
                tracing::warn!(%error, "what no run cares for any more was not removed; it is tried again");
            }
        }
        if looked.failed.is_empty() {
            said.forget();
        }
        let bell = leader.sources.wake.strays.notified();
        if looked.waiting > 0 || !looked.failed.is_empty() {
            tokio::select! {
                () = bell => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
        } else {
            bell.await;
        }
    }
}

/// What a look came to.
#[derive(Default)]
struct Looked {
    /// Sites that are being stopped, and are heard.
    waiting: usize,
    failed: Vec<ApplyError>,
}

async fn look(leader: &Leader) -> Looked {
    let mut looked = Looked::default();
    for asked in leader.sources.asked.all() {
        match bring_on(leader, &asked).await {
            Ok(Some(stop::State::Stopping)) => looked.waiting += 1,
            Ok(_) => {}
            Err(e) => looked.failed.push(e),
        }
    }
    for object in leader.sources.checkpoints.all() {
        if object.metadata.deletion_timestamp.is_some()
            && !has_run(leader, &object)
            && let Err(e) = release(leader, &object).await
        {
            looked.failed.push(e);
        }
    }
    for object in leader.sources.memories.all() {
        if let Err(e) = forget(leader, &object).await {
            looked.failed.push(e);
        }
    }
    looked
}

async fn bring_on(leader: &Leader, asked: &SiteRun) -> Result<Option<stop::State>, ApplyError> {
    if !is_gone(leader, &asked.spec.training_run).await? {
        return Ok(None);
    }
    stop::bring_on(leader, asked).await.map(Some)
}

/// Removes what was remembered of a run that is gone. What does not say whose it is stays: it may be somebody else's.
async fn forget(leader: &Leader, object: &ConfigMap) -> Result<(), ApplyError> {
    let Some(run) = memory::of(object) else { return Ok(()) };
    if !is_gone(leader, &run).await? {
        return Ok(());
    }
    tracing::info!(run = run.name, namespace = run.namespace, "the run is gone, and what was remembered of it");
    let name = || format!("ConfigMap/{}", object.metadata.name.as_deref().unwrap_or_default());
    memory::remove(&leader.client, object).await.map_err(|e| ApplyError::api(name(), e))
}

/// True if the TrainingRun is proved to be gone: what a watch does not show may only be late, or unreadable.
async fn is_gone(leader: &Leader, run: &RunReference) -> Result<bool, ApplyError> {
    let shown = leader.sources.runs.get(Some(&run.namespace), &run.name);
    if shown.is_some_and(|r| r.metadata.uid.as_deref() == Some(run.uid.as_str())) {
        return Ok(false);
    }
    let api: Api<TrainingRun> = Api::namespaced(leader.client.clone(), &run.namespace);
    let found = api.get_metadata_opt(&run.name).await;
    let found = found.map_err(|e| ApplyError::api(format!("TrainingRun/{}", run.name), e))?;
    Ok(found.is_none_or(|r| r.metadata.uid.as_deref() != Some(run.uid.as_str())))
}

fn has_run(leader: &Leader, object: &Checkpoint) -> bool {
    let namespace = object.metadata.namespace.as_deref();
    // One that cannot be read is there.
    if leader.sources.runs.unreadable_one(namespace, &object.spec.run).is_some() {
        return true;
    }
    let run = leader.sources.runs.get(namespace, &object.spec.run);
    run.is_some_and(|r| {
        let (name, uid) = (r.metadata.name.as_deref(), r.metadata.uid.as_deref());
        let id = crate::names::run_id(name.unwrap_or_default(), uid.unwrap_or_default());
        r.metadata.deletion_timestamp.is_none() && id.is_ok_and(|id| id.as_str() == object.spec.run_id)
    })
}

/// A Checkpoint whose run is gone: no site is asked about that run any more, so its bytes stay, whatever the policy says.
async fn release(leader: &Leader, object: &Checkpoint) -> Result<(), ApplyError> {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    if object.spec.deletion_policy == coalition_crds::checkpoint::DeletionPolicy::Delete {
        let sites: Vec<&str> = object.status.iter().flat_map(|s| &s.copies).map(|c| c.site.as_str()).collect();
        tracing::warn!(
            checkpoint = object.metadata.name,
            namespace,
            "its run is gone, so nobody asks sites to delete its bytes: they stay in the stores of {}",
            if sites.is_empty() { "the sites that had it".to_owned() } else { sites.join(", ") }
        );
    }
    checkpoints::release(&leader.client, namespace, object).await
}
