//! A real API server with our kinds, hubs that can be killed, and sites that are played. Nothing here is a site of ours: the
//! sites are stand-ins that write reports as the planner's simulated sites do.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#[path = "../../../../planner/tests/sim/answers.rs"]
mod answers;
pub mod hubs;
pub mod played;
#[path = "../../../../planner/tests/sim/site.rs"]
pub mod site;
#[path = "../../../../planner/tests/sim/spec.rs"]
mod spec;

use std::time::Duration;

use anyhow::{Context as _, Result};
use coalition_cluster::{Cluster, Spec, World, wait};
use coalition_crds::names::site_namespace;
use coalition_crds::{CheckpointPolicy, RunHistory, SiteRun, TrainingRun};
use coalition_hub::names::run_id;
use coalition_protocol::record::Body;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

/// The namespace of the runs.
pub const RUNS: &str = "research";
/// The hub's own.
pub const SYSTEM: &str = "coalition-system";
/// How long anything here may take on a busy machine.
pub const BOUND: Duration = Duration::from_mins(2);

/// An API server with our kinds, the namespaces, and Site objects of these names; none where no cluster can be.
pub fn server(sites: &[&str]) -> Result<Option<(World, Cluster)>> {
    // What the hub logs is seen with RUST_LOG; the first test of a process starts it for all.
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init().ok();
    let Some(world) = World::start_or_skip()? else { return Ok(None) };
    let hub = world.cluster(Spec::api("hub"))?;
    let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crds/yaml");
    hub.kubectl(&["apply", "--server-side", "-f", crds])?;
    hub.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "-f", crds])?;
    let sites: Vec<String> = sites.iter().map(|s| (*s).to_owned()).collect();
    hub.run(async {
        let client = hub.client().await?;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let own = sites.iter().map(|s| site_namespace(s));
        for name in own.chain([RUNS.to_owned(), SYSTEM.to_owned()]) {
            let metadata = ObjectMeta { name: Some(name), ..ObjectMeta::default() };
            namespaces.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await?;
        }
        for site in &sites {
            let api = Api::<coalition_crds::Site>::all(client.clone());
            let site = coalition_crds::Site::new(site, coalition_crds::SiteSpec::default());
            api.create(&PostParams::default(), &site).await?;
        }
        Ok(())
    })?;
    Ok(Some((world, hub)))
}

/// A small run of so many rounds at so many sites, as the simulator has it.
pub fn manifest(name: &str, sites: u32, rounds: u64) -> Value {
    let round = 4 * spec::BATCH;
    json!({
        "apiVersion": "coalition.training/v1alpha1", "kind": "TrainingRun",
        "metadata": {"name": name, "namespace": RUNS},
        "spec": {
            "sites": {"min": 1, "max": sites, "replaceAfterSeconds": 60},
            "siteTemplates": [{"workers": 1, "cpuThreads": 1}],
            "model": {"architecture": "llama", "preset": "llama-tiny-bytes", "init": {"seed": 1}},
            "data": {"sequenceLength": 16, "tokenizer": {"builtin": "bytes"}, "mixture": [{"name": "text"}]},
            "training": {
                "tokens": rounds * u64::from(sites) * round, "batchTokens": spec::BATCH, "precision": "fp32", "seed": 1,
                "optimizer": {"name": "adamw", "lr": 1e-3, "betas": [0.9, 0.95], "eps": 1e-8, "weightDecay": 0.1, "clip": 1.0},
                "schedule": {"name": "constant", "warmupTokens": 0}, "nonFinite": {"skipSteps": 3},
                "outer": {
                    "tokensPerRound": round, "optimizer": {"name": "nesterov", "lr": 0.7, "momentum": 0.9},
                    "payload": "f32", "quorum": 1, "grace": 5
                }
            },
            "checkpointPolicyRef": {"name": "policy"}
        }
    })
}

/// The policy that these runs refer to.
pub fn policy() -> Value {
    json!({
        "apiVersion": "coalition.training/v1alpha1", "kind": "CheckpointPolicy",
        "metadata": {"name": "policy", "namespace": RUNS},
        "spec": {"interval": {"steps": 1}, "keep": {"everyRounds": 2}, "retention": {"last": 2}}
    })
}

/// Creates the policy.
pub async fn create_policy(client: &Client) -> Result<()> {
    let api: Api<CheckpointPolicy> = Api::namespaced(client.clone(), RUNS);
    api.create(&PostParams::default(), &serde_json::from_value(policy())?).await?;
    Ok(())
}

/// Creates a run.
pub async fn create(client: &Client, manifest: Value) -> Result<TrainingRun> {
    Ok(runs(client).create(&PostParams::default(), &serde_json::from_value(manifest)?).await?)
}

/// The runs.
pub fn runs(client: &Client) -> Api<TrainingRun> {
    Api::namespaced(client.clone(), RUNS)
}

/// The history of a run.
pub async fn history(client: &Client, run: &TrainingRun) -> Result<Option<RunHistory>> {
    let name = run.metadata.name.as_deref().context("no name")?;
    let id = run_id(name, run.metadata.uid.as_deref().context("no uid")?)?;
    let api: Api<RunHistory> = Api::namespaced(client.clone(), RUNS);
    Ok(api.get_opt(id.as_str()).await?)
}

/// All that sites were asked.
pub async fn asked(client: &Client) -> Result<Vec<SiteRun>> {
    Ok(Api::<SiteRun>::all(client.clone()).list(&ListParams::default()).await?.items)
}

/// The status and reason of a condition.
pub fn condition(run: &TrainingRun, kind: &str) -> Option<(String, String, String)> {
    let found = run.status.as_ref()?.conditions.iter().find(|c| c.type_ == kind)?;
    Some((found.status.clone(), found.reason.clone(), found.message.clone()))
}

/// Waits until a condition of a run is True, and gives the run.
pub async fn until_true(client: &Client, name: &str, kind: &str) -> Result<TrainingRun> {
    let api = runs(client);
    let seen = std::sync::Mutex::new(String::new());
    let what = format!("{name} to be {kind}");
    let found = wait::until_async(&what, BOUND, || async {
        let run = api.get(name).await?;
        *seen.lock().unwrap() = format!("{:?}", run.status);
        Ok((condition(&run, kind).is_some_and(|c| c.0 == "True")).then_some(run))
    });
    found.await.with_context(|| format!("the last status was {}", seen.lock().unwrap()))
}

/// Checks that a history is one chain of legal records from the first to the last, and says how many rounds it has.
pub fn check(history: &RunHistory) -> Result<u64> {
    let records = coalition_hub::history::records(&history.spec)?;
    let view = coalition_protocol::history::View::replay(&records)?.context("no record")?;
    assert!(view.ledger().is_partition());
    assert!(records.iter().all(|r| !matches!(r.record.body, Body::Takeover(_))));
    Ok(view.last_round().0)
}
