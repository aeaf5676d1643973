//! What outlives its TrainingRun: SiteRuns of sites that were not heard when it went, and Checkpoints that somebody deletes. Must
//! not touch what belongs to a run that is there.
use std::sync::Arc;
use std::time::Duration;

use coalition_crds::{Checkpoint, SiteRun, TrainingRun};
use kube::Api;
use tokio::time::Instant;

use crate::apply::ApplyError;
use crate::checkpoints;
use crate::leader::Leader;
use crate::stop;

/// Pause after something failed, and between two looks while a site is told to stop.
const AGAIN: Duration = stop::LOOK;

/// Looks after them. The caller stops polling it when the lease is lost.
pub(crate) async fn keep(leader: Arc<Leader>) {
    loop {
        let begun = Instant::now();
        let looked = look(&leader).await;
        let waiting = match &looked {
            Ok(0) => false,
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(%error, "what no run cares for any more was not removed");
                leader.metrics.passed("SiteRun", begun.elapsed(), Some("api"));
                true
            }
        };
        let bell = leader.sources.wake.strays.notified();
        if waiting {
            tokio::select! {
                () = bell => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
        } else {
            bell.await;
        }
    }
}

/// How many are being stopped, and are heard.
async fn look(leader: &Leader) -> Result<usize, ApplyError> {
    let mut waiting = 0;
    for asked in leader.sources.asked.all() {
        if is_stray(leader, &asked).await? {
            match stop::bring_on(leader, &asked).await? {
                stop::State::Stopping => waiting += 1,
                stop::State::Removed | stop::State::Unheard => {}
            }
        }
    }
    for object in leader.sources.checkpoints.all() {
        if object.metadata.deletion_timestamp.is_some() && !has_run(leader, &object) {
            release(leader, &object).await?;
        }
    }
    Ok(waiting)
}

/// True if the TrainingRun is proved to be gone: what a watch does not show may only be late.
async fn is_stray(leader: &Leader, asked: &SiteRun) -> Result<bool, ApplyError> {
    let run = &asked.spec.training_run;
    let same = |r: &TrainingRun| r.metadata.uid.as_deref() == Some(run.uid.as_str());
    if leader.sources.runs.get(Some(&run.namespace), &run.name).is_some_and(|r| same(&r)) {
        return Ok(false);
    }
    let api: Api<TrainingRun> = Api::namespaced(leader.client.clone(), &run.namespace);
    let found = api.get_opt(&run.name).await.map_err(|e| ApplyError::api(format!("TrainingRun/{}", run.name), e))?;
    Ok(!found.is_some_and(|r| same(&r)))
}

fn has_run(leader: &Leader, object: &Checkpoint) -> bool {
    let namespace = object.metadata.namespace.as_deref();
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
