//! Runs that go well: from apply to Complete, suspended and resumed, long enough that records leave the object.
use anyhow::{Context as _, Result};
use coalition_cluster::wait;
use coalition_hub::chain::Chain;
use coalition_hub::names::{reader, run_id};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use crate::support::hubs::{Dies, Running};
use crate::support::played::Sites;
use crate::support::{
    BOUND, RUNS, asked, check, condition, create, create_policy, history, manifest, runs, server, until_true,
};

#[test]
fn a_run_of_two_sites_from_apply_to_complete() -> Result<()> {
    let Some((_world, cluster)) = server(&["north", "south"])? else { return Ok(()) };
    cluster.run(async {
        let client = cluster.client().await?;
        let (hub, _sites) = (Running::start(&client, Dies::Never), Sites::play(&client, &["north", "south"]));
        create_policy(&client).await?;
        create(&client, manifest("small", 2, 6)).await?;
        let run = until_true(&client, "small", "Complete").await?;
        let status = run.status.clone().context("no status")?;
        assert_eq!(status.progress.map(|p| p.percent), Some(100));
        assert_eq!(status.observed_generation, run.metadata.generation);
        assert_eq!(condition(&run, "Ready").map(|c| c.0).as_deref(), Some("True"));
        let checkpoint = status.checkpoint.context("no checkpoint")?;
        assert!(checkpoint.consistent && checkpoint.copies.len() == 2, "{checkpoint:?}");
        let rounds = check(&history(&client, &run).await?.context("no history")?)?;
        assert!(rounds >= 6, "{rounds} rounds");

        // Each member may read this history, and no other object of its kind.
        let id = run_id("small", run.metadata.uid.as_deref().context("no uid")?)?;
        for site in ["north", "south"] {
            let name = reader(&id, &site.parse()?);
            let role = Api::<Role>::namespaced(client.clone(), RUNS).get(&name).await?;
            assert_eq!(role.metadata.owner_references.map(|o| o.len()), Some(1), "it goes with the run");
            Api::<RoleBinding>::namespaced(client.clone(), RUNS).get(&name).await?;
        }
        // A Site says what its site said.
        let sites = Api::<coalition_crds::Site>::all(client.clone());
        wait::until_async("both Sites to be ready", BOUND, || async {
            let all = sites.list(&ListParams::default()).await?.items;
            let ready = |s: &coalition_crds::Site| {
                s.status.as_ref().is_some_and(|s| s.runs == 1 && s.facts.is_some() && s.conditions[0].status == "True")
            };
            Ok(all.iter().all(ready).then_some(()))
        })
        .await?;
        let text = hub.metrics.text();
        assert!(text.contains(r#"coalition_runs{phase="Complete"} 1"#), "{text}");
        assert!(text.contains(&format!("coalition_rounds_committed_total {rounds}")), "{text}");
        let events = Api::<k8s_openapi::api::events::v1::Event>::namespaced(client.clone(), RUNS);
        let told = events.list(&ListParams::default()).await?.items;
        assert!(told.iter().any(|e| e.reason.as_deref() == Some("RunComplete")), "{told:?}");
        Ok(())
    })
}

#[test]
fn a_run_is_suspended_resumed_stopped_and_cleared_away_in_time() -> Result<()> {
    let Some((_world, cluster)) = server(&["north", "south"])? else { return Ok(()) };
    cluster.run(async {
        let client = cluster.client().await?;
        let (_hub, _sites) = (Running::start(&client, Dies::Never), Sites::play(&client, &["north", "south"]));
        create_policy(&client).await?;
        let mut wanted = manifest("paused", 2, 8);
        wanted["spec"]["ttlSecondsAfterFinished"] = json!(1);
        create(&client, wanted).await?;
        until_true(&client, "paused", "Admitted").await?;
        let patch = async |value| runs(&client).patch("paused", &PatchParams::default(), &Patch::Merge(&value)).await;
        patch(json!({"spec": {"suspend": true}})).await?;
        let run = until_true(&client, "paused", "Suspended").await?;
        assert_eq!(condition(&run, "Ready").map(|c| (c.0, c.1)), Some(("True".into(), "SuspendRequested".into())));
        let stop = coalition_crds::names::STOP_ANNOTATION;
        patch(json!({"spec": {"suspend": false}, "metadata": {"annotations": {stop: "smoke"}}})).await?;
        let run = until_true(&client, "paused", "Stalled").await?;
        let (_, reason, message) = condition(&run, "Stalled").context("no condition")?;
        assert!(reason == "StopRequested" && message.contains("smoke"), "{reason}: {message}");
        patch(json!({"metadata": {"annotations": {stop: null}}})).await?;
        until_true(&client, "paused", "Complete").await?;
        wait::until_async("what sites were asked to be removed", BOUND, || async {
            Ok(asked(&client).await?.is_empty().then_some(()))
        })
        .await?;
        let run = runs(&client).get("paused").await?;
        check(&history(&client, &run).await?.context("the history stays with its run")?)?;
        Ok(())
    })
}

#[test]
fn records_leave_a_long_history_and_another_hub_goes_on() -> Result<()> {
    let Some((_world, cluster)) = server(&["north", "south"])? else { return Ok(()) };
    cluster.run(async {
        let client = cluster.client().await?;
        let (hub, _sites) = (Running::start(&client, Dies::Never), Sites::play(&client, &["north", "south"]));
        create_policy(&client).await?;
        let run = create(&client, manifest("long", 2, 30)).await?;
        wait::until_async("the oldest records to leave", BOUND, || async {
            let found = history(&client, &run).await?;
            Ok(found.filter(|h| h.spec.records[0].seq > 0).map(drop))
        })
        .await?;
        hub.kill().await;
        let hub = Running::start(&client, Dies::Never);
        let run = until_true(&client, "long", "Complete").await?;
        hub.kill().await;
        let id = run_id("long", run.metadata.uid.as_deref().context("no uid")?)?;
        let (chain, view) = Chain::open(client.clone(), RUNS, id.as_str(), None).await?;
        let view = view.context("no view")?;
        assert!(chain.records().len() < 80 && view.first().0 > 0, "{} records", chain.records().len());
        assert!(view.ended().is_some() && view.last_round().0 >= 30);
        Ok(())
    })
}
