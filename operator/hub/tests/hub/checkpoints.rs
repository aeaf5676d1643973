//! Checkpoint objects: plain retention, pins, and what becomes of the bytes when one is deleted.
use anyhow::{Context as _, Result};
use coalition_cluster::wait;
use coalition_crds::Checkpoint;
use coalition_hub::checkpoints::seq;
use coalition_protocol::Seq;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::support::hubs::{Dies, Running};
use crate::support::played::Sites;
use crate::support::{BOUND, RUNS, create, create_policy, manifest, server, until_true};

#[test]
fn pinned_ones_stay_and_others_leave_by_retention() -> Result<()> {
    let Some((_world, cluster)) = server(&["north", "south"])? else { return Ok(()) };
    cluster.run(async {
        let client = cluster.client().await?;
        let (hub, sites) = (Running::start(&client, Dies::Never), Sites::play(&client, &["north", "south"]));
        create_policy(&client).await?;
        create(&client, manifest("kept", 2, 14)).await?;
        let api: Api<Checkpoint> = Api::namespaced(client.clone(), RUNS);
        let all = async || -> Result<Vec<Checkpoint>> {
            let mut all = api.list(&ListParams::default()).await?.items;
            all.sort_by_key(seq);
            Ok(all)
        };
        let patch = async |c: &Checkpoint, value| -> Result<()> {
            let name = c.metadata.name.as_deref().context("no name")?;
            api.patch(name, &PatchParams::default(), &Patch::Merge(&value)).await?;
            Ok(())
        };
        // The first two are pinned as they come.
        let mut pinned: Vec<Seq> = Vec::new();
        while pinned.len() < 2 {
            let new = wait::until_async("another checkpoint", BOUND, || async {
                Ok(all().await?.into_iter().find(|c| !pinned.contains(&seq(c))))
            })
            .await?;
            patch(&new, json!({"spec": {"pinned": true}})).await?;
            pinned.push(seq(&new));
        }
        until_true(&client, "kept", "Complete").await?;
        let stay = wait::until_async("the others to leave but the last two", BOUND, || async {
            Ok(Some(all().await?).filter(|a| a.len() == 4))
        })
        .await?;
        let seqs: Vec<Seq> = stay.iter().map(seq).collect();
        assert!(pinned.iter().all(|p| seqs.contains(p)), "{pinned:?} in {seqs:?}");
        let status = stay.last().and_then(|c| c.status.clone()).context("no status")?;
        assert!(status.consistent && status.copies.len() == 2 && status.tokens.is_some(), "{status:?}");
        for site in ["north", "south"] {
            assert!(seqs.iter().all(|s| sites.kept(site).contains(s)), "{site}: {:?}", sites.kept(site));
        }

        // Deleted with Retain, the bytes stay; with Delete, they go. The objects wait for neither.
        for (n, policy) in ["Retain", "Delete"].into_iter().enumerate() {
            let object = stay.get(n).context("no object")?;
            patch(object, json!({"spec": {"deletionPolicy": policy}})).await?;
            api.delete(object.metadata.name.as_deref().context("no name")?, &DeleteParams::default()).await?;
        }
        wait::until_async("both to be gone", BOUND, || async { Ok((all().await?.len() == 2).then_some(())) }).await?;
        let (retained, deleted) = (pinned[0].min(pinned[1]), pinned[0].max(pinned[1]));
        wait::until_async("the bytes of the second to be gone", BOUND, || async {
            Ok((!sites.kept("north").contains(&deleted)).then_some(()))
        })
        .await?;
        assert!(sites.kept("north").contains(&retained), "{:?}", sites.kept("north"));
        // Another hub remembers it.
        hub.kill().await;
        let again = Running::start(&client, Dies::Never);
        wait::until_async("a new leader to be answered", BOUND, || async {
            let asked = crate::support::asked(&client).await?;
            Ok((again.writes.load(std::sync::atomic::Ordering::SeqCst) >= 2 && asked.len() == 2).then_some(()))
        })
        .await?;
        let keeps = crate::support::asked(&client).await?.iter().all(|r| r.spec.message.keep.contains(&retained));
        assert!(keeps, "the new leader does not ask for {retained}");
        Ok(())
    })
}
