//! What a run needs is away for a while: hub, gateway and courier, the API server, etcd. Training goes on to its next outer
//! boundary, and afterwards everything goes on without anybody's help. Must not know how long is long.

use super::install;
use crate::installed::{Installed, Layout};
use crate::manifest::Tiny;
use crate::run::Run;
use anyhow::{Result, ensure};
use coalition_cluster::{Fault, Place, Target, wait};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long each is away in a campaign.
const AWAY: Duration = Duration::from_mins(1);

/// What can be away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Every replica of the hub role.
    Hub,
    /// Every replica of the site role, with its gateway and its courier.
    Site,
    /// All of the operator.
    Operator,
    /// kube-apiserver.
    ApiServer,
    /// etcd.
    Etcd,
}

/// Each of them.
pub const PARTS: [Part; 5] = [Part::Hub, Part::Site, Part::Operator, Part::ApiServer, Part::Etcd];

impl Part {
    fn faults(self, nodes: u8) -> Vec<Fault> {
        let halted = |role: Option<&str>| {
            (1..=nodes)
                .map(|node| {
                    let target = Target::new(Place::Node(node), "coalition-operator");
                    Fault::Stop(match role {
                        Some(role) => target.with_argument(role),
                        None => target,
                    })
                })
                .collect()
        };
        match self {
            Self::Hub => halted(Some("--roles=hub")),
            Self::Site => halted(Some("--roles=site,courier")),
            Self::Operator => halted(None),
            Self::ApiServer => vec![Fault::ApiServerDown],
            Self::Etcd => vec![Fault::EtcdDown],
        }
    }
}

/// Takes `part` away for `time`, sees that no worker ends meanwhile, brings it back, sees that it was missed by nobody. Returns
/// the seconds from its return to the next commit.
pub fn missed(at: &Installed, run: &Run<'_>, part: Part, time: Duration) -> Result<f64> {
    let cluster = at.hub();
    run.goes_on(2)?;
    let (attempt, node) = (run.attempt()?, Place::Node(run.node()?));
    let pods = || anyhow::Ok(run.pods()?.into_iter().filter_map(|pod| pod.metadata.uid).collect::<Vec<_>>());
    let born = pods()?;
    let down = part.faults(at.nodes());
    down.iter().try_for_each(|fault| cluster.apply(fault))?;
    let start = Instant::now();
    wait::until("the time to be over", time * 2, || {
        // A process is there if it can be continued, which does nothing to one that runs.
        cluster.apply(&Fault::Continue(Target::new(node, "coalition-trainer").with_argument("work")))?;
        Ok((start.elapsed() >= time).then_some(()))
    })?;
    for fault in down.iter().rev().filter_map(Fault::end) {
        cluster.apply(&fault)?;
    }
    let back = Instant::now();
    run.goes_on(1)?;
    let next = back.elapsed().as_secs_f64();
    run.goes_on(2)?;
    ensure!(run.attempt()? == attempt && pods()? == born, "a worker was restarted because {part:?} was away");
    println!("{part:?} away for {time:?}: nobody was restarted, next commit {next:.2} s after its return");
    run.check().map(|_| next)
}

/// One part a trial, one after the other.
pub(super) fn trial(seed: u64) -> Result<Value> {
    let part = PARTS[seed as usize % PARTS.len()];
    let at = install(Layout::one(1))?;
    let run = at.apply(&Tiny::new("demo").endless())?;
    run.until_round(2)?;
    let next = missed(&at, &run, part, AWAY)?;
    Ok(json!({
        "detail": format!("{part:?} away for {AWAY:?}, nobody was restarted"),
        "next_commit_seconds": next,
    }))
}
