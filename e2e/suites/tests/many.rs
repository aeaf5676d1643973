//! Many runs on one cluster, played by one program: fewer than a campaign's two hundred, and beside other work.

use anyhow::{Result, ensure};
use coalition_suites::trials::many;
use coalition_suites::{Installed, Layout};
use std::time::Duration;

/// Runs: enough that what grows with them shows.
const RUNS: usize = 40;
/// How long the operator is watched.
const WATCHED: Duration = Duration::from_secs(20);
/// What one of its processes may take with two hundred, MiB.
const MEMORY: f64 = 100.0;

#[test]
fn many_runs_cost_little() -> Result<()> {
    let Some(at) = Installed::or_skip(Layout::many())? else { return Ok(()) };
    let (found, _) = many(&at, RUNS, WATCHED)?;
    ensure!(found.memory <= MEMORY, "an operator process takes {:.0} MiB", found.memory);
    // While all of them train, nobody has anything to write but what a site says of its gangs from time to time.
    ensure!(found.writes <= RUNS as f64 / 10.0, "{:.1} API writes a second", found.writes);
    Ok(())
}
