//! What the run needs is away for a while: operator and gateway, the API server, etcd. Training goes on to its next outer
//! boundary, and afterwards everything goes on without anybody's help.

use anyhow::{Result, ensure};
use coalition_cluster::{Fault, Place, Target, wait};
use coalition_suites::{Installed, Layout, Run, Tiny};
use std::time::{Duration, Instant};

/// How long each is away. The gate's sample; the bar is a minute.
const AWAY: Duration = Duration::from_secs(15);

/// Takes something away, sees that no worker ends meanwhile, brings it back, sees that it was missed by nobody.
fn missed(run: &Run<'_>, what: &str, down: &[Fault]) -> Result<()> {
    let cluster = run.at().hub();
    run.goes_on(2)?;
    let (attempt, node) = (run.attempt()?, Place::Node(run.node()?));
    let born: Vec<_> = run.pods()?.into_iter().filter_map(|pod| pod.metadata.uid).collect();
    down.iter().try_for_each(|fault| cluster.apply(fault))?;
    let start = Instant::now();
    wait::until("the time to be over", AWAY * 2, || {
        // A process is there if it can be continued, which does nothing to one that runs.
        cluster.apply(&Fault::Continue(Target::new(node, "coalition-trainer").with_argument("work")))?;
        Ok((start.elapsed() >= AWAY).then_some(()))
    })?;
    for fault in down.iter().rev().filter_map(Fault::end) {
        cluster.apply(&fault)?;
    }
    run.goes_on(3)?;
    let now: Vec<_> = run.pods()?.into_iter().filter_map(|pod| pod.metadata.uid).collect();
    ensure!(run.attempt()? == attempt && now == born, "a worker was restarted because {what} was away");
    println!("{what} away for {AWAY:?}: nobody was restarted");
    run.check().map(drop)
}

#[test]
fn nothing_that_is_away_for_a_while_stops_training() -> Result<()> {
    let Some(at) = Installed::or_skip(Layout::one(1))? else { return Ok(()) };
    let run = at.apply(&Tiny::new("demo").endless())?;
    run.until_round(2)?;
    let operator = Fault::Stop(Target::new(Place::Node(1), "coalition-operator"));
    missed(&run, "the operator with its gateway", &[operator])?;
    missed(&run, "the API server", &[Fault::ApiServerDown])?;
    missed(&run, "etcd", &[Fault::EtcdDown])
}
