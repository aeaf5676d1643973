//! Checkpoint objects of a run: where each stands, which ones leave by retention, and what becomes of the bytes when somebody
//! deletes one. A site keeps the bytes that its SiteRun's `keep` names: those of every object here, and those the planner wants.
//!
//! Deleted by a person: with `Retain` the run remembers the checkpoint, and goes on asking for its bytes until the run's own
//! object is gone; with `Delete` it is named no more, and sites drop the bytes once they need them for nothing else. In no case
//! does an object wait for bytes to go.
use std::collections::BTreeSet;
use std::sync::Arc;

use coalition_crds::checkpoint::{CheckpointStatus, Copy, DeletionPolicy};
use coalition_crds::conditions::Time;
use coalition_crds::{Checkpoint, TrainingRun, names::RUN_LABEL};
use coalition_planner::{Standing, checkpoints};
use coalition_protocol::{RunId, Seq, SiteId};
use kube::Resource as _;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use serde_json::json;

use crate::apply::{ApplyError, FINALIZER, MANAGER};
use crate::conditions;
use crate::leader::Leader;
use crate::memory::Memory;
use crate::sources::Sources;

/// The objects of one run.
pub fn of(sources: &Sources, run: &RunId) -> Vec<Arc<Checkpoint>> {
    let ours = |c: &Arc<Checkpoint>| {
        c.metadata.labels.as_ref().and_then(|l| l.get(RUN_LABEL)).is_some_and(|l| l == run.as_str())
    };
    sources.checkpoints.all().into_iter().filter(ours).collect()
}

/// The commit that an object names.
pub fn seq(object: &Checkpoint) -> Seq {
    Seq(u64::try_from(object.spec.seq).unwrap_or(0))
}

/// Those of one run that cannot be read, by the end of their names (`planner::publish`): their bytes are wanted as much.
pub fn unreadable(sources: &Sources, run: &RunId) -> BTreeSet<Seq> {
    let bad = sources.checkpoints.unreadable().into_iter();
    let ours = bad.filter(|c| c.labels.get(RUN_LABEL).is_some_and(|l| l == run.as_str()));
    ours.filter_map(|c| c.name.rsplit('-').next()?.parse().ok().map(Seq)).collect()
}

/// The checkpoints whose bytes are wanted because something names them.
pub fn named(objects: &[Arc<Checkpoint>], retained: &BTreeSet<Seq>) -> BTreeSet<Seq> {
    // One that is being deleted with Retain is named before it is remembered: no site may be asked without it in between.
    let stays = |c: &&Arc<Checkpoint>| {
        c.metadata.deletion_timestamp.is_none() || c.spec.deletion_policy == DeletionPolicy::Retain
    };
    objects.iter().filter(stays).map(|c| seq(c)).chain(retained.iter().copied()).collect()
}

/// The sites with a verified copy of the checkpoint that a run begins from, if it names one.
pub fn holders(sources: &Sources, run: &TrainingRun, namespace: &str) -> BTreeSet<SiteId> {
    let Some(from) = &run.spec.model.init.from else { return BTreeSet::new() };
    let object = sources.checkpoints.get(Some(namespace), &from.checkpoint);
    let status = object.as_ref().and_then(|c| c.status.as_ref());
    status.iter().flat_map(|s| &s.copies).filter_map(|c| c.site.parse().ok()).collect()
}

/// The objects that leave by retention: not pinned, and not among what the rules want (the newest consistent one and what
/// sites start from are). Judged only while every member's word is known: unknown is not gone.
pub fn surplus(s: &Standing<'_>, objects: &[Arc<Checkpoint>]) -> BTreeSet<Seq> {
    if !s.members().all(|(site, _)| s.report(site).is_some()) {
        return BTreeSet::new();
    }
    let wanted = checkpoints::wanted(s);
    let goes = |c: &&Arc<Checkpoint>| !c.spec.pinned && !wanted.contains(&seq(c));
    objects.iter().filter(goes).map(|c| seq(c)).collect()
}

/// Where it stands. What a site said before counts until it says something else: unknown is not gone.
pub fn status(s: &Standing<'_>, object: &Checkpoint, now: &Time) -> CheckpointStatus {
    let before = object.status.clone().unwrap_or_default();
    let at = seq(object);
    let silent = |site: &str| {
        let id = s.members().find(|(x, _)| x.as_str() == site).map(|(x, _)| x);
        id.is_some_and(|x| s.report(x).is_none())
    };
    let mut sites: BTreeSet<String> =
        before.copies.iter().map(|c| c.site.clone()).filter(|site| silent(site) || s.view.ended().is_some()).collect();
    sites.extend(checkpoints::stored(s).remove(&at).unwrap_or_default().iter().map(ToString::to_string));
    let bytes = s.members().filter_map(|(x, _)| s.report(x)?.checkpoints.iter().find(|c| c.seq == at)).map(|c| c.bytes);
    let consistent = sites.len() >= checkpoints::copies(s);
    let names: Vec<&str> = sites.iter().map(String::as_str).collect();
    let (reason, message) = if consistent {
        ("Consistent", format!("complete and verified at {}", names.join(", ")))
    } else {
        let wanted = checkpoints::copies(s);
        ("CopiesMissing", format!("{} of {wanted} sites have it complete and verified", sites.len()))
    };
    CheckpointStatus {
        observed_generation: object.metadata.generation,
        tokens: s.view.mark(at).and_then(|m| i64::try_from(m.tokens).ok()).or(before.tokens),
        bytes: bytes.max().and_then(|b| i64::try_from(b).ok()).or(before.bytes),
        copies: sites.into_iter().map(|site| Copy { site }).collect(),
        consistent,
        conditions: conditions::ready(
            &before.conditions,
            (consistent, reason, &message),
            object.metadata.generation,
            now,
        ),
    }
}

/// Brings the objects of a run up to what is true of them.
pub async fn keep(
    leader: &Leader,
    namespace: &str,
    s: &Standing<'_>,
    objects: &[Arc<Checkpoint>],
    memory: &mut Memory,
    written: &Memory,
    now: &Time,
) -> Result<(), ApplyError> {
    let surplus = surplus(s, objects);
    for object in objects {
        let at = seq(object);
        if object.metadata.deletion_timestamp.is_some() {
            match object.spec.deletion_policy {
                DeletionPolicy::Retain => memory.retained.insert(at),
                DeletionPolicy::Delete => memory.retained.remove(&at),
            };
            // Remembered durably before the object may go.
            if memory.retained.contains(&at) == written.retained.contains(&at) {
                release(&leader.client, namespace, object).await?;
            } else {
                leader.sources.wake.run(s.view.run().as_str());
            }
            continue;
        }
        if surplus.contains(&at) {
            release(&leader.client, namespace, object).await?;
            remove(&leader.client, namespace, object).await?;
            tracing::info!(checkpoint = object.metadata.name, "it left by retention");
            continue;
        }
        let next = status(s, object, now);
        if object.status.as_ref() != Some(&next) {
            write(&leader.client, namespace, object, &next).await?;
        }
    }
    Ok(())
}

fn error(object: &Checkpoint) -> impl FnOnce(kube::Error) -> ApplyError {
    let name = format!("Checkpoint/{}", object.metadata.name.as_deref().unwrap_or_default());
    move |error| ApplyError::api(name, error)
}

fn missing_is_fine(done: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match done {
        Err(kube::Error::Api(s)) if s.code == 404 || s.code == 409 => Ok(()),
        other => other,
    }
}

/// Lets the object go, if it is to.
pub async fn release(client: &Client, namespace: &str, object: &Checkpoint) -> Result<(), ApplyError> {
    let held = object.metadata.finalizers.clone().unwrap_or_default();
    if !held.iter().any(|f| f == FINALIZER) {
        return Ok(());
    }
    let others: Vec<String> = held.into_iter().filter(|f| f != FINALIZER).collect();
    let patch = json!({"metadata": {"finalizers": others, "resourceVersion": object.metadata.resource_version}});
    let api: Api<Checkpoint> = Api::namespaced(client.clone(), namespace);
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let done = api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(drop);
    missing_is_fine(done).map_err(error(object))
}

async fn remove(client: &Client, namespace: &str, object: &Checkpoint) -> Result<(), ApplyError> {
    let api: Api<Checkpoint> = Api::namespaced(client.clone(), namespace);
    let same = Preconditions { uid: object.metadata.uid.clone(), resource_version: None };
    let params = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
    let name = object.metadata.name.as_deref().unwrap_or_default();
    missing_is_fine(api.delete(name, &params).await.map(drop)).map_err(error(object))
}

async fn write(
    client: &Client,
    namespace: &str,
    object: &Checkpoint,
    status: &CheckpointStatus,
) -> Result<(), ApplyError> {
    let api: Api<Checkpoint> = Api::namespaced(client.clone(), namespace);
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let patch = json!({
        "apiVersion": Checkpoint::api_version(&()),
        "kind": Checkpoint::kind(&()),
        "metadata": {"name": name, "uid": object.metadata.uid},
        "status": status,
    });
    let done = api.patch_status(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&patch)).await.map(drop);
    missing_is_fine(done).map_err(error(object))
}
