//! Nodes that are played by kwok: objects with GPUs on them and nothing behind. Must not know who schedules onto them.

use crate::wait;
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Node;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use std::time::Duration;

/// How long they may take in all: 1000 nodes were Ready 11.5 s after the first was made.
const READY: Duration = Duration::from_mins(2);
/// The label and taint that only pods meant for played nodes know.
pub const FAKE: &str = "coalition.training/fake";

/// Makes `count` of them and waits until all are Ready.
pub(crate) async fn make(client: Client, cluster: &str, count: u32) -> Result<()> {
    let nodes: Api<Node> = Api::all(client);
    for index in 1..=count {
        let name = format!("{cluster}-fake-{index}");
        let amount = json!({"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/gpu": "8"});
        let node: Node = serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "labels": {FAKE: "true", "kubernetes.io/hostname": name},
                "annotations": {"kwok.x-k8s.io/node": "fake"},
            },
            // What must really run shall not be bound to what does not.
            "spec": {"taints": [{"key": FAKE, "value": "true", "effect": "NoSchedule"}]},
            "status": {"capacity": amount, "allocatable": amount},
        }))
        .context("no node")?;
        nodes.create(&PostParams::default(), &node).await.with_context(|| format!("cannot make node {name}"))?;
    }
    let chosen = ListParams::default().labels(&format!("{FAKE}=true"));
    wait::until_async(&format!("{count} played nodes to be Ready"), READY, || async {
        let ready =
            nodes.list(&chosen).await.context("cannot list nodes")?.items.iter().filter(|n| is_ready(n)).count();
        Ok((ready >= count as usize).then_some(()))
    })
    .await
}

/// Whether the API server says that a node, real or played, can take pods.
pub(crate) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
