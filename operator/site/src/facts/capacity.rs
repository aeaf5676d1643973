//! What the site could train with: the nodes that take workers, and what pods have asked of them. Rounded, so that a busy cluster
//! does not make a new report with every pod. Must not place anything.
use std::collections::BTreeSet;
use std::sync::Arc;

use coalition_crds::amounts::Quantity;
use coalition_crds::site::{Capacity, Supply};
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use kube::Api;
use kube::api::ListParams;

use super::quantity::thousandths;
use crate::context::Context;
use crate::gang::observe::is_ready;
use crate::settings::WorkerDefaults;

/// Pods of one page of a list: some MiB.
const PAGE: u32 = 500;
/// Bytes of the unit in which memory is told.
const GIB: i128 = 1 << 30;
/// What GPUs are called.
const GPU: &str = "nvidia.com/gpu";

/// Cores and memory in thousandths, and GPUs.
#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    cpu: i128,
    memory: i128,
    gpus: i128,
}

impl Amount {
    fn of<V: AsRef<str>>(get: impl Fn(&str) -> Option<V>) -> Self {
        let read = |name: &str| get(name).map_or(0, |v| thousandths(v.as_ref()));
        Self { cpu: read("cpu"), memory: read("memory"), gpus: read(GPU) }
    }

    fn add(&mut self, other: Self) {
        self.cpu += other.cpu;
        self.memory += other.memory;
        self.gpus += other.gpus;
    }

    fn supply(self) -> Supply {
        let whole = |n: i128| i64::try_from(n.max(0)).unwrap_or(i64::MAX);
        Supply {
            cpu: Quantity::Number(whole(self.cpu / 1000)),
            memory: Quantity::Text(format!("{}Gi", whole(self.memory / 1000 / GIB))),
            gpus: whole(self.gpus / 1000),
        }
    }
}

/// What the site could train with. Where pods cannot be listed nothing counts as free.
pub async fn capacity(ctx: &Context) -> Capacity {
    let nodes: Vec<Arc<Node>> =
        ctx.sources.nodes.all().into_iter().filter(|n| takes_workers(n, &ctx.settings.worker)).collect();
    let mut total = Amount::default();
    for node in &nodes {
        let allocatable = node.status.as_ref().and_then(|s| s.allocatable.as_ref());
        total.add(Amount::of(|name| allocatable.and_then(|a| a.get(name)).map(|q| &q.0)));
    }
    let mut free = total;
    match used(ctx, &nodes).await {
        Ok(used) => free.add(Amount { cpu: -used.cpu, memory: -used.memory, gpus: -used.gpus }),
        Err(e) => {
            tracing::debug!(error = %e, "pods cannot be listed: nothing is told to be free");
            free = Amount::default();
        }
    }
    let count = i32::try_from(nodes.len()).unwrap_or(i32::MAX);
    Capacity { nodes: count, total: total.supply(), free: free.supply() }
}

async fn used(ctx: &Context, nodes: &[Arc<Node>]) -> Result<Amount, kube::Error> {
    let names: BTreeSet<&str> = nodes.iter().filter_map(|n| n.metadata.name.as_deref()).collect();
    let api: Api<Pod> = Api::all(ctx.local.clone());
    let mut params = ListParams::default().limit(PAGE).fields("status.phase!=Succeeded,status.phase!=Failed");
    let mut used = Amount::default();
    loop {
        let page = api.list(&params).await?;
        for pod in &page.items {
            let Some(spec) = &pod.spec else { continue };
            if spec.node_name.as_deref().is_some_and(|n| names.contains(n)) {
                for c in &spec.containers {
                    let asked = c.resources.as_ref().and_then(|r| r.requests.as_ref());
                    used.add(Amount::of(|name| asked.and_then(|a| a.get(name)).map(|q| &q.0)));
                }
            }
        }
        match page.metadata.continue_.filter(|c| !c.is_empty()) {
            Some(next) => params = params.continue_token(&next),
            None => return Ok(used),
        }
    }
}

fn takes_workers(node: &Node, worker: &WorkerDefaults) -> bool {
    let spec = node.spec.clone().unwrap_or_default();
    let labels = node.metadata.labels.clone().unwrap_or_default();
    let selected = worker.node_selector.iter().all(|(k, v)| labels.get(k) == Some(v));
    let borne = |t: &Taint| t.effect == "PreferNoSchedule" || worker.tolerations.iter().any(|o| tolerates(o, t));
    is_ready(node) && spec.unschedulable != Some(true) && selected && spec.taints.iter().flatten().all(borne)
}

fn tolerates(o: &Toleration, t: &Taint) -> bool {
    let effect = o.effect.as_deref().is_none_or(|e| e.is_empty() || e == t.effect);
    let exists = o.operator.as_deref() == Some("Exists");
    let key = o.key.as_deref().filter(|k| !k.is_empty());
    let matches = match key {
        None => exists,
        Some(k) => {
            k == t.key && (exists || o.value.as_deref().unwrap_or_default() == t.value.as_deref().unwrap_or_default())
        }
    };
    effect && matches
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_nodes_that_take_workers_count() {
        let node = |taint: serde_json::Value, ready: &str| -> Node {
            serde_json::from_value(json!({
                "metadata": {"labels": {"pool": "a"}}, "spec": {"taints": taint},
                "status": {"conditions": [{"type": "Ready", "status": ready}]},
            }))
            .unwrap()
        };
        let tolerations = serde_json::from_value(json!([{"key": "training", "operator": "Exists"}])).unwrap();
        let worker = WorkerDefaults { tolerations, ..WorkerDefaults::default() };
        let taint = |key: &str| json!([{"key": key, "effect": "NoSchedule"}]);
        assert!(takes_workers(&node(json!([]), "True"), &worker));
        assert!(takes_workers(&node(taint("training"), "True"), &worker));
        assert!(!takes_workers(&node(taint("other"), "True"), &worker));
        assert!(!takes_workers(&node(json!([]), "Unknown"), &worker));
        let elsewhere = WorkerDefaults { node_selector: [("pool".into(), "b".into())].into(), ..worker };
        assert!(!takes_workers(&node(json!([]), "True"), &elsewhere));
    }
}
