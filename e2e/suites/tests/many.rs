//! Two hundred runs on one cluster: their nodes are played, and one program speaks the trainers' protocol for all of them. What
//! is real is the operator, and what it costs.

use anyhow::{Context, Result, ensure};
use coalition_cluster::wait;
use coalition_suites::{Installed, Layout, Run, StandIn, Tiny, Usage};
use std::time::{Duration, Instant};

/// Runs.
const RUNS: usize = 200;
/// Played nodes: 25 of 110 pods would do.
const NODES: u32 = 4;
/// How long a round of theirs takes: as long as rounds are where nobody measures an operator by them.
const ROUND: Duration = Duration::from_secs(20);
/// How long all of them may take to commit a round each, beside a build.
const ALL: Duration = Duration::from_mins(5);
/// How long the operator is watched while it has nothing to do but rounds.
const WATCHED: Duration = Duration::from_secs(40);
/// What an operator process may take, bytes.
const MEMORY: u64 = 100 << 20;

#[test]
fn two_hundred_runs_cost_little() -> Result<()> {
    let Some(at) = Installed::or_skip(Layout::one(1).with_played_workers(NODES))? else { return Ok(()) };
    let _stand_in = StandIn::start(&at, ROUND);
    let start = Instant::now();
    let runs = (0..RUNS).map(|n| at.apply(&Tiny::new(&format!("run-{n}")).endless()));
    let runs = runs.collect::<Result<Vec<Run<'_>>>>()?;
    let all = || Ok(runs.iter().all(|run| run.round() > 0).then_some(()));
    wait::until(&format!("{RUNS} runs to commit a round"), ALL, all).with_context(|| at.said())?;
    println!("{RUNS} runs have committed a round after {:.0} s", start.elapsed().as_secs_f64());

    let (before, writes) = (at.usage("coalition-operator")?, at.writes()?);
    let start = Instant::now();
    wait::until("the time to be over", WATCHED * 2, || Ok((start.elapsed() >= WATCHED).then_some(())))?;
    let (after, seconds) = (at.usage("coalition-operator")?, start.elapsed().as_secs_f64());
    let written = (at.writes()? - writes) as f64 / seconds;
    println!("{written:.1} API writes a second, by everybody");
    for now in &after {
        let cpu = before.iter().find(|old| old.pid == now.pid).map_or(0.0, |old| now.cpu - old.cpu) / seconds;
        let Usage { pid, memory, .. } = now;
        println!("operator process {pid}: {} MiB, {:.2} % of a core", memory >> 20, cpu * 100.0);
        ensure!(*memory <= MEMORY, "an operator process takes {} MiB", memory >> 20);
    }
    for run in &runs {
        run.check()?;
    }
    Ok(())
}
