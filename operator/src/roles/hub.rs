//! The hub role in this process: its watches run always, so that a standby is warm; it decides while it holds the lease.
use std::sync::Arc;

use anyhow::Result;
use coalition_hub::Hub;
use coalition_kit::lease::Timing;
use coalition_kit::role::{self, Process};

/// Ends when the process shall.
pub async fn run(process: Process) -> Result<()> {
    let hub =
        Arc::new(Hub::start(process.client.clone(), process.metrics.clone(), &process.namespace, &process.identity));
    let watched = hub.clone();
    process.health.require("the hub's watches", move || watched.is_ready());
    role::lead(&process, "hub", Timing::default(), || {
        let hub = hub.clone();
        async move { hub.lead().await }
    })
    .await;
    Ok(())
}
