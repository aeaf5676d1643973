//! The site role in this process, and the courier's with it: watches, gateway and exchange run always, so that a standby is warm
//! and passes requests on; it brings gangs on while it holds the lease.
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use coalition_kit::lease::Timing;
use coalition_kit::role::{self, Process};
use coalition_site::{Access, Options, Site, names};
use kube::Config;

use crate::args::Args;

/// Ends when the process shall.
pub async fn run(args: Args, process: Process) -> Result<()> {
    let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let options = Options {
        settings: args.site_settings,
        hub: args.hub_kubeconfig.map_or(Access::OneCluster, Access::Kubeconfig),
        cluster: Config::infer().await.context("nothing says where the cluster is")?,
        gateway: args.gateway_listen.unwrap_or_else(|| any(names::GATEWAY_PORT)),
        exchange: args.exchange_listen.unwrap_or_else(|| any(names::EXCHANGE_PORT)),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let site = Arc::new(Site::start(options, &process).await?);
    let watched = site.clone();
    process.health.require("the site's watches", move || watched.is_ready());
    role::lead(&process, "site", Timing::default(), || {
        let site = site.clone();
        async move { site.lead().await }
    })
    .await;
    Ok(())
}
