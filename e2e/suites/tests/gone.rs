//! What is taken away for good: a node that an administrator removes from the cluster, a run that its user deletes.

use anyhow::{Context, Result, ensure};
use coalition_cluster::{Fault, Place, Target, wait};
use coalition_suites::{Installed, Layout, RUNS, SITE, SYSTEM, Tiny, WORKERS};
use std::time::Duration;

/// How long a hub may take to lead and to find a request that belongs to no run.
const FOUND: Duration = Duration::from_mins(2);

/// The pods of the hub.
const HUB: &str = "app.kubernetes.io/component=hub";
/// What every object of a run carries.
const RUN: &str = coalition_crds::names::RUN_LABEL;

#[test]
fn a_removed_node_is_waited_for_by_nobody_and_a_deleted_run_leaves_nothing() -> Result<()> {
    let Some(at) = Installed::or_skip(Layout::one(2))? else { return Ok(()) };
    let run = at.apply(&Tiny::new("demo").endless())?;
    run.until_round(2)?;
    for _ in 0..2 {
        let target = Target::new(Place::Node(run.node()?), "coalition-trainer").with_argument("supervise");
        run.recovery("container killed", || at.hub().apply(&Fault::Kill(target)))?;
    }
    // One event that counts, not one for each time.
    let about = "jsonpath={range .items[?(@.reason==\"PodEnded\")]}{.series.count} {end}";
    let counts = at.kubectl(&["get", "events.events.k8s.io", "-n", WORKERS, "-o", about])?;
    ensure!(counts.trim() == "2", "people are told of two failures by events that count {counts:?}");

    let node = run.node()?;
    let name = at.hub().node_name(node);
    let recovery = run.recovery("node removed", || at.kubectl(&["delete", "node", &name, "--wait=false"]).map(drop))?;
    println!("node removed: {recovery}");
    ensure!(run.node()? != node, "its worker is said to be on {name} still");
    run.goes_on(2)?;
    run.check()?;
    run.delete()?;
    cleared_away(&at)
}

#[test]
fn what_a_run_left_that_was_removed_by_force_is_cleared_away() -> Result<()> {
    let Some(at) = Installed::or_skip(Layout::one(1))? else { return Ok(()) };
    let run = at.apply(&Tiny::new("demo").endless())?;
    run.until_round(2)?;
    run.check()?;
    // No hub is there to see it go.
    let scale = |replicas: &str| at.kubectl(&["scale", "deployment/coalition-hub", "-n", SYSTEM, replicas]);
    scale("--replicas=0")?;
    at.kubectl(&["wait", "--for=delete", "pod", "-n", SYSTEM, "-l", HUB, "--timeout=60s"])?;
    at.kubectl(&["delete", "trainingrun", "demo", "-n", RUNS, "--wait=false"])?;
    let force = "{\"metadata\":{\"finalizers\":null}}";
    at.kubectl(&["patch", "trainingrun", "demo", "-n", RUNS, "--type=merge", "-p", force])?;
    ensure!(run.get().is_err() && run.gang()?.is_some(), "the site was told without a hub");
    scale("--replicas=2")?;
    let gone = || Ok(run.gang()?.is_none().then_some(()));
    wait::until("its gang to be gone", FOUND, gone).with_context(|| at.said())?;
    cleared_away(&at)
}

/// Waits for it: the cluster's own garbage collector takes its time.
fn cleared_away(at: &Installed) -> Result<()> {
    let cleared = wait::until("nothing to be left", FOUND, || Ok(nothing_is_left(at).ok()));
    cleared.with_context(|| format!("{:?}", nothing_is_left(at))).with_context(|| at.said())
}

/// Checkpoints are the user's; of everything else nothing.
fn nothing_is_left(at: &Installed) -> Result<()> {
    let kinds = "runhistories,siteruns,gangs,pods,configmaps,roles,rolebindings,secrets";
    let left = at.kubectl(&["get", kinds, "-A", "-l", RUN, "-o", "name"])?;
    ensure!(left.is_empty(), "{left}");
    let reports = at.kubectl(&["get", "sitereports", "-n", &format!("site-{SITE}"), "-o", "name"])?;
    ensure!(reports.trim() == "sitereport.coalition.training/site", "{reports}");
    let secrets = at.kubectl(&["get", "secrets", "-n", WORKERS, "-o", "name"])?;
    ensure!(!secrets.contains("demo-"), "{secrets}");
    ensure!(at.kubectl(&["get", "trainingruns", "-n", RUNS, "-o", "name"])?.is_empty(), "the run is there still");
    Ok(())
}
