//! What the README's user does: install, apply, wait, look again.

use anyhow::{Context, Result, ensure};
use coalition_suites::{Installed, Layout, Tiny};
use std::time::{Duration, Instant};

/// From apply to the first committed round: 10 s to the first step on an idle cluster, a round, and a machine that builds.
const FIRST: Duration = Duration::from_mins(1);

#[test]
fn a_run_is_applied_trains_and_completes() -> Result<()> {
    let Some(at) = Installed::or_skip(Layout::one(1))? else { return Ok(()) };
    let start = Instant::now();
    let run = at.apply(&Tiny::new("demo").workers(2).rounds(20))?;
    run.until_round(1)?;
    let first = start.elapsed();
    println!("apply to first committed round: {:.1} s", first.as_secs_f64());
    ensure!(first < FIRST, "the first round was committed after {first:?}");
    // As a script would.
    at.kubectl(&["wait", "--for=condition=Complete", "--timeout=240s", "-n", "research", "trainingrun/demo"])
        .with_context(|| at.said())?;
    let account = run.check()?;
    ensure!(account.ended && account.rounds >= 20, "{account:?}");

    // Applied again it is what it was: a tool that compares sees no drift.
    let before = run.get()?;
    let again = at.apply(&Tiny::new("demo").workers(2).rounds(20))?.get()?;
    ensure!(again.metadata.generation == before.metadata.generation, "another generation for the same manifest");
    ensure!(again.spec == before.spec, "another spec for the same manifest");
    let table = at.kubectl(&["get", "trainingruns", "-n", "research"])?;
    for column in ["READY", "REASON", "BudgetReached"] {
        ensure!(table.contains(column), "`kubectl get` shows no {column}:\n{table}");
    }
    Ok(())
}
