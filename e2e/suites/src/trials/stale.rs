//! A worker that nobody reaches but that lives on, and is replaced, and comes back: nothing it writes counts. Must not know how the
//! fence is made.

use super::install;
use crate::installed::Layout;
use crate::manifest::Tiny;
use crate::run::Run;
use anyhow::{Result, ensure};
use coalition_cluster::{Fault, Link, Place, Target, wait};
use serde_json::{Value, json};
use std::time::Duration;

/// How long the stale pod may stay once its kubelet is reached: the grace it is given is 30 s, twice that beside a build.
const LEFT: Duration = Duration::from_mins(1);
/// Rounds that the stale worker has to do harm in.
const ROUNDS: u64 = 5;

/// How a worker's node is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Its cable is pulled.
    Cable,
    /// The machine is as good as asleep. The kubelet too: one that answered would end the pod itself.
    Asleep,
}

impl Cut {
    fn faults(self, run: &Run<'_>) -> Result<Vec<Fault>> {
        let place = Place::Node(run.node()?);
        Ok(match self {
            Self::Cable => vec![Fault::Partition(Link::Machine(place))],
            Self::Asleep => {
                ["kubelet", "coalition-trainer"].map(|program| Fault::Stop(Target::new(place, program))).to_vec()
            }
        })
    }
}

/// Cuts the worker of `run` off, waits until another does its work, lets it go. Returns the seconds until the gang formed again.
pub fn replaced(run: &Run<'_>, how: Cut) -> Result<f64> {
    let cluster = run.at().hub();
    let uids = || anyhow::Ok(run.pods()?.into_iter().filter_map(|pod| pod.metadata.uid).collect::<Vec<_>>());
    let stale = uids()?;
    let cut = how.faults(run)?;
    let recovery =
        run.recovery("the worker's node was lost", || cut.iter().try_for_each(|fault| cluster.apply(fault)))?;
    println!("{how:?}: {recovery}");
    ensure!(recovery.replaced.is_some(), "the gang formed again without another pod: the worker was not cut off");
    let after = run.attempt()?;
    for fault in cut.iter().rev().filter_map(Fault::end) {
        cluster.apply(&fault)?;
    }
    // It has its old token, its old store credentials and its old work.
    run.goes_on(ROUNDS)?;
    wait::until("the stale pod to be gone", LEFT, || Ok(uids()?.iter().all(|uid| !stale.contains(uid)).then_some(())))?;
    run.goes_on(1)?;
    ensure!(run.attempt()? == after, "the stale worker disturbed the gang: attempt {after} became {}", run.attempt()?);
    run.check().map(|_| recovery.formed.as_secs_f64())
}

/// The one and the other in turn.
pub(super) fn trial(seed: u64) -> Result<Value> {
    let how = if seed.is_multiple_of(2) { Cut::Cable } else { Cut::Asleep };
    let at = install(Layout::one(3))?;
    let run = at.apply(&Tiny::new("demo").endless())?;
    run.until_round(2)?;
    let formed = replaced(&run, how)?;
    Ok(json!({"detail": format!("{how:?}, replaced after {formed:.1} s"), "formed_seconds": formed}))
}
