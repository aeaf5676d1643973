//! Two replicas, and a site whose hub is away: what one replica or the hub leaves undone, the others do without stopping anybody.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod support;

use std::path::Path;

use anyhow::Result;
use coalition_cluster::{Cluster, World, wait};
use coalition_site::{Access, names};
use serde_json::json;
use support::{Api1, LONG, samples};

const FIRST: &str = "127.0.0.1:8470";
const SECOND: &str = "127.0.0.2:8470";

#[test]
fn replicas_take_over_and_a_hub_that_is_away_stops_nobody() -> Result<()> {
    let Some(world) = World::start_or_skip()? else { return Ok(()) };
    let cluster = support::cluster(&world)?;
    let store = world.folder().join("store");
    cluster.run(async { one_takes_over_from_another(&cluster, &store).await })?;
    // Whoever ran there is gone; the Gang and its pods stand.
    let away = world.folder().join("away.kubeconfig");
    let nobody = std::fs::read_to_string(cluster.kubeconfig())?.replace(":6443", ":6444");
    std::fs::write(&away, nobody)?;
    cluster.run(async { nobody_is_stopped(&cluster, &store, &away).await })
}

async fn one_takes_over_from_another(cluster: &Cluster, store: &Path) -> Result<()> {
    let mut t = Api1::new(cluster).await?;
    t.node("node-1", true).await?;
    support::history::write(&t.client).await?;
    let first = t.site(store, FIRST, Access::OneCluster).await?;
    t.ask(|_| ()).await?;
    let pods = t.current("the first pods", [1, 1]).await?;
    let _second = t.site(store, SECOND, Access::OneCluster).await?;
    let token = t.token(&pods[0], names::AUDIENCE).await?;
    for at in [FIRST, SECOND] {
        let what = format!("a view at {at}: the standby passes it on");
        wait::until_async(&what, LONG, || async { Ok((t.view(at, &token).await?.0 == 200).then_some(())) }).await?;
    }
    first.send_replace(true);
    // It gave its lease back; whoever asks it now is passed on to the other.
    wait::until_async("the second replica to lead", LONG, || async {
        Ok((t.view(SECOND, &token).await?.0 == 200 && t.view(FIRST, &token).await?.0 == 200).then_some(()))
    })
    .await?;
    let permit = t.post(FIRST, &token, "/v1/permit", &json!({"worker": 0, "process": "a"})).await?;
    assert_eq!((permit.0, permit.1["orders"].as_str()), (200, Some("restart")));
    t.remove(&pods[1]).await?;
    let now = t.current("the second replica to make a pod", [1, 2]).await?;
    assert_eq!(now[0].metadata.uid, pods[0].metadata.uid, "a pod was made anew without need");
    Ok(())
}

async fn nobody_is_stopped(cluster: &Cluster, store: &Path, away: &Path) -> Result<()> {
    let mut t = Api1::new(cluster).await?;
    let _site = t.site(store, FIRST, Access::Kubeconfig(away.to_owned())).await?;
    let pods = t.current("the pods that stand", [1, 2]).await?;
    let token = t.token(&pods[0], names::AUDIENCE).await?;
    // The mirror of what the hub asked last, and of the history, are enough to go on.
    wait::until_async("a view without a hub", LONG, || async {
        let (code, view) = t.view(FIRST, &token).await?;
        Ok((code == 200 && view["records"].as_array().map(Vec::len) == Some(1)).then_some(()))
    })
    .await?;
    t.remove(&pods[1]).await?;
    let now = t.current("a pod without a hub", [1, 3]).await?;
    assert_eq!(now[0].metadata.uid, pods[0].metadata.uid);
    // What it has to report waits for the hub.
    let gang = t.gangs().get(samples::RUN).await?;
    assert_eq!(gang.status.and_then(|s| s.opened), Some(1));
    Ok(())
}
