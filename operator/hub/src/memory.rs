//! What a later hub must remember of a run beside its history: a ConfigMap of the run, named after it. None of it is truth:
//! losing it forgets which restarts were charged and how long the run has lasted, never a record.
//!
//! The age of a run (`activeDeadlineSeconds`, `ttlSecondsAfterFinished`, the window of the failure policy) is counted by the
//! hubs that led, from when the first of them saw the run. No time that stands in an object is read, for that would be another
//! machine's clock. While nobody leads no time passes; after a crash at most [`STEP`] is counted again.
use std::collections::BTreeSet;

use coalition_crds::CheckpointPolicySpec;
use coalition_crds::names::RUN_LABEL;
use coalition_planner::Millis;
use coalition_planner::restarts::Restarts;
use coalition_protocol::{RunId, Seq};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Client};
use serde::{Deserialize, Serialize};

use crate::apply::MANAGER;

/// How far the age may lie behind what was written, milliseconds: no deadline is set so finely, and 12 writes an hour are
/// within what a run may cost an API server.
pub const STEP: u64 = 300_000;
/// The one entry of the ConfigMap.
const ENTRY: &str = "memory.json";

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

/// Reads it; none if there is none, or if what there is cannot be read.
pub async fn read(client: &Client, namespace: &str, run: &RunId) -> Result<Option<Memory>, kube::Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let Some(object) = api.get_opt(run.as_str()).await? else { return Ok(None) };
    let text = object.data.as_ref().and_then(|d| d.get(ENTRY)).map_or("", String::as_str);
    match serde_json::from_str(text) {
        Ok(memory) => Ok(Some(memory)),
        Err(error) => {
            tracing::warn!(namespace, %run, %error, "ConfigMap of this run is damaged and counts as absent: restarts charged before are forgotten");
            Ok(None)
        }
    }
}

/// Writes it.
pub async fn write(
    client: &Client,
    namespace: &str,
    run: &RunId,
    owner: Option<OwnerReference>,
    memory: &Memory,
) -> Result<(), kube::Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let text = serde_json::to_string(memory).map_err(kube::Error::SerdeError)?;
    let object = ConfigMap {
        metadata: ObjectMeta {
            name: Some(run.to_string()),
            labels: Some([(RUN_LABEL.to_owned(), run.to_string())].into()),
            owner_references: owner.map(|o| vec![o]),
            ..ObjectMeta::default()
        },
        data: Some([(ENTRY.to_owned(), text)].into()),
        ..ConfigMap::default()
    };
    api.patch(run.as_str(), &PatchParams::apply(MANAGER).force(), &Patch::Apply(&object)).await.map(drop)
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
}
