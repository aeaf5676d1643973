//! `kubectl drain` of a node with a worker: it saves first, and goes on elsewhere from exactly there.

use anyhow::{Result, ensure};
use coalition_suites::{Installed, Layout, Tiny};

#[test]
fn a_drained_worker_saves_and_goes_on_elsewhere() -> Result<()> {
    let Some(at) = Installed::or_skip(Layout::one(2))? else { return Ok(()) };
    let run = at.apply(&Tiny::new("demo").endless())?;
    run.until_round(3)?;
    let node = run.node()?;
    let name = at.hub().node_name(node);
    let recovery = run.recovery("a drain", || {
        let drain = ["drain", &name, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s"];
        at.kubectl(&drain).map(drop)
    })?;
    println!("drain: {recovery}");
    ensure!(run.node()? != node, "the worker is still on the drained node");
    // Told to leave, it saved what it had done since the last commit, and that is where the next one began.
    let report = at.kubectl(&["get", "sitereports", "-A", "-o", "jsonpath={.items[*].spec.run.progress.resumed}"])?;
    ensure!(report.contains("exact"), "it went on from `{report}` and not from its own checkpoint");
    run.goes_on(2)?;
    run.check().map(drop)
}
