//! A worker that nobody reaches but that lives on, and is replaced, and comes back: nothing it writes counts.

use anyhow::{Result, ensure};
use coalition_cluster::{Fault, Link, Place, Target};
use coalition_suites::{Installed, Layout, Run, Tiny};

/// Cuts the worker off, waits until another does its work, lets it go.
fn replaced(run: &Run<'_>, cut: &[Fault]) -> Result<()> {
    let cluster = run.at().hub();
    let stale: Vec<String> = run.pods()?.into_iter().filter_map(|pod| pod.metadata.uid).collect();
    let recovery =
        run.recovery("the worker's node was lost", || cut.iter().try_for_each(|fault| cluster.apply(fault)))?;
    println!("{recovery}");
    ensure!(recovery.replaced.is_some(), "the gang formed again without another pod: the worker was not cut off");
    let after = run.attempt()?;
    for fault in cut.iter().rev().filter_map(Fault::end) {
        cluster.apply(&fault)?;
    }
    // It has its old token, its old store credentials and its old work.
    run.goes_on(5)?;
    ensure!(run.attempt()? == after, "the stale worker disturbed the gang: attempt {after} became {}", run.attempt()?);
    let left = run.pods()?.iter().any(|pod| pod.metadata.uid.as_ref().is_some_and(|uid| stale.contains(uid)));
    ensure!(!left, "the stale pod is still there after five rounds");
    run.check().map(drop)
}

#[test]
fn a_worker_behind_a_cut_cable_counts_for_nothing_when_it_returns() -> Result<()> {
    let Some(at) = Installed::or_skip(Layout::one(3))? else { return Ok(()) };
    let run = at.apply(&Tiny::new("demo").endless())?;
    run.until_round(2)?;
    let place = Place::Node(run.node()?);
    replaced(&run, &[Fault::Partition(Link::Machine(place))])
}

#[test]
fn a_halted_worker_counts_for_nothing_when_it_goes_on() -> Result<()> {
    let Some(at) = Installed::or_skip(Layout::one(3))? else { return Ok(()) };
    let run = at.apply(&Tiny::new("demo").endless())?;
    run.until_round(2)?;
    let stop = |program: &str| Ok::<_, anyhow::Error>(Fault::Stop(Target::new(Place::Node(run.node()?), program)));
    // The whole machine as good as asleep: a kubelet that answered would end the pod itself.
    replaced(&run, &[stop("kubelet")?, stop("coalition-trainer")?])
}
