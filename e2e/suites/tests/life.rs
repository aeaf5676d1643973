//! The life of a run as its users steer it, also beside a tool that applies the same manifest every five seconds.

use anyhow::{Result, ensure};
use coalition_cluster::wait;
use coalition_crds::names::STOP_ANNOTATION;
use coalition_suites::{Installed, Layout, SelfHeal, Tiny};
use serde_json::json;
use std::time::Duration;

/// How long saving and leaving may take.
const LEFT: Duration = Duration::from_mins(1);

#[test]
fn a_run_is_suspended_and_goes_on_exactly_there() -> Result<()> {
    let Some(at) = Installed::or_skip(Layout::one(1))? else { return Ok(()) };
    let run = at.apply(&Tiny::new("demo").workers(2).endless())?;
    run.until_round(2)?;
    run.suspend(true)?;
    run.until("Suspended")?;
    wait::until("the workers to leave", LEFT, || Ok(run.pods()?.is_empty().then_some(())))?;
    let there = run.round();
    run.suspend(false)?;
    run.until_round(there + 2)?;
    run.check()?;
    run.delete()?;
    let checkpoints = at.kubectl(&["get", "checkpoints", "-n", "research", "-o", "name"])?;
    ensure!(!checkpoints.is_empty(), "with the run its checkpoints are gone");
    Ok(())
}

#[test]
fn nobody_fights_with_a_tool_that_applies_the_same_again_and_again() -> Result<()> {
    let Some(at) = Installed::or_skip(Layout::one(1))? else { return Ok(()) };
    let tiny = Tiny::new("demo").rounds(30).with("/spec/ttlSecondsAfterFinished", json!(5));
    let heal = SelfHeal::start(at.hub(), vec![tiny.policy(), tiny.run()]);
    let run = at.apply(&tiny)?;
    run.until_round(2)?;
    // The emergency stop is an annotation because such tools leave those alone.
    run.annotate(STOP_ANNOTATION, Some("somebody looks"))?;
    run.until("Suspended")?;
    let (there, applied) = (run.round(), heal.times());
    wait::until("two more applies", Duration::from_secs(30), || Ok((heal.times() >= applied + 2).then_some(())))?;
    ensure!(run.round() == there, "a stopped run went on");
    run.annotate(STOP_ANNOTATION, None)?;
    run.until("Complete")?;
    let account = run.check()?;
    wait::until("what it left to be removed", LEFT, || Ok(run.gang()?.is_none().then_some(())))?;
    let applied = heal.times();
    wait::until("two more applies", Duration::from_secs(30), || Ok((heal.times() >= applied + 2).then_some(())))?;
    run.get()?;
    ensure!(run.gang()?.is_none() && run.check()? == account, "a finished run began again");
    println!("applied {} times", heal.finish()?);
    Ok(())
}
