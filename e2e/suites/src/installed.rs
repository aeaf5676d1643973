//! A world with Coalition in it: clusters, an S3 store, images, charts, a data set; everything a user has who is about to apply
//! a run. Must not know what a scenario does with it.

use crate::manifest::Tiny;
use crate::run::Run;
use crate::watch::{Auditor, Shelf};
use crate::{archives, data, heal};
use anyhow::{Context, Result};
use coalition_cluster::{Cluster, FAKE, Place, Spec, World, wait};
use coalition_crds::Site;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

/// The namespace of the operator.
pub const SYSTEM: &str = "coalition-system";
/// The namespace of the users' objects.
pub const RUNS: &str = "research";
/// The namespace of the workers.
pub const WORKERS: &str = "training";
/// The name of the one site, and of its cluster.
pub const SITE: &str = "north";
/// The name of the data set.
pub(crate) const DATASET: &str = "tiny";
/// The Secret with the keys of the store, in the operator's namespace and in that of the workers.
pub(crate) const STORE_SECRET: &str = "coalition-store";
/// The field manager of what the suites apply themselves.
const MANAGER: &str = "suites";

/// How long the data set may take to be prepared: two containers start, and libtorch is loaded twice.
const PREPARED: Duration = Duration::from_mins(2);
/// How long the site may take to be Ready at the hub: its first report follows its first look at store and data.
const READY: Duration = Duration::from_mins(1);

/// What to build.
#[derive(Clone, Debug)]
pub struct Layout {
    spec: Spec,
    nodes: u8,
    values: Value,
}

impl Layout {
    /// One cluster that is hub and site, with `nodes` real nodes.
    pub fn one(nodes: u8) -> Self {
        Self { spec: Spec::whole(SITE, nodes).with_s3(), nodes, values: json!({}) }
    }

    /// The same with `count` played nodes beside the real ones, and all workers on those.
    #[must_use]
    pub fn with_played_workers(mut self, count: u32) -> Self {
        self.spec = self.spec.with_fake_nodes(count);
        let worker = json!({"nodeSelector": {FAKE: "true"}, "tolerations": [{"key": FAKE, "operator": "Exists"}]});
        self.with_values(json!({"site": {"settings": {"worker": worker}}}))
    }

    /// With other values for the chart.
    #[must_use]
    pub fn with_values(mut self, values: Value) -> Self {
        merge(&mut self.values, values);
        self
    }

    /// With a store disk of this many bytes.
    #[must_use]
    pub fn with_store(mut self, bytes: u64) -> Self {
        self.spec = self.spec.with_store(bytes);
        self
    }
}

/// Coalition, installed.
#[derive(Debug)]
pub struct Installed {
    /// First, so that it ends before what it watches.
    auditor: Auditor,
    values: Value,
    nodes: u8,
    cluster: Arc<Cluster>,
    world: World,
}

impl Installed {
    /// Builds it for a test; where that cannot be, says `SKIPPED: reason`, which the gate counts, and gives none.
    pub fn or_skip(layout: Layout) -> Result<Option<Self>> {
        if let Some(why) = archives::missing() {
            println!("SKIPPED: {why}");
            return Ok(None);
        }
        let Some(world) = World::start_or_skip()? else { return Ok(None) };
        Self::new(world, layout).map(Some)
    }

    /// Builds it in `world` and waits until a run can be applied.
    pub fn new(world: World, layout: Layout) -> Result<Self> {
        let mut spec = layout.spec;
        for image in [archives::OPERATOR, archives::TRAINER] {
            spec = spec.with_image_file(&archives::path(image)?);
        }
        let cluster = Arc::new(world.cluster(spec)?);
        let auditor = Auditor::start(&cluster);
        let this = Self { auditor, values: layout.values, nodes: layout.nodes, cluster, world };
        this.namespaces()?;
        this.data()?;
        this.install()?;
        this.site_ready()?;
        Ok(this)
    }

    /// The world.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// How many real nodes there are.
    pub fn nodes(&self) -> u8 {
        self.nodes
    }

    /// What the chart's values differ in from those of every suite.
    pub(crate) fn values(&self) -> &Value {
        &self.values
    }

    /// What was seen of every run.
    pub(crate) fn books(&self) -> MutexGuard<'_, Shelf> {
        self.auditor.books()
    }

    /// The cluster where people apply things.
    pub fn hub(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Applies a manifest, server-side.
    pub fn put(&self, manifest: &Value) -> Result<()> {
        self.cluster.run(async { heal::apply(&self.cluster.client().await?, manifest, MANAGER).await.map(drop) })
    }

    /// Applies a tiny run with its policy.
    pub fn apply(&self, tiny: &Tiny) -> Result<Run<'_>> {
        self.put(&tiny.policy())?;
        self.put(&tiny.run())?;
        Run::of(self, tiny.name())
    }

    /// Gives an image that the nodes have a second name.
    pub fn tag(&self, image: &str, other: &str) -> Result<()> {
        let ctr = self.world.tools().path("ctr")?;
        for node in 1..=self.nodes {
            self.cluster.exec(Place::Node(node), &ctr, &["-n", "k8s.io", "images", "tag", "--force", image, other])?;
        }
        Ok(())
    }

    fn namespaces(&self) -> Result<()> {
        let s3 = self.cluster.s3()?;
        for namespace in [SYSTEM, RUNS, WORKERS] {
            // What the chart promises is demanded by the API server.
            let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
            let metadata = json!({"name": namespace, "labels": labels});
            self.put(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))?;
        }
        for namespace in [SYSTEM, WORKERS] {
            self.put(&json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": STORE_SECRET, "namespace": namespace},
                "stringData": {"AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key},
            }))?;
        }
        Ok(())
    }

    fn data(&self) -> Result<()> {
        data::manifests(&self.cluster.s3()?).iter().try_for_each(|manifest| self.put(manifest))?;
        let done = async {
            let pods: Api<Pod> = Api::namespaced(self.cluster.client().await?, WORKERS);
            wait::until_async("the data set to be pushed", PREPARED, || async {
                let phase = pods.get(data::NAME).await?.status.and_then(|status| status.phase);
                anyhow::ensure!(phase.as_deref() != Some("Failed"), "preparing the data set failed");
                Ok((phase.as_deref() == Some("Succeeded")).then_some(()))
            })
            .await
        };
        self.cluster.run(done).with_context(|| self.said())
    }

    fn site_ready(&self) -> Result<()> {
        let ready = async {
            let sites: Api<Site> = Api::all(self.cluster.client().await?);
            wait::until_async(&format!("the site {SITE} to be Ready"), READY, || async {
                let conditions = sites.get(SITE).await?.status.unwrap_or_default().conditions;
                Ok(conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True").then_some(()))
            })
            .await
        };
        self.cluster.run(ready).with_context(|| self.said())
    }

    /// Runs kubectl as an administrator.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.cluster.kubectl(args)
    }

    /// Runs a program in a node's namespaces.
    pub fn on_node(&self, node: u8, program: &Path, args: &[&str]) -> Result<String> {
        self.cluster.exec(Place::Node(node), program, args)
    }
}

/// Puts the fields of `more` over those of `base`, object by object.
pub(crate) fn merge(base: &mut Value, more: Value) {
    match (base, more) {
        (Value::Object(base), Value::Object(more)) => {
            for (key, value) in more {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, more) => *base = more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_merged_field_by_field() {
        let mut base = json!({"a": {"b": 1, "c": 2}, "d": [1]});
        merge(&mut base, json!({"a": {"b": 3}, "d": [2, 3], "e": true}));
        assert_eq!(base, json!({"a": {"b": 3, "c": 2}, "d": [2, 3], "e": true}));
    }
}
