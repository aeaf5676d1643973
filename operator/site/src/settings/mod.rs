//! The site's own settings, `site.yaml`: what its owner allows and offers. Read once, when the role starts; a change of them is
//! a new rollout. Must not know what a hub asks.
mod check;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coalition_crds::training_run::Resources;
use coalition_protocol::SiteId;
use k8s_openapi::api::core::v1::Toleration;
use serde::{Deserialize, Deserializer};

/// A larger file is refused: a thousand data sets take some 100 KiB.
const LARGEST: u64 = 1 << 20;

/// Settings that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", path.display())]
pub struct BadSettings {
    /// The file.
    pub path: PathBuf,
    /// What is wrong and what to do.
    pub what: String,
}

/// What the owner of a site set.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Name of the site, as its `Site` object at the hub is called.
    pub name: SiteId,
    /// Whose runs it takes, and where they run. A namespace that is not listed is refused.
    pub namespaces: Vec<NamespacePair>,
    /// The trainer's image for runs that name none.
    pub image: String,
    /// Images that runs may name: exact references, with `*` for any characters. Without one only `image` is allowed.
    #[serde(default)]
    pub allowed_images: Vec<String>,
    /// What the owner sets for every worker's pod.
    #[serde(default)]
    pub worker: WorkerDefaults,
    /// The most that one run may take.
    #[serde(default)]
    pub limits: Limits,
    /// Where the site's bytes lie.
    pub store: StoreSettings,
    /// What can be trained on here.
    #[serde(default, rename = "datasets")]
    pub data_sets: Vec<DataSet>,
    /// The site's PriorityClass for each of the hub's that runs may name (`spec.priorityClassName`). A run that names another is
    /// refused.
    #[serde(default)]
    pub priority_classes: BTreeMap<String, String>,
    /// How other sites reach this one's courier.
    #[serde(default)]
    pub exchange: Exchange,
    /// How workers reach the gateway.
    #[serde(default)]
    pub gateway: Gateway,
    /// Set by the owner to stop all training here: every run saves and stops. Says why.
    #[serde(default)]
    pub owner_stop: String,
}

/// One namespace of the hub and where its runs go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespacePair {
    /// At the hub.
    pub hub: String,
    /// Here.
    pub site: String,
    /// The ServiceAccount of the workers there.
    #[serde(default = "default_account")]
    pub service_account: String,
}

fn default_account() -> String {
    "default".to_owned()
}

/// What the owner sets for every worker's pod.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkerDefaults {
    /// Cores and memory where the run says nothing.
    pub resources: Resources,
    /// Nodes that take workers.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that workers bear.
    pub tolerations: Vec<Toleration>,
    /// Annotations of every worker's pod.
    pub annotations: BTreeMap<String, String>,
    /// The RuntimeClass.
    #[serde(deserialize_with = "said")]
    pub runtime_class_name: Option<String>,
    /// Seconds that a pod has to save and leave. The trainer needs 30.
    pub termination_grace_period_seconds: u32,
}

impl Default for WorkerDefaults {
    fn default() -> Self {
        Self {
            resources: Resources::default(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            annotations: BTreeMap::new(),
            runtime_class_name: None,
            termination_grace_period_seconds: coalition_protocol::leave::GRACE.as_secs() as u32,
        }
    }
}

/// The most that one run may take here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Workers of one run.
    pub workers: i32,
    /// Compute threads of one worker.
    pub cpu_threads: i32,
}

impl Default for Limits {
    fn default() -> Self {
        // What the API allows at all.
        Self { workers: 1024, cpu_threads: 1024 }
    }
}

/// An S3-like store.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoreSettings {
    /// `s3://BUCKET/PREFIX`.
    pub url: String,
    /// Base address of the service.
    #[serde(default, deserialize_with = "said")]
    pub endpoint: Option<String>,
    /// Region.
    #[serde(default = "default_region")]
    pub region: String,
    /// The Secret with `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, in every listed namespace of the site.
    pub secret_name: String,
    /// Allows an endpoint on another machine over plain HTTP: for a network on which nobody else can listen.
    #[serde(default)]
    pub plain_http: bool,
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

/// A prepared data set of the site.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataSet {
    /// The name that runs use.
    pub name: String,
    /// Its folder, `s3://BUCKET/PREFIX/NAME`, read with the store's credentials.
    pub url: String,
}

/// How other sites reach this one's courier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Exchange {
    /// Base address under which the Service `coalition-exchange` is reached from other sites; none if nobody shall.
    #[serde(deserialize_with = "said")]
    pub endpoint: Option<String>,
    /// The Secret with the bearer token that all sites of the coalition share, in the operator's namespace; its pod hands it to
    /// the process. Without one nothing is served and nothing fetched.
    #[serde(deserialize_with = "said")]
    pub token_secret_name: Option<String>,
}

/// How workers reach the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Gateway {
    /// Base address, where it is not the Service `coalition-gateway` in the operator's namespace.
    #[serde(deserialize_with = "said")]
    pub url: Option<String>,
}

/// A text that may be left out, or empty, which says the same.
fn said<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(d)?.filter(|s| !s.is_empty()))
}

impl Settings {
    /// Reads and checks the file.
    pub fn read(path: &Path) -> Result<Self, BadSettings> {
        let bad = |what: String| BadSettings { path: path.to_owned(), what };
        let size = std::fs::metadata(path).map_err(|e| bad(format!("cannot be read: {e}")))?.len();
        if size > LARGEST {
            return Err(bad(format!("{size} bytes, settings of a site have at most {LARGEST}")));
        }
        let text = std::fs::read_to_string(path).map_err(|e| bad(format!("cannot be read: {e}")))?;
        Self::parse(&text).map_err(bad)
    }

    /// Reads and checks the text of such a file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let settings: Self = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
        check::check(&settings)?;
        Ok(settings)
    }

    /// Where runs of a namespace of the hub go; none if it is not listed.
    pub fn pair(&self, hub: &str) -> Option<&NamespacePair> {
        self.namespaces.iter().find(|p| p.hub == hub)
    }

    /// The namespaces of this cluster in which workers run.
    pub fn site_namespaces(&self) -> std::collections::BTreeSet<String> {
        self.namespaces.iter().map(|p| p.site.clone()).collect()
    }

    /// True if a run may name this image.
    pub fn allows_image(&self, image: &str) -> bool {
        image == self.image || self.allowed_images.iter().any(|p| matches(p, image))
    }
}

/// True if `text` is `pattern` with any characters for each `*`.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    let mut tails = text.char_indices().map(|(at, _)| &text[at..]).chain([""]);
    tails.any(|tail| matches(rest, tail))
}

#[cfg(test)]
mod tests;
