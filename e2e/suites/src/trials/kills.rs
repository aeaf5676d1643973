//! Kills, from the smallest to the largest, each timed by phase: the worker's process, its container, its pod, its node. Must not
//! know what is quick.

use super::install;
use crate::installed::{Installed, Layout, WORKERS};
use crate::manifest::Tiny;
use crate::recovery::Recovery;
use crate::run::Run;
use anyhow::{Context, Result};
use coalition_cluster::{Fault, Place, Target};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

/// The trainer's program, in its image.
const TRAINER: &str = "coalition-trainer";
/// So often is a process killed: the last shall be no slower than the first.
const PROCESSES: usize = 8;

/// How a run came back from each.
#[derive(Clone, Debug)]
pub struct Kills {
    /// A worker's process, eight times.
    pub processes: Vec<Recovery>,
    /// A worker's container, with its supervisor.
    pub container: Recovery,
    /// A worker's pod, deleted.
    pub pod: Recovery,
    /// A node with a worker, switched off.
    pub node: Recovery,
}

/// Does all of them to `run`, of two workers on two nodes, and brings the node back.
pub fn kills(at: &Installed, run: &Run<'_>) -> Result<Kills> {
    let timed = |what: &str, fault: &dyn Fn() -> Result<()>| {
        let recovery = run.recovery(what, fault)?;
        println!("{what}: {recovery}");
        anyhow::Ok(recovery)
    };
    let kill = |part: &str| {
        let target = Target::new(Place::Node(run.node()?), TRAINER).with_argument(part);
        at.hub().apply(&Fault::Kill(target))
    };
    let processes = (1..=PROCESSES)
        .map(|count| timed(&format!("process killed ({count})"), &|| kill("work")))
        .collect::<Result<_>>()?;
    let container = timed("container killed", &|| kill("supervise"))?;
    let pod = timed("pod deleted", &|| {
        // The one that was killed before may still be on its way out.
        let lives = |pod: &&Pod| {
            pod.metadata.deletion_timestamp.is_none()
                && pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
        };
        let pods = run.pods()?;
        let pod = pods.iter().find(lives).and_then(|pod| pod.metadata.name.clone()).context("no worker runs")?;
        at.kubectl(&["delete", "pod", &pod, "-n", WORKERS, "--wait=false"]).map(drop)
    })?;
    let node = run.node()?;
    let lost = timed("node killed", &|| at.hub().apply(&Fault::NodeKilled { node }))?;
    at.hub().apply(&Fault::NodeBack { node })?;
    Ok(Kills { processes, container, pod, node: lost })
}

pub(super) fn trial() -> Result<Value> {
    let at = install(Layout::one(2))?;
    let run = at.apply(&Tiny::new("demo").workers(2).endless())?;
    run.until_round(2)?;
    let found = kills(&at, &run)?;
    run.goes_on(2)?;
    let account = run.check()?;
    let formed = |recovery: &Recovery| recovery.formed.as_secs_f64();
    let committed = |recovery: &Recovery| recovery.committed.as_secs_f64();
    let half = PROCESSES / 2;
    let mean = |some: &[Recovery]| some.iter().map(formed).sum::<f64>() / some.len().max(1) as f64;
    let (first, last) = found.processes.split_at(half.min(found.processes.len()));
    Ok(json!({
        "detail": format!("{} rounds, {} records, nothing counted twice", account.rounds, account.records),
        "process_formed_seconds": found.processes.iter().map(formed).collect::<Vec<_>>(),
        "process_committed_seconds": found.processes.iter().map(committed).collect::<Vec<_>>(),
        "later_over_earlier": mean(last) / mean(first),
        "container_committed_seconds": committed(&found.container),
        "pod_committed_seconds": committed(&found.pod),
        "node_noticed_seconds": found.node.noticed.as_secs_f64(),
        "node_committed_seconds": committed(&found.node),
        "node_after_notice_seconds": committed(&found.node) - found.node.noticed.as_secs_f64(),
    }))
}
