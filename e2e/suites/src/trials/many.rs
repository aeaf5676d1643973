//! Two hundred runs on one cluster: their nodes are played, and one program speaks the trainers' protocol for all of them. What is
//! real is the operator, and what it costs. Must not know what is allowed.

use super::cost::{Cost, cost};
use super::install;
use crate::installed::{Installed, Layout};
use crate::manifest::Tiny;
use crate::run::Run;
use crate::stand_in::StandIn;
use anyhow::{Context, Result};
use coalition_cluster::wait;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Runs.
const RUNS: usize = 200;
/// Played nodes: 4 of 110 pods.
const NODES: u32 = 4;
/// How long their rounds take: the operator shall be idle while they train.
const ROUND: Duration = Duration::from_mins(20);
/// How long all of them may take to commit their first round, beside a build.
const ALL: Duration = Duration::from_mins(5);
/// How long the operator is left alone before it is watched: what follows a first round is over by then.
const SETTLED: Duration = Duration::from_secs(40);
/// How long the operator is watched.
const WATCHED: Duration = Duration::from_mins(2);

/// The layout that `many` needs.
fn layout() -> Layout {
    Layout::one(1).with_played_workers(NODES)
}

/// Applies `runs` runs, waits for the first round of each, watches the operator for `watched` while all are in their second.
/// Returns what it cost, and the seconds to the first round of the last.
pub fn many(at: &Installed, runs: usize, watched: Duration) -> Result<(Cost, f64)> {
    let _stand_in = StandIn::start(at, ROUND);
    let start = Instant::now();
    let runs = (0..runs).map(|n| at.apply(&Tiny::new(&format!("run-{n}")).endless()));
    let runs = runs.collect::<Result<Vec<Run<'_>>>>()?;
    let all = || Ok(runs.iter().all(|run| run.round() > 0).then_some(()));
    wait::until(&format!("{} runs to commit a round", runs.len()), ALL, all).with_context(|| at.said())?;
    let first = start.elapsed().as_secs_f64();
    println!("{} runs have committed a round after {first:.0} s", runs.len());
    let start = Instant::now();
    wait::until("the operator to settle", SETTLED * 2, || Ok((start.elapsed() >= SETTLED).then_some(())))?;
    let found = cost(at, watched)?;
    for run in &runs {
        run.check()?;
    }
    Ok((found, first))
}

pub(super) fn trial() -> Result<Value> {
    let at = install(layout())?;
    let (found, first) = many(&at, RUNS, WATCHED)?;
    Ok(json!({
        "detail": format!("{RUNS} runs, the last has its first round after {first:.0} s"),
        "memory_mib": found.memory,
        "cpu_percent": found.cpu,
        "busiest_percent": found.busiest,
        "writes_a_second": found.writes,
        "all_begun_seconds": first,
    }))
}

impl Layout {
    /// With nodes enough for [`many`].
    pub fn many() -> Self {
        layout()
    }
}
