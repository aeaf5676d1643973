//! Kills, from the smallest to the largest, each timed by phase: the worker's process, its container, its pod, its node.

use anyhow::{Context, Result, ensure};
use coalition_cluster::{Fault, Place, Target};
use coalition_suites::{Installed, Layout, Run, Tiny};
use k8s_openapi::api::core::v1::Pod;
use std::time::Duration;

/// The trainer's program, in its image.
const TRAINER: &str = "coalition-trainer";
/// What the bars of an idle machine are multiplied with where other work runs beside: clusters start ten times slower then.
const SLACK: u32 = 10;
/// How long this cluster takes to miss a node: its lease of 8 s, and a second until somebody looks.
const DETECTION: Duration = Duration::from_secs(9);

fn timed(run: &Run<'_>, what: &str, bar: Duration, fault: impl FnOnce() -> Result<()>) -> Result<()> {
    let recovery = run.recovery(what, fault)?;
    println!("{what}: {recovery} (bar {:.1} s to train again)", bar.as_secs_f64());
    ensure!(recovery.formed < bar * SLACK, "{what}: {recovery}, the bar is {bar:?}");
    Ok(())
}

#[test]
fn a_run_comes_back_from_kills_of_every_size() -> Result<()> {
    let Some(at) = Installed::or_skip(Layout::one(2))? else { return Ok(()) };
    let run = at.apply(&Tiny::new("demo").workers(2).endless())?;
    run.until_round(2)?;
    let kill = |part: &str| {
        let target = Target::new(Place::Node(run.node()?), TRAINER).with_argument(part);
        at.hub().apply(&Fault::Kill(target))
    };
    // The eighth as quick as the first: nothing adds up.
    for count in 1..=8 {
        timed(&run, &format!("process killed ({count})"), Duration::from_millis(1500), || kill("work"))?;
    }
    timed(&run, "container killed", Duration::from_secs(6), || kill("supervise"))?;
    timed(&run, "pod deleted", Duration::from_secs(8), || {
        // The one that was killed before may still be on its way out.
        let lives = |pod: &&Pod| {
            pod.metadata.deletion_timestamp.is_none()
                && pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
        };
        let pods = run.pods()?;
        let pod = pods.iter().find(lives).and_then(|pod| pod.metadata.name.clone()).context("no worker runs")?;
        at.kubectl(&["delete", "pod", &pod, "-n", "training", "--wait=false"]).map(drop)
    })?;
    let node = run.node()?;
    timed(&run, "node killed", DETECTION + Duration::from_secs(8), || at.hub().apply(&Fault::NodeKilled { node }))?;
    at.hub().apply(&Fault::NodeBack { node })?;
    run.goes_on(2)?;
    let account = run.check()?;
    println!("{} rounds, {} records, nothing counted twice", account.rounds, account.records);
    Ok(())
}
