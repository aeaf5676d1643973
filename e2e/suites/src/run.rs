//! One run of a scenario: what it is asked, what it does, what is waited for. Must not know why.

use crate::audit::{Account, Books};
use crate::installed::{Installed, RUNS, WORKERS};
use crate::watch::owner;
use anyhow::{Context, Result, bail, ensure};
use coalition_cluster::wait;
use coalition_crds::names::RUN_LABEL;
use coalition_crds::{Gang, RunHistory, TrainingRun};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::time::Duration;

/// How long a tiny run may take for anything: a minute in all alone, and three times that beside a build.
const ANYTHING: Duration = Duration::from_mins(4);
/// How long a deleted object may stay: its workers save and leave first.
const GONE: Duration = Duration::from_mins(1);

/// A run that was applied. Everything ever seen of it goes into the books that [`Run::check`] adds up.
#[derive(Debug)]
pub struct Run<'a> {
    at: &'a Installed,
    name: String,
    uid: String,
}

impl<'a> Run<'a> {
    /// The run called `name`, as it stands at the API.
    pub fn of(at: &'a Installed, name: &str) -> Result<Self> {
        let runs = Handle { at, name: name.to_owned() };
        let uid = runs.get()?.with_context(|| format!("there is no run {name}"))?.metadata.uid.unwrap_or_default();
        Ok(Self { at, name: name.to_owned(), uid })
    }

    /// Where it is.
    pub fn at(&self) -> &'a Installed {
        self.at
    }

    /// The TrainingRun; an error if it is gone.
    pub fn get(&self) -> Result<TrainingRun> {
        let run = Handle { at: self.at, name: self.name.clone() }.get()?;
        run.filter(|run| run.metadata.uid.as_ref() == Some(&self.uid))
            .with_context(|| format!("the run {} is gone", self.name))
    }

    /// Waits until the condition `condition` holds.
    pub fn until(&self, condition: &str) -> Result<TrainingRun> {
        self.until_it(&format!("be {condition}"), |run| holds(run, condition).is_some())
    }

    /// Waits until `is` says yes. A run that has failed is not waited for, unless that is what is waited for.
    pub fn until_it(&self, what: &str, is: impl Fn(&TrainingRun) -> bool + Send + Sync) -> Result<TrainingRun> {
        let runs = async {
            let runs: Api<TrainingRun> = Api::namespaced(self.at.hub().client().await?, RUNS);
            wait::until_async(&format!("run {} to {what}", self.name), ANYTHING, || async {
                // Its API server may be what the scenario has taken away.
                let Some(run) = runs.get_opt(&self.name).await.ok().flatten() else { return Ok(None) };
                if is(&run) {
                    return Ok(Some(run));
                }
                match holds(&run, "Failed") {
                    Some(why) => bail!("run {} failed instead of coming to {what}: {why}", self.name),
                    None => Ok(None),
                }
            })
            .await
        };
        self.at.hub().run(runs).with_context(|| self.at.said())
    }

    /// Waits until so many rounds are committed.
    pub fn until_round(&self, round: u64) -> Result<()> {
        let what = format!("round {round} of run {} to be committed", self.name);
        wait::until(&what, ANYTHING, || Ok((self.round() >= round).then_some(()))).with_context(|| self.at.said())
    }

    /// Waits for so many rounds more than are committed now.
    pub fn goes_on(&self, rounds: u64) -> Result<()> {
        self.until_round(self.round() + rounds)
    }

    /// The newest committed round.
    pub fn round(&self) -> u64 {
        self.seen(Books::round)
    }

    /// Looks at all that was ever seen of it.
    pub(crate) fn seen<T>(&self, look: impl FnOnce(&Books) -> T) -> T {
        look(self.at.books().entry(self.uid.clone()).or_default())
    }

    /// Its gang at the site, once there is one.
    pub fn gang(&self) -> Result<Option<Gang>> {
        let gangs = self.list::<Gang>(WORKERS, ListParams::default())?;
        Ok(gangs.into_iter().find(|gang| gang.spec.site_run.training_run.uid == self.uid))
    }

    /// The attempt of its gang; 0 before the first.
    pub fn attempt(&self) -> Result<i64> {
        Ok(self.gang()?.and_then(|gang| gang.status).map_or(0, |status| status.attempt))
    }

    /// The pods of its workers, those that are on their way out included.
    pub fn pods(&self) -> Result<Vec<Pod>> {
        let Some(gang) = self.gang()? else { return Ok(Vec::new()) };
        let label = format!("{RUN_LABEL}={}", gang.metadata.name.unwrap_or_default());
        self.list(WORKERS, ListParams::default().labels(&label))
    }

    /// The node (from 1) on which its first worker runs.
    pub fn node(&self) -> Result<u8> {
        let pods = self.pods()?;
        let running =
            pods.iter().find(|pod| pod.metadata.deletion_timestamp.is_none()).context("no worker has a pod")?;
        let node = running.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).context("its pod has no node")?;
        let number = node.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
        number.with_context(|| format!("{node} is none of our nodes"))
    }

    fn list<K>(&self, namespace: &str, which: ListParams) -> Result<Vec<K>>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Send,
    {
        self.at.hub().run(async {
            let api: Api<K> = Api::namespaced(self.at.hub().client().await?, namespace);
            Ok(api.list(&which).await?.items)
        })
    }

    /// Merges `change` into the TrainingRun.
    pub fn change(&self, change: &Value) -> Result<()> {
        self.at.hub().run(async {
            let runs: Api<TrainingRun> = Api::namespaced(self.at.hub().client().await?, RUNS);
            runs.patch(&self.name, &PatchParams::default(), &Patch::Merge(change)).await.map(drop).context("refused")
        })
    }

    /// Sets or clears `spec.suspend`.
    pub fn suspend(&self, suspend: bool) -> Result<()> {
        self.change(&json!({"spec": {"suspend": suspend}}))
    }

    /// Sets an annotation, or takes it away.
    pub fn annotate(&self, name: &str, value: Option<&str>) -> Result<()> {
        self.change(&json!({"metadata": {"annotations": {name: value}}}))
    }

    /// Deletes it and waits until it is gone, and its gang and pods with it.
    pub fn delete(&self) -> Result<()> {
        self.at.hub().run(async {
            let runs: Api<TrainingRun> = Api::namespaced(self.at.hub().client().await?, RUNS);
            runs.delete(&self.name, &DeleteParams::default()).await.map(drop).context("refused")
        })?;
        let gone = || Ok((self.get().is_err() && self.gang()?.is_none() && self.pods()?.is_empty()).then_some(()));
        wait::until(&format!("run {} to be gone", self.name), GONE, gone).with_context(|| self.at.said())
    }

    /// Judges all that was seen: one chain, no attempt that fell, no token counted twice. What it adds up to.
    pub fn check(&self) -> Result<Account> {
        // The watch may be a moment behind.
        for history in self.list::<RunHistory>(RUNS, ListParams::default())? {
            if owner(&history) == Some(self.uid.as_str()) {
                self.at.books().entry(self.uid.clone()).or_default().see_history(&history.spec);
            }
        }
        let account = self.seen(Books::account).with_context(|| format!("run {}", self.name))?;
        ensure!(account.rounds > 0, "run {} has committed nothing, so nothing was checked", self.name);
        Ok(account)
    }
}

struct Handle<'a> {
    at: &'a Installed,
    name: String,
}

impl Handle<'_> {
    fn get(&self) -> Result<Option<TrainingRun>> {
        self.at.hub().run(async {
            let runs: Api<TrainingRun> = Api::namespaced(self.at.hub().client().await?, RUNS);
            Ok(runs.get_opt(&self.name).await?)
        })
    }
}

/// Reason and message of a condition, if it holds.
pub(crate) fn holds(run: &TrainingRun, condition: &str) -> Option<String> {
    let conditions = run.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let found = conditions.iter().find(|one| one.type_ == condition && one.status == "True")?;
    Some(format!("{}: {}", found.reason, found.message))
}
