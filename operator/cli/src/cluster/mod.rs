//! Runs of a cluster: each verb a file that fetches objects, and pure files that turn objects into words and tables. Must not
//! decide anything: what a run does and why stands in its status, in the words of `coalition_crds::conditions`.
pub mod checkpoint;
pub mod connect;
pub mod dry_run;
pub mod error;
pub mod history;
mod lines;
pub mod logs;
mod pods;
mod print;
mod records;
mod render;
mod reports;
pub mod status;
pub mod stop;
mod why;
mod words;

use std::fmt::Debug;
use std::time::Duration;

use coalition_crds::TrainingRun;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::ClusterError;
pub use why::why;

use error::Asked;

/// How long an API server may take to answer: kubectl's users wait about as long before they look at the network.
const ANSWER: Duration = Duration::from_secs(20);
/// Who this program is to the API server, for the fields it changes. Not `kubectl-…`: Flux takes back what a manager wrote whose
/// name begins with `kubectl`, and a stop must stay.
pub const MANAGER: &str = "coalition-cli";

/// A cluster and the namespace that is meant in it.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    /// The namespace that is meant.
    pub namespace: String,
    /// How people know it, such as `context hub`.
    pub called: String,
}

/// What lies in namespaces and has one known kind.
pub trait Kind: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug {}

impl<K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug> Kind for K {}

/// Runs one verb to its end.
pub fn block<T>(work: impl Future<Output = Result<T, ClusterError>>) -> Result<T, ClusterError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| ClusterError::Bug(format!("no runtime: {e}")))?.block_on(work)
}

impl Cluster {
    /// Its client, for kinds that lie in no namespace.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The API of a kind, in a namespace or in all.
    fn api<K: Kind>(&self, namespace: Option<&str>) -> Api<K> {
        match namespace {
            Some(n) => Api::namespaced(self.client.clone(), n),
            None => Api::all(self.client.clone()),
        }
    }

    fn asked<'a, K: Kind>(&'a self, verb: &'static str, namespace: Option<&'a str>, name: &'a str) -> Asked<'a> {
        let (plural, group) = (K::plural(&()), K::group(&()));
        let resource = if group.is_empty() { plural.into_owned() } else { format!("{plural}.{group}") };
        // Errors carry names that live as long as the program; `Resource::kind` promises no such.
        let kind = match resource.as_str() {
            "trainingruns.coalition.training" => "TrainingRun",
            "checkpoints.coalition.training" => "Checkpoint",
            "runhistories.coalition.training" => "RunHistory",
            "sitereports.coalition.training" => "SiteReport",
            "gangs.coalition.training" => "Gang",
            _ => "object",
        };
        Asked { cluster: &self.called, verb, resource, kind, name, namespace }
    }

    /// The objects of a kind, by namespace and name.
    pub async fn list<K: Kind>(&self, namespace: Option<&str>, params: &ListParams) -> Result<Vec<K>, ClusterError> {
        let api: Api<K> = self.api(namespace);
        let mut items = self.answer(self.asked::<K>("list", namespace, ""), api.list(params)).await?.items;
        items.sort_by_key(|o| (o.namespace(), o.name_any()));
        Ok(items)
    }

    /// One object of the namespace that is meant.
    pub async fn get<K: Kind>(&self, name: &str) -> Result<K, ClusterError> {
        self.get_in(&self.namespace, name).await
    }

    /// One object of a namespace.
    pub async fn get_in<K: Kind>(&self, namespace: &str, name: &str) -> Result<K, ClusterError> {
        let api: Api<K> = self.api(Some(namespace));
        match self.answer(self.asked::<K>("get", Some(namespace), name), api.get(name)).await {
            Err(ClusterError::NotFound { kind, name, place, .. }) => {
                // Names are a help: who may not list gets none.
                let all = self.list::<K>(Some(namespace), &ListParams::default()).await;
                let near = all.map_or_else(
                    |_| String::new(),
                    |all| error::near(&name, &all.iter().map(ResourceExt::name_any).collect::<Vec<_>>()),
                );
                Err(ClusterError::NotFound { kind, name, place, near })
            }
            other => other,
        }
    }

    /// Merges a change into one object of the namespace that is meant.
    pub async fn merge<K: Kind>(&self, name: &str, change: &impl Serialize) -> Result<K, ClusterError> {
        let api: Api<K> = self.api(Some(&self.namespace));
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let change = serde_json::to_value(change).map_err(|e| ClusterError::Bug(e.to_string()))?;
        let asked = self.asked::<K>("patch", Some(&self.namespace), name);
        self.answer(asked, api.patch(name, &params, &Patch::Merge(change))).await
    }

    /// The run that is meant: the one of this name, or the only one of the namespace.
    pub async fn run(&self, name: Option<&str>) -> Result<TrainingRun, ClusterError> {
        if let Some(name) = name {
            return self.get(name).await;
        }
        let mut all: Vec<TrainingRun> = self.list(Some(&self.namespace), &ListParams::default()).await?;
        if all.len() == 1 {
            return Ok(all.swap_remove(0));
        }
        let place = error::place(&self.called, Some(&self.namespace));
        let names: Vec<String> = all.iter().map(ResourceExt::name_any).collect();
        let what = if names.is_empty() {
            format!("there is no TrainingRun in {place}: name another namespace with -n")
        } else {
            format!("there are several in {place}: name one of {}", names.join(", "))
        };
        Err(ClusterError::Argument { argument: "RUN".to_owned(), what })
    }

    /// Waits for an answer, not for ever.
    async fn answer<T>(
        &self,
        asked: Asked<'_>,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, ClusterError> {
        self.timely(&asked, request).await?.map_err(|e| asked.failed(e))
    }

    /// The same, where the caller reads the server's refusal itself.
    async fn timely<T>(
        &self,
        asked: &Asked<'_>,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<Result<T, kube::Error>, ClusterError> {
        tokio::time::timeout(ANSWER, request).await.map_err(|_| ClusterError::Unreachable {
            cluster: self.called.clone(),
            what: format!("no answer to {} {} within {} s", asked.verb, asked.resource, ANSWER.as_secs()),
        })
    }
}

/// An object of the tests, from YAML.
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
fn object<K: DeserializeOwned>(yaml: &str) -> K {
    serde_json::from_value(serde_saphyr::from_str(yaml).unwrap()).unwrap()
}
