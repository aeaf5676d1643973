//! Deletion: compute goes, checkpoints stay, and no site that is not there can hold it up.
use std::time::Duration;

use anyhow::{Context as _, Result};
use coalition_cluster::wait;
use coalition_crds::Checkpoint;
use coalition_protocol::messages::Desired;
use kube::Api;
use kube::api::{DeleteParams, ListParams};

use crate::support::hubs::{Dies, Running};
use crate::support::played::Sites;
use crate::support::{BOUND, RUNS, asked, create, create_policy, manifest, runs, server};

#[test]
fn deleting_a_run_waits_for_no_site_that_is_away_and_keeps_checkpoints() -> Result<()> {
    let Some((_world, cluster)) = server(&["north", "south"])? else { return Ok(()) };
    cluster.run(async {
        let client = cluster.client().await?;
        let (hub, sites) = (Running::start(&client, Dies::Never), Sites::play(&client, &["north", "south"]));
        create_policy(&client).await?;
        create(&client, manifest("deleted", 2, 200)).await?;
        let kept: Api<Checkpoint> = Api::namespaced(client.clone(), RUNS);
        wait::until_async("a checkpoint", BOUND, || async {
            Ok((!kept.list(&ListParams::default()).await?.items.is_empty()).then_some(()))
        })
        .await?;
        sites.cut("south", true).await;
        runs(&client).delete("deleted", &DeleteParams::default()).await?;
        wait::until_async("the run to be gone", BOUND, || async {
            Ok(runs(&client).get_opt("deleted").await?.is_none().then_some(()))
        })
        .await?;
        let left = asked(&client).await?;
        assert_eq!(left.len(), 1, "{left:?}");
        let message = &left.first().context("none")?.spec.message;
        assert_eq!((message.site.as_str(), message.desired), ("south", Desired::Stop));
        assert!(!kept.list(&ListParams::default()).await?.items.is_empty(), "checkpoints outlive their run");
        // Another hub looks after what is left, once the site is back.
        hub.kill().await;
        let _hub = Running::start(&client, Dies::Never);
        tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await.ok();
        assert_eq!(asked(&client).await?.len(), 1, "it is not heard: unknown is not gone");
        sites.cut("south", false).await;
        wait::until_async("the last SiteRun to be gone", BOUND, || async {
            Ok(asked(&client).await?.is_empty().then_some(()))
        })
        .await?;
        // Nobody asks sites about that run any more; its checkpoints can be deleted none the less.
        for c in kept.list(&ListParams::default()).await?.items {
            kept.delete(c.metadata.name.as_deref().context("no name")?, &DeleteParams::default()).await?;
        }
        wait::until_async("its checkpoints to be gone", BOUND, || async {
            Ok(kept.list(&ListParams::default()).await?.items.is_empty().then_some(()))
        })
        .await
    })
}
