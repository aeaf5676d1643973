//! What a later hub must remember of a run beside its history: a ConfigMap beside the hub, named after the run. None of it is
//! truth: losing it forgets which restarts were charged and how long the run has lasted, never a record.
//!
//! It stands in the hub's own namespace, so that the hub needs no right over ConfigMaps anywhere else. No owner reference
//! reaches another namespace: it names its TrainingRun, and goes once that is proved to be gone (`strays`).
//!
//! The age of a run (`activeDeadlineSeconds`, `ttlSecondsAfterFinished`, the window of the failure policy) is counted by the
//! hubs that led, from when the first of them saw the run. No time that stands in an object is read, for that would be another
//! machine's clock. While nobody leads no time passes; after a crash at most [`STEP`] is counted again.
use std::collections::BTreeSet;

use coalition_crds::CheckpointPolicySpec;
use coalition_crds::names::RUN_LABEL;
use coalition_crds::training_run::RunReference;
use coalition_planner::Millis;
use coalition_planner::restarts::Restarts;
use coalition_protocol::record::Origin;
use coalition_protocol::{RunId, Seq};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use serde::{Deserialize, Serialize};

use crate::apply::MANAGER;

/// How far the age may lie behind what was written, milliseconds: no deadline is set so finely, and 12 writes an hour are
/// within what a run may cost an API server.
pub const STEP: u64 = 300_000;
/// The entry with what is remembered.
const ENTRY: &str = "memory.json";
/// The entry with the TrainingRun that it is about.
const RUN: &str = "run.json";

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// How long the run has lasted, milliseconds.
    pub age: u64,
    /// The same at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished: Option<u64>,
    /// Failures seen and charged; instants are ages.
    pub restarts: Restarts,
    /// The CheckpointPolicy as it was last seen: a run goes on with it if somebody deletes the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<CheckpointPolicySpec>,
    /// The state that the run begins from, once it was found: the object that named it may go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Checkpoints whose objects were deleted and whose bytes stay (`deletionPolicy: Retain`).
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub retained: BTreeSet<Seq>,
}

impl Memory {
    /// True if this says more than `written` did that may not wait.
    pub fn differs(&self, written: &Self) -> bool {
        self.age.saturating_sub(written.age) >= STEP || (Self { age: written.age, ..self.clone() } != *written)
    }

    /// The restarts with their instants on a clock on which the run began at `began`.
    pub fn restarts_since(&self, began: Millis) -> Restarts {
        let mut restarts = self.restarts.clone();
        restarts.charged.iter_mut().for_each(|c| c.at = began.plus(c.at.0));
        restarts
    }

    /// Takes restarts whose instants are on such a clock.
    pub fn take_restarts(&mut self, restarts: &Restarts, began: Millis) {
        self.restarts = restarts.clone();
        self.restarts.charged.iter_mut().for_each(|c| c.at = Millis(c.at.since(began)));
    }
}

/// The ConfigMap's name.
fn name(run: &RunId) -> String {
    format!("coalition-run-{run}")
}

/// Reads it; none if there is none, or if what there is cannot be read. `namespace` is the hub's own.
pub async fn read(client: &Client, namespace: &str, run: &RunId) -> Result<Option<Memory>, kube::Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let Some(object) = api.get_opt(&name(run)).await? else { return Ok(None) };
    match serde_json::from_str(entry(&object, ENTRY)) {
        Ok(memory) => Ok(Some(memory)),
        Err(error) => {
            tracing::warn!(namespace, %run, %error, "ConfigMap of this run is damaged and counts as absent: restarts charged before are forgotten");
            Ok(None)
        }
    }
}

/// Writes it. `namespace` is the hub's own, `of` the run's object.
pub async fn write(
    client: &Client,
    namespace: &str,
    run: &RunId,
    of: &RunReference,
    memory: &Memory,
) -> Result<(), kube::Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let text = serde_json::to_string(memory).map_err(kube::Error::SerdeError)?;
    let of = serde_json::to_string(of).map_err(kube::Error::SerdeError)?;
    let object = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name(run)),
            labels: Some([(RUN_LABEL.to_owned(), run.to_string())].into()),
            ..ObjectMeta::default()
        },
        data: Some([(ENTRY.to_owned(), text), (RUN.to_owned(), of)].into()),
        ..ConfigMap::default()
    };
    api.patch(&name(run), &PatchParams::apply(MANAGER).force(), &Patch::Apply(&object)).await.map(drop)
}

/// The TrainingRun that a ConfigMap is about; none if it does not say so.
pub fn of(object: &ConfigMap) -> Option<RunReference> {
    serde_json::from_str(entry(object, RUN)).ok()
}

/// Removes it, if it is still this one.
pub async fn remove(client: &Client, object: &ConfigMap) -> Result<(), kube::Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), object.metadata.namespace.as_deref().unwrap_or_default());
    let same = Preconditions { uid: object.metadata.uid.clone(), resource_version: None };
    let params = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
    match api.delete(object.metadata.name.as_deref().unwrap_or_default(), &params).await {
        Err(kube::Error::Api(s)) if s.code == 404 || s.code == 409 => Ok(()),
        done => done.map(drop),
    }
}

fn entry<'a>(object: &'a ConfigMap, key: &str) -> &'a str {
    object.data.as_ref().and_then(|d| d.get(key)).map_or("", String::as_str)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use coalition_planner::restarts::Charge;

    #[test]
    fn instants_survive_on_another_clock() {
        let charge = Charge { site: "north".parse().unwrap(), at: Millis(1_500), what: "killed".to_owned() };
        let restarts = Restarts { charged: vec![charge], ..Restarts::default() };
        let mut memory = Memory::default();
        memory.take_restarts(&restarts, Millis(1_000));
        let text = serde_json::to_string(&memory).unwrap();
        let again: Memory = serde_json::from_str(&text).unwrap();
        assert_eq!(again, memory);
        assert_eq!(again.restarts_since(Millis(77_000)).charged[0].at, Millis(77_500), "half a second after it began");
    }

    #[test]
    fn age_alone_is_written_seldom() {
        let written = Memory { age: 10, ..Memory::default() };
        assert!(!Memory { age: STEP, ..written.clone() }.differs(&written));
        assert!(Memory { age: STEP + 10, ..written.clone() }.differs(&written));
        assert!(Memory { finished: Some(11), ..written.clone() }.differs(&written));
    }

    #[test]
    fn the_longest_identity_makes_a_name() {
        let run: RunId = "a".repeat(63).parse().unwrap();
        assert!(name(&run).len() <= 253, "the bound of a ConfigMap's name");
    }
}
