//! What a hub remembers of a run beside its history stands in the hub's own namespace, and goes with the run: whether a hub leads
//! when the run goes, or none does.
use std::time::Duration;

use anyhow::{Context as _, Result};
use coalition_cluster::wait;
use coalition_crds::names::RUN_LABEL;
use coalition_hub::names::run_id;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::support::hubs::{Dies, Running};
use crate::support::{BOUND, RUNS, SYSTEM, create, create_policy, manifest, runs, server};

/// The runs of which something is remembered in a namespace, by identity.
async fn remembered(client: &Client, namespace: &str) -> Result<Vec<String>> {
    let all = Api::<ConfigMap>::namespaced(client.clone(), namespace).list(&ListParams::default()).await?.items;
    let mut found: Vec<String> = all.into_iter().filter_map(|m| m.metadata.labels?.remove(RUN_LABEL)).collect();
    found.sort();
    Ok(found)
}

async fn until(client: &Client, what: &str, wanted: &[&String]) -> Result<()> {
    wait::until_async(what, BOUND, || async {
        let found = remembered(client, SYSTEM).await?;
        Ok((found.iter().eq(wanted.iter().copied())).then_some(()))
    })
    .await
}

#[test]
fn what_is_remembered_stands_beside_the_hub_and_goes_with_the_run() -> Result<()> {
    let Some((_world, cluster)) = server(&["north"])? else { return Ok(()) };
    cluster.run(async {
        let client = cluster.client().await?;
        let hub = Running::start(&client, Dies::Never);
        create_policy(&client).await?;
        // No site answers: they wait, and that there was a policy is remembered.
        let mut ids = Vec::new();
        for name in ["a-stays", "b-goes", "c-goes-unseen"] {
            let run = create(&client, manifest(name, 1, 4)).await?;
            ids.push(run_id(name, run.metadata.uid.as_deref().context("no uid")?)?.to_string());
        }
        until(&client, "all three to be remembered", &[&ids[0], &ids[1], &ids[2]]).await?;
        assert_eq!(remembered(&client, RUNS).await?, [] as [&str; 0], "the runs' own namespace is theirs");

        runs(&client).delete("b-goes", &DeleteParams::default()).await?;
        until(&client, "the second to be forgotten", &[&ids[0], &ids[2]]).await?;
        // While no hub leads: somebody takes the finalizer away, and another run comes by that name.
        hub.kill().await;
        let free = json!({"metadata": {"finalizers": null}});
        runs(&client).patch("c-goes-unseen", &PatchParams::default(), &Patch::Merge(&free)).await?;
        runs(&client).delete("c-goes-unseen", &DeleteParams::default()).await?;
        wait::until_async("the third run to be gone", BOUND, || async {
            Ok(runs(&client).get_opt("c-goes-unseen").await?.is_none().then_some(()))
        })
        .await?;
        let again = create(&client, manifest("c-goes-unseen", 1, 4)).await?;
        let again = run_id("c-goes-unseen", again.metadata.uid.as_deref().context("no uid")?)?.to_string();
        let _hub = Running::start(&client, Dies::Never);
        let mut left = [&ids[0], &again];
        left.sort();
        until(&client, "the third to be forgotten, and another one remembered", &left).await?;
        // What is there is of runs that are there: nobody takes it away.
        tokio::time::sleep(Duration::from_secs(2)).await;
        until(&client, "both to stay", &left).await
    })
}
