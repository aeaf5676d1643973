//! What the operator takes: memory and processor time of each of its processes, and what is written at the API, over a while in
//! which nothing but training happens. Must not know what is allowed.

use super::install;
use crate::installed::{Installed, Layout};
use crate::manifest::Tiny;
use anyhow::Result;
use coalition_cluster::wait;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long the operator is watched.
const WATCHED: Duration = Duration::from_mins(2);
/// Bytes of a MiB.
const MIB: f64 = (1_u64 << 20) as f64;
/// Steps of a round: with 5 ms each, one of some 20 s, so that a round is not all there is. Real ones take minutes.
const STEPS: u64 = 4096;

/// What was seen over a while.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// Of the largest process, MiB.
    pub memory: f64,
    /// Of the busiest process, per cent of a core.
    pub busiest: f64,
    /// Of all processes together, per cent of a core.
    pub cpu: f64,
    /// API writes a second, by everybody but kubelets and those who lead.
    pub writes: f64,
}

/// Watches the operator for `time`.
pub fn cost(at: &Installed, time: Duration) -> Result<Cost> {
    let (before, writes) = (at.usage("coalition-operator")?, at.writes()?);
    let start = Instant::now();
    wait::until("the time to be over", time * 2, || Ok((start.elapsed() >= time).then_some(())))?;
    let (after, seconds) = (at.usage("coalition-operator")?, start.elapsed().as_secs_f64());
    let mut found = Cost { writes: at.writes()?.saturating_sub(writes) as f64 / seconds, ..Cost::default() };
    for now in &after {
        // One that began meanwhile has taken all it took.
        let old = before.iter().find(|old| old.pid == now.pid).map_or(0.0, |old| old.cpu);
        let (memory, cpu) = (now.memory as f64 / MIB, (now.cpu - old) / seconds * 100.0);
        println!("operator process {}: {memory:.1} MiB, {cpu:.2} % of a core", now.pid);
        found.memory = found.memory.max(memory);
        found.busiest = found.busiest.max(cpu);
        found.cpu += cpu;
    }
    println!("{:.2} API writes a second", found.writes);
    Ok(found)
}

/// With one run.
pub(super) fn trial() -> Result<Value> {
    let at = install(Layout::one(1))?;
    let run = at.apply(&Tiny::new("demo").workers(2).steps(STEPS).endless())?;
    run.until_round(1)?;
    let found = cost(&at, WATCHED)?;
    let account = run.check()?;
    Ok(json!({
        "detail": format!("{} rounds", account.rounds),
        "memory_mib": found.memory,
        "cpu_percent": found.cpu,
        "busiest_percent": found.busiest,
        "writes_a_second": found.writes,
    }))
}
