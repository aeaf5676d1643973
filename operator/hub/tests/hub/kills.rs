//! A hub that is killed at any write, and begun again, goes on with the same history. Each life gets one write further than the
//! one before, so that between them they die at every place a hub can be in.
use std::time::Duration;

use anyhow::{Context as _, Result};
use coalition_crds::Checkpoint;
use kube::Api;
use kube::api::ListParams;

use crate::support::hubs::{Dies, Running};
use crate::support::played::Sites;
use crate::support::{RUNS, check, condition, create, create_policy, history, manifest, runs, server, until_true};

/// Lives of the hub: by the last, a life has shown every site a new leader, planned, committed and agreed on a round.
const LIVES: u64 = 24;
/// A life that comes to rest before its last write is ended. Rest means that it waits for a site, which takes less.
const LIFE: Duration = Duration::from_secs(8);

#[test]
fn a_hub_may_die_between_any_two_writes() -> Result<()> {
    let Some((_world, cluster)) = server(&["north", "south"])? else { return Ok(()) };
    cluster.run(async {
        let client = cluster.client().await?;
        let _sites = Sites::play(&client, &["north", "south"]);
        create_policy(&client).await?;
        let run = create(&client, manifest("killed", 2, 10)).await?;
        let (mut died, mut last) = (0, None);
        for life in 0..LIVES {
            let n = life / 2 + 1;
            let dies = if life % 2 == 0 { Dies::Before(n) } else { Dies::After(n) };
            let hub = Running::start(&client, dies);
            if tokio::time::timeout(LIFE, hub.died.notified()).await.is_ok() {
                died += 1;
            }
            hub.kill().await;
            if let Some(now) = history(&client, &run).await? {
                check(&now).with_context(|| format!("after {dies:?}"))?;
                let before = last.replace(now.clone());
                let extends = before.is_none_or(|b: coalition_crds::RunHistory| {
                    b.spec.records.iter().zip(&now.spec.records).all(|(a, b)| a == b)
                        && b.spec.records.len() <= now.spec.records.len()
                });
                assert!(extends, "after {dies:?} the history is another one");
            }
            let run = runs(&client).get("killed").await?;
            if condition(&run, "Complete").is_some_and(|c| c.0 == "True") {
                break;
            }
        }
        println!("{died} deaths, {:?} records", last.map(|h| h.spec.records.len()));
        assert!(died >= 12, "only {died} lives ended at a write");
        let _hub = Running::start(&client, Dies::Never);
        let run = until_true(&client, "killed", "Complete").await?;
        check(&history(&client, &run).await?.context("no history")?)?;
        let all = Api::<Checkpoint>::namespaced(client.clone(), RUNS).list(&ListParams::default()).await?.items;
        let newest = run.status.and_then(|s| s.checkpoint).context("no checkpoint")?;
        assert!(all.iter().any(|c| c.metadata.name.as_deref() == Some(newest.name.as_str())), "{}", newest.name);
        Ok(())
    })
}
