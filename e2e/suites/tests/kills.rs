//! Kills, from the smallest to the largest, beside other work: what campaigns time on an idle machine.

use anyhow::{Result, ensure};
use coalition_suites::trials::kills;
use coalition_suites::{Installed, Layout, Recovery, Tiny};
use std::time::Duration;

/// What the bars of an idle machine are multiplied with where other work runs beside: clusters start ten times slower then.
const SLACK: u32 = 10;
/// How long this cluster takes to miss a node: its lease of 8 s, and a second until somebody looks.
const DETECTION: Duration = Duration::from_secs(9);

#[test]
fn a_run_comes_back_from_kills_of_every_size() -> Result<()> {
    let Some(at) = Installed::or_skip(Layout::one(2))? else { return Ok(()) };
    let run = at.apply(&Tiny::new("demo").workers(2).endless())?;
    run.until_round(2)?;
    let found = kills(&at, &run)?;
    let within = |what: &str, recovery: &Recovery, bar: Duration| {
        ensure!(recovery.committed < bar * SLACK, "{what}: {recovery}, the bar is {bar:?}");
        Ok(())
    };
    found.processes.iter().try_for_each(|one| within("process killed", one, Duration::from_millis(1500)))?;
    within("container killed", &found.container, Duration::from_secs(6))?;
    within("pod deleted", &found.pod, Duration::from_secs(8))?;
    within("node killed", &found.node, DETECTION + Duration::from_secs(8))?;
    run.goes_on(2)?;
    let account = run.check()?;
    println!("{} rounds, {} records, nothing counted twice", account.rounds, account.records);
    Ok(())
}
