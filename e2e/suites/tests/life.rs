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
