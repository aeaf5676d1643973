//! One run at the hub: observe, plan, apply, report, until its object is gone. Must not know what the other runs do.
use std::sync::Arc;
use std::time::Duration;

use coalition_crds::names::STOP_ANNOTATION;
use coalition_crds::{CheckpointPolicy, TrainingRun};
use coalition_planner::resolve::resolve;
use coalition_planner::{Setup, World, plan, publish};
use coalition_protocol::sign::HubKey;
use coalition_protocol::{Digest, RunId};
use coalition_spec::RunSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::runtime::events::Recorder;
use kube::{Client, Resource as _};

use crate::apply::{ApplyError, Hand};
use crate::chain::{Chain, ChainError};
use crate::names;
use crate::observe::{Seen, observe};
use crate::report::{self, Reporter};
use crate::sources::{Sources, key};

/// Longest wait between two passes: ages grow even when nothing is heard. Every deadline that a decision names is kept anyway.
const LONGEST: Duration = Duration::from_secs(10);
/// Pause after something failed: as long as an API server takes to come back from a restart, seen.
const AGAIN: Duration = Duration::from_secs(1);

/// What all runs of a leader share.
#[derive(Debug)]
pub struct Leader {
    /// The hub's API server.
    pub client: Client,
    /// The hub's key.
    pub key: HubKey,
    /// What is watched.
    pub sources: Sources,
    /// Fresh for every leader (D7).
    pub nonce: String,
    /// For events.
    pub recorder: Recorder,
}

/// A run that was begun or is to begin.
struct Run {
    world: World,
    chain: Chain,
    seen: Seen,
}

/// Keeps one run going until its object is gone. The caller stops polling it when the lease is lost.
pub async fn keep(leader: Arc<Leader>, namespace: String, name: String) {
    let bell = leader.sources.wake.of(&key(Some(&namespace), Some(&name)));
    let mut run: Option<Run> = None;
    let mut reporter = Reporter::default();
    while let Some(object) = leader.sources.runs.get(Some(&namespace), &name) {
        let wait = match pass(&leader, &object, &mut run, &mut reporter).await {
            Ok(Some(wait)) => wait,
            // A record was appended: the next decision comes before anything else.
            Ok(None) => continue,
            Err(e) => {
                tracing::warn!(namespace, name, error = %e, "the run was not brought on");
                // What stands at the server may be more than this hub knows: it is read again.
                if matches!(e, PassError::Apply(ApplyError::Chain(_)) | PassError::Chain(_)) {
                    run = None;
                }
                AGAIN
            }
        };
        tokio::select! {
            () = bell.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum PassError {
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("the status was not written: {0}")]
    Status(kube::Error),
    #[error("its name makes no run: {0}")]
    Name(#[from] coalition_protocol::ids::BadName),
}

/// One pass; none if the next one is due at once, else how long it may wait.
async fn pass(
    leader: &Leader,
    object: &TrainingRun,
    run: &mut Option<Run>,
    reporter: &mut Reporter,
) -> Result<Option<Duration>, PassError> {
    let sources = &leader.sources;
    let now = sources.clock.now();
    let namespace = object.meta().namespace.clone().unwrap_or_default();
    let id = names::run_id(
        object.meta().name.as_deref().unwrap_or_default(),
        object.meta().uid.as_deref().unwrap_or_default(),
    )?;
    let stop = object.meta().annotations.as_ref().and_then(|a| a.get(STOP_ANNOTATION));
    let time = report::now();
    let ids = publish::Ids {
        run: &id,
        generation: object.meta().generation,
        sites_wanted: u32::try_from(object.spec.sites.max).unwrap_or(0),
        evaluation: None,
        stop: stop.map(String::as_str),
        now: &time,
    };
    let policy: Option<Arc<CheckpointPolicy>> =
        sources.policies.get(Some(&namespace), &object.spec.checkpoint_policy_ref.name);
    let spec = match resolve(object, policy.as_deref()) {
        Ok(spec) => spec,
        Err(why) => {
            let next = publish::refused(&why, &reporter.before(object), &ids);
            reporter.write(&leader.client, object, next, now).await.map_err(PassError::Status)?;
            return Ok(Some(LONGEST));
        }
    };
    if run.is_none() {
        *run = Some(open(leader, object, &id, &namespace, &spec).await?);
    }
    let Some(Run { world, chain, seen }) = run else { return Ok(None) };
    world.spec = spec;
    world.suspend = object.spec.suspend || stop.is_some();
    observe(world, sources, &namespace, seen, now);
    world.tick(now);
    let decision = plan(world, now);
    let hand = Hand { client: &leader.client, key: &leader.key, run: object, seen };
    let appended = hand.apply(world, chain, &decision, now).await?;
    let next = publish::status(&decision.status, &reporter.before(object).conditions, &ids);
    reporter.write(&leader.client, object, next, now).await.map_err(PassError::Status)?;
    let reference = object.object_ref(&());
    for event in &decision.events {
        report::tell(&leader.recorder, &reference, event).await;
    }
    if appended {
        return Ok(None);
    }
    let due = decision.next_deadline.map(|d| Duration::from_millis(d.since(now)));
    Ok(Some(due.map_or(LONGEST, |d| d.min(LONGEST))))
}

/// Reads what there is of the run.
async fn open(
    leader: &Leader,
    object: &TrainingRun,
    id: &RunId,
    namespace: &str,
    spec: &RunSpec,
) -> Result<Run, PassError> {
    let owner: Option<OwnerReference> = object.controller_owner_ref(&());
    let (chain, view) = Chain::open(leader.client.clone(), namespace, id.as_str(), owner).await?;
    let setup =
        Setup { run: id.clone(), hub_key: leader.key.public().0, data: Digest::ZERO, samples_per_pass: 0, elements: 0 };
    let now = leader.sources.clock.now();
    let mut world = World::new(setup, spec.clone(), view, leader.nonce.clone(), now);
    for (id, _) in crate::facts::matching(spec, leader.sources.sites.all().iter().map(AsRef::as_ref)) {
        world.add_site(id, now);
    }
    Ok(Run { world, chain, seen: Seen::default() })
}
