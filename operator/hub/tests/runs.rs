//! The hub role against a real API server, with sites that are played (`support::played`).
mod support;

use anyhow::{Context as _, Result};
use support::hubs::{Dies, Running};
use support::played::Sites;
use support::{check, condition, create, create_policy, history, manifest, server, until_true};

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
        println!("{}", hub.metrics.text());
        Ok(())
    })
}
