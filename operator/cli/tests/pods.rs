//! Logs of real containers: several workers as one, the newest pod of each, one that waits, and what comes while they are followed.
mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coalition_cluster::{Spec, image, wait};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use support::{Hub, PROGRAM, start};

/// How long a pod may take to run, on a busy machine: 1 s alone.
const POD: Duration = Duration::from_mins(1);

/// A worker's pod that writes these lines and stays, as the site role would make one; the image is a stand-in for the trainer's.
fn worker(hub: &Hub, index: u32, birth: u32, script: &str, node: Option<&str>) -> Result<()> {
    let mut pod = json!({
        "metadata": {"name": format!("mine-{index}-{birth}"), "labels": {
            "coalition.training/run": "mine-0123456789", "coalition.training/index": index.to_string(),
            "coalition.training/birth": birth.to_string()
        }},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [
            {"name": "trainer", "image": image::BUSYBOX, "command": ["/bin/sh", "-c", script]}
        ]}
    });
    if let Some(node) = node {
        pod["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": node});
    }
    let pod: Pod = serde_json::from_value(pod)?;
    hub.world.run(async {
        let pods: Api<Pod> = Api::namespaced(hub.cluster.client().await?, "lab");
        pods.create(&PostParams::default(), &pod).await?;
        if node.is_none() {
            let name = format!("mine-{index}-{birth}");
            wait::until_async(&format!("pod {name} to run"), POD, || async {
                let phase = pods.get(&name).await?.status.and_then(|s| s.phase);
                Ok((phase.as_deref() == Some("Running")).then_some(()))
            })
            .await?;
        }
        Ok(())
    })
}

#[test]
fn logs_of_all_workers_are_one() -> Result<()> {
    let Some(hub) = start(Spec::whole("north", 1))? else { return Ok(()) };
    hub.install()?;
    hub.fill()?;
    hub.cluster.kubectl(&["wait", "--for=create", "serviceaccount/default", "-n", "lab", "--timeout=60s"])?;
    let step = |n: u32| format!(r#"echo '{{"event":"step","ms":{n}000,"loss":5.123456,"step":{n}}}'"#);
    worker(&hub, 0, 1, "echo the old one; sleep 1000", None)?;
    worker(&hub, 0, 2, &format!("{}; sleep 1; {}; sleep 1000", step(1), step(3)), None)?;
    worker(&hub, 1, 1, "sleep 0.5; echo joined; sleep 1000", None)?;
    worker(&hub, 2, 1, "true", Some("nowhere"))?;
    let merged = ["north/0 1.000 s step loss=5.123 step=1", "north/1 joined", "north/0 3.000 s step loss=5.123 step=3"];
    let waits = "north/2: pod mine-2-1 has not started: 0/1 nodes are available";
    let shown = wait::until("three lines to be written, and the third pod to be refused a node", POD, || {
        let shown = hub.ask(&["logs", "mine", "-n", "research"])?;
        Ok((shown.out.lines().count() == merged.len() && shown.err.contains(waits)).then_some(shown))
    })?;
    // By time: the pods began one after the other, and a line of the one may stand between two of the other.
    for line in merged {
        ensure!(shown.out.contains(line), "{line} is not in {shown:?}");
    }
    ensure!(!shown.out.contains("the old one"), "an older birth counts: {shown:?}");
    let ranks = hub.ask(&["logs", "north", "mine", "-n", "research", "--by-rank", "--tail", "1"])?.well()?;
    ensure!(ranks == format!("{}\n{}\n", merged[2], merged[1]), "{ranks}");
    let json = hub.ask(&["logs", "mine", "-n", "research", "--worker", "1", "-o", "json"])?.well()?;
    let json: serde_json::Value = serde_json::from_str(&json)?;
    ensure!(json["line"] == "joined" && json["worker"] == 1 && json["site"] == "north", "{json}");

    // Followed: what was written before, then what a pod writes that is made meanwhile.
    let mut follow = Command::new(PROGRAM)
        .args(["logs", "mine", "-n", "research", "--follow", "--worker", "1"])
        .env("KUBECONFIG", hub.cluster.kubeconfig())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(follow.stdout.take().context("a pipe")?).lines();
    ensure!(lines.next().context("a line")?? == "north/1 joined");
    worker(&hub, 1, 2, "echo born again; sleep 1000", None)?;
    let next = lines.next().context("a line")??;
    ensure!(next == "north/1 born again", "{next}");
    // It ends by itself when nothing of the run is left.
    hub.cluster.kubectl(&["delete", "pods", "--all", "-n", "lab", "--wait=true", "--timeout=60s"])?;
    let ended = wait::until("the follower to end", POD, || Ok(follow.try_wait()?))?;
    ensure!(ended.success(), "{ended}");
    Ok(())
}
