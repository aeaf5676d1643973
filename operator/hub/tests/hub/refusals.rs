//! What cannot be trained is said at once, and nothing is made for it; a hub that has been overtaken can write nothing.
use std::time::Instant;

use anyhow::{Context as _, Result};
use coalition_cluster::wait;
use coalition_crds::{CheckpointPolicy, RunHistory};
use coalition_hub::chain::{Chain, ChainError};
use coalition_hub::key::key;
use coalition_hub::{history as object, names};
use coalition_protocol::record::{Body, Void};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::support::hubs::{Dies, Running};
use crate::support::played::Sites;
use crate::support::{
    BOUND, RUNS, SYSTEM, asked, condition, create, create_policy, history, manifest, runs, server, until_true,
};

#[test]
fn what_cannot_be_trained_is_stalled_and_nothing_is_made() -> Result<()> {
    let Some((_world, cluster)) = server(&["north"])? else { return Ok(()) };
    cluster.run(async {
        let client = cluster.client().await?;
        let (_hub, _sites) = (Running::start(&client, Dies::Never), Sites::play(&client, &["north"]));
        let begun = Instant::now();
        create(&client, manifest("no-policy", 1, 4)).await?;
        let run = until_true(&client, "no-policy", "Stalled").await?;
        println!("stalled after {:.2} s", begun.elapsed().as_secs_f64());
        let (_, reason, message) = condition(&run, "Stalled").context("no condition")?;
        assert_eq!(reason, "PolicyMissing");
        assert!(message.contains("policy") && message.contains(RUNS), "{message}");
        nothing_was_made(&client, "no-policy").await?;
        // Once the policy is there, the run begins; once it is gone again, the run goes on and says so.
        create_policy(&client).await?;
        until_true(&client, "no-policy", "Admitted").await?;
        let policies: Api<CheckpointPolicy> = Api::namespaced(client.clone(), RUNS);
        policies.delete("policy", &DeleteParams::default()).await?;
        let run = until_true(&client, "no-policy", "Complete").await?;
        let (_, _, message) = condition(&run, "Ready").context("no condition")?;
        assert!(message.contains("CheckpointPolicy policy is gone"), "{message}");
        Ok(())
    })
}

#[test]
fn an_unknown_preset_is_stalled_and_nothing_is_made() -> Result<()> {
    let Some((_world, cluster)) = server(&["north"])? else { return Ok(()) };
    cluster.run(async {
        let client = cluster.client().await?;
        let (_hub, _sites) = (Running::start(&client, Dies::Never), Sites::play(&client, &["north"]));
        create_policy(&client).await?;
        let mut unknown = manifest("no-preset", 1, 4);
        unknown["spec"]["model"]["preset"] = json!("llama-of-nobody");
        create(&client, unknown).await?;
        // The policy's watch may be a moment behind that of the runs: then that is what is said first.
        let message = wait::until_async("the preset alone to be refused", BOUND, || async {
            let found = condition(&runs(&client).get("no-preset").await?, "Stalled");
            Ok(found.filter(|(_, reason, _)| reason == "InvalidSpec").map(|(_, _, message)| message))
        })
        .await?;
        assert!(message.contains("llama-of-nobody"), "{message}");
        nothing_was_made(&client, "no-preset").await
    })
}

async fn nothing_was_made(client: &kube::Client, name: &str) -> Result<()> {
    assert!(asked(client).await?.is_empty());
    let run = runs(client).get(name).await?;
    assert!(history(client, &run).await?.is_none());
    assert_eq!(run.metadata.finalizers, None);
    Ok(())
}

#[test]
fn a_hub_that_was_overtaken_can_write_nothing() -> Result<()> {
    let Some((_world, cluster)) = server(&["north"])? else { return Ok(()) };
    cluster.run(async {
        let client = cluster.client().await?;
        let (hub, sites) = (Running::start(&client, Dies::Never), Sites::play(&client, &["north"]));
        create_policy(&client).await?;
        create(&client, manifest("fenced", 1, 50)).await?;
        let run = until_true(&client, "fenced", "Admitted").await?;
        // The hub stops in the middle of a round; two others read the same history.
        drop(sites);
        hub.kill().await;
        let id = names::run_id("fenced", run.metadata.uid.as_deref().context("no uid")?)?;
        let (key, other) = (key(&client, SYSTEM).await?, key(&client, SYSTEM).await?);
        let (mut first, view) = Chain::open(client.clone(), RUNS, id.as_str(), None).await?;
        let (mut second, _) = Chain::open(client.clone(), RUNS, id.as_str(), None).await?;
        let view = view.context("no view")?;
        let record = |reason: &str| {
            let plans: Vec<_> = view.open_plans().map(|(seq, _)| seq).collect();
            let void = Void { round: view.next_round(), plans, reason: reason.to_owned() };
            view.next(Body::Void(void))
        };
        first.append(&key, record("the first")).await?;
        let refused = second.append(&other, record("the second")).await;
        assert!(matches!(refused, Err(ChainError::Overtaken { .. })), "{refused:?}");
        // Even without naming a version: the rules of the object are the second fence.
        let api: Api<RunHistory> = Api::namespaced(client.clone(), RUNS);
        let stands = api.get(id.as_str()).await?;
        let mut records = second.records().to_vec();
        records.push(other.sign(record("the second"))?);
        let spec = object::spec(&records, coalition_protocol::Seq(0), None)?.context("no records")?;
        let mut forced = RunHistory { spec, ..stands.clone() };
        forced.spec.mirrored_seq = stands.spec.mirrored_seq;
        let refused = api.replace(id.as_str(), &PostParams::default(), &forced).await.err().context("accepted")?;
        assert!(refused.to_string().contains("records once written never change"), "{refused}");
        Ok(())
    })
}

#[test]
fn two_hubs_that_both_lead_make_one_history() -> Result<()> {
    let Some((_world, cluster)) = server(&["north", "south"])? else { return Ok(()) };
    cluster.run(async {
        let client = cluster.client().await?;
        let (one, other) = (Running::start(&client, Dies::Never), Running::start(&client, Dies::Never));
        let _sites = Sites::play(&client, &["north", "south"]);
        create_policy(&client).await?;
        create(&client, manifest("contested", 2, 4)).await?;
        // Each shows sites its own nonce, so they may keep each other from committing; but never is there a second history.
        let run = runs(&client).get("contested").await?;
        let found = wait::until_async("some records of two hubs", BOUND, || async {
            Ok(history(&client, &run).await?.filter(|h| h.spec.head.seq >= 1))
        })
        .await?;
        crate::support::check(&found)?;
        one.kill().await;
        let run = until_true(&client, "contested", "Complete").await?;
        let whole = history(&client, &run).await?.context("no history")?;
        crate::support::check(&whole)?;
        assert!(found.spec.records.iter().zip(&whole.spec.records).all(|(a, b)| a == b));
        other.kill().await;
        Ok(())
    })
}
