//! From `kubectl apply` to work, by phase, with the images on the nodes. Must not know what is quick.

use super::install;
use crate::installed::{Installed, Layout};
use crate::manifest::Tiny;
use anyhow::Result;
use coalition_cluster::wait;
use coalition_crds::gang::PodPhase;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Runs of a trial, one after the other.
const RUNS: usize = 5;
/// Workers of each.
const WORKERS: u64 = 2;
/// How long one may take to commit: many times every bar, so that a miss is a number and not a hang.
const BOUND: Duration = Duration::from_mins(3);

/// Times since the manifest was accepted, seconds.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The API server has the workers' pods: what the operator has to do before a kubelet can begin.
    pub pods: f64,
    /// All workers' containers run.
    pub running: f64,
    /// All workers have met.
    pub formed: f64,
    /// The first round is committed. Its first step was made before, and is not seen from outside.
    pub committed: f64,
}

/// Applies a run and times it.
pub fn started<'a>(at: &'a Installed, tiny: &Tiny, workers: usize) -> Result<(crate::Run<'a>, Start)> {
    let run = at.apply(tiny)?;
    let start = Instant::now();
    let (mut pods, mut running, mut formed) = (None, None, None);
    let committed = wait::until(&format!("the first commit of {}", tiny.name()), BOUND, || {
        let (seen, round) = run.seen(|books| (books.gang().clone(), books.round()));
        let now = start.elapsed().as_secs_f64();
        if pods.is_none() && run.pods()?.len() >= workers {
            pods = Some(start.elapsed().as_secs_f64());
        }
        if seen.pods.iter().filter(|pod| pod.phase == PodPhase::Running).count() >= workers {
            running.get_or_insert(now);
        }
        if seen.attempt > 0 && !seen.forming {
            formed.get_or_insert(now);
        }
        Ok((round > 0).then_some(now))
    })?;
    let or = |phase: Option<f64>| phase.unwrap_or(committed);
    Ok((run, Start { pods: or(pods), running: or(running), formed: or(formed), committed }))
}

pub(super) fn trial() -> Result<Value> {
    let at = install(Layout::one(1))?;
    let mut all = Vec::new();
    for n in 0..RUNS {
        let (run, start) = started(&at, &Tiny::new(&format!("run-{n}")).workers(WORKERS).endless(), WORKERS as usize)?;
        run.check()?;
        run.delete()?;
        all.push(start);
    }
    let each = |of: fn(&Start) -> f64| all.iter().map(of).collect::<Vec<f64>>();
    let committed = each(|start| start.committed);
    Ok(json!({
        "detail": format!("{RUNS} runs, first commits after {committed:.2?} s"),
        "pods_seconds": each(|start| start.pods),
        "running_seconds": each(|start| start.running),
        "formed_seconds": each(|start| start.formed),
        "committed_seconds": committed,
    }))
}
