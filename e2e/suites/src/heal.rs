//! Self-heal as GitOps tools do it: somebody applies the same manifest again every few seconds, whatever happened to the object.
//! Must not know what the manifest asks for.

use anyhow::{Context, Result};
use coalition_cluster::Cluster;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// How often: what is asked of us is that this leads to no fight.
const EVERY: Duration = Duration::from_secs(5);
/// The name under which fields are owned.
const MANAGER: &str = "self-heal";

/// Applies manifests again and again until it is dropped.
#[derive(Debug)]
pub struct SelfHeal {
    applied: Arc<AtomicU32>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl SelfHeal {
    /// Begins with `manifests` at `cluster`; the first time at once.
    pub fn start(cluster: &Arc<Cluster>, manifests: Vec<Value>) -> Self {
        let (end, mut ended) = oneshot::channel();
        let applied = Arc::new(AtomicU32::new(0));
        let (count, cluster) = (Arc::clone(&applied), Arc::clone(cluster));
        let thread = std::thread::spawn(move || {
            cluster.run(async {
                let client = cluster.client().await?;
                let mut clock = tokio::time::interval(EVERY);
                loop {
                    tokio::select! {
                        _ = clock.tick() => {}
                        _ = &mut ended => return Ok(()),
                    }
                    for manifest in &manifests {
                        apply(&client, manifest, MANAGER).await?;
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        Self { applied, end: Some(end), thread: Some(thread) }
    }

    /// How often all of them were applied.
    pub fn times(&self) -> u32 {
        self.applied.load(Ordering::Relaxed)
    }

    /// Ends it; an error if an apply was refused.
    pub fn finish(mut self) -> Result<u32> {
        self.end()?;
        Ok(self.times())
    }

    fn end(&mut self) -> Result<()> {
        drop(self.end.take());
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(done)) => done.context("self-heal was refused"),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

impl Drop for SelfHeal {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("warning: {error:#}");
        }
    }
}

/// Server-side apply of one manifest, of whatever kind of ours or of core.
pub(crate) async fn apply(client: &kube::Client, manifest: &Value, manager: &str) -> Result<DynamicObject> {
    let object: DynamicObject = serde_json::from_value(manifest.clone()).context("no manifest")?;
    let types = object.types.clone().context("a manifest without kind")?;
    let name = object.metadata.name.clone().context("a manifest without name")?;
    let kind = GroupVersionKind::try_from(&types).context("no apiVersion")?;
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let params = PatchParams::apply(manager).force();
    api.patch(&name, &params, &Patch::Apply(&object))
        .await
        .with_context(|| format!("cannot apply {} {name}", types.kind))
}
