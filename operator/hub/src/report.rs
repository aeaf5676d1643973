//! Report: the status of a run, and events about it. One status write a pass, left out when nothing changed, and at most every 30 s
//! while only numbers did. Must not decide, and nothing may depend on what it writes: all of it is a view.
use coalition_crds::TrainingRun;
use coalition_crds::conditions::Time;
use coalition_crds::training_run::TrainingRunStatus;
use coalition_planner::{Event, Millis};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{EventType, Recorder};
use kube::{Api, Client, Resource as _};
use serde_json::json;

use crate::apply::MANAGER;

/// Least time between two writes when nothing but progress changed, milliseconds: the design's budget for progress.
const QUIET: u64 = 30_000;
/// Characters of an event's note: Kubernetes takes 1 KiB.
const NOTE: usize = 1000;

/// Writes the status of one run.
#[derive(Debug, Default)]
pub struct Reporter {
    written: Option<(TrainingRunStatus, Millis)>,
}

impl Reporter {
    /// The conditions that stand at the server, as far as this hub wrote or read them.
    pub fn before<'a>(&'a self, run: &'a TrainingRun) -> TrainingRunStatus {
        self.written.as_ref().map_or_else(|| run.status.clone().unwrap_or_default(), |(s, _)| s.clone())
    }

    /// Writes `next` if it says anything new that may not wait. Events follow once it is written.
    pub async fn write(
        &mut self,
        client: &Client,
        run: &TrainingRun,
        next: TrainingRunStatus,
        now: Millis,
    ) -> Result<(), kube::Error> {
        let before = self.before(run);
        let due = match &self.written {
            _ if next == before => false,
            Some((_, at)) => differs(&before, &next) || now.since(*at) >= QUIET,
            None => true,
        };
        if !due {
            return Ok(());
        }
        let (namespace, name) =
            (run.meta().namespace.clone().unwrap_or_default(), run.meta().name.clone().unwrap_or_default());
        let api: Api<TrainingRun> = Api::namespaced(client.clone(), &namespace);
        let patch = json!({
            "apiVersion": TrainingRun::api_version(&()),
            "kind": TrainingRun::kind(&()),
            "metadata": {"name": name, "uid": run.meta().uid},
            "status": next,
        });
        api.patch_status(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&patch)).await?;
        self.written = Some((next, now));
        Ok(())
    }
}

/// True if more than numbers differ: a condition, a site's state, the head, the checkpoint.
fn differs(a: &TrainingRunStatus, b: &TrainingRunStatus) -> bool {
    let conditions = |s: &TrainingRunStatus| -> Vec<(String, String, String)> {
        s.conditions.iter().map(|c| (c.type_.clone(), c.status.clone(), c.reason.clone())).collect()
    };
    let sites = |s: &TrainingRunStatus| -> Vec<_> {
        s.sites.iter().map(|l| (l.name.clone(), l.state, l.incarnation, l.attempt, l.workers_ready)).collect()
    };
    conditions(a) != conditions(b)
        || sites(a) != sites(b)
        || a.history.is_some() != b.history.is_some()
        || a.progress.as_ref().map(|p| p.round) != b.progress.as_ref().map(|p| p.round)
        || a.restarts != b.restarts
        || a.checkpoint.as_ref().map(|c| &c.name) != b.checkpoint.as_ref().map(|c| &c.name)
        || a.observed_generation != b.observed_generation
}

/// Tells an event about a run. One that cannot be told is lost: events are for people.
pub async fn tell(recorder: &Recorder, reference: &ObjectReference, event: &Event) {
    let note = coalition_crds::budget::shorten(&event.message, NOTE);
    let told = kube::runtime::events::Event {
        type_: if event.warning { EventType::Warning } else { EventType::Normal },
        reason: event.reason.clone(),
        note: Some(note),
        action: event.reason.clone(),
        secondary: None,
    };
    if let Err(e) = recorder.publish(&told, reference).await {
        tracing::debug!(reason = event.reason, error = %e, "an event was not told");
    }
}

/// Now, for the times that stand in conditions.
pub fn now() -> Time {
    Time(jiff::Timestamp::now())
}
