//! `helm upgrade` while a run trains: the operator is another one, the workers are the same.

use anyhow::{Result, ensure};
use coalition_suites::archives::{OPERATOR, reference};
use coalition_suites::{Installed, Layout, SYSTEM, Tiny};

/// The other version: the same code under another name, until there is an older release to begin with.
const NEWER: &str = "9.9.9";

#[test]
fn an_upgrade_of_the_operator_restarts_no_worker() -> Result<()> {
    let Some(at) = Installed::or_skip(Layout::one(1))? else { return Ok(()) };
    let run = at.apply(&Tiny::new("demo").workers(2).endless())?;
    run.until_round(2)?;
    let workers = || anyhow::Ok(run.pods()?.into_iter().filter_map(|pod| pod.metadata.uid).collect::<Vec<_>>());
    let (before, attempt) = (workers()?, run.attempt()?);
    let old = reference(OPERATOR);
    let image = old.rsplit_once(':').map_or(old.as_str(), |(name, _)| name);
    at.tag(&old, &format!("{image}:{NEWER}"))?;
    at.upgrade(&[&format!("image.tag={NEWER}")])?;
    let images = at.kubectl(&["get", "pods", "-n", SYSTEM, "-o", "jsonpath={.items[*].spec.containers[*].image}"])?;
    ensure!(images.contains(NEWER), "the operator runs as {images}");
    run.goes_on(3)?;
    ensure!(workers()? == before && run.attempt()? == attempt, "the upgrade restarted a worker");
    run.check().map(drop)
}
