//! `coalition-operator`: one program, several roles. This page starts what all of them share (log, client, probes), each role
//! as a task of its own, and ends all when one ends or the process is asked to. What a role does stands in its own crate.
mod args;
mod logs;
mod roles;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser as _;
use coalition_kit::client;
use coalition_kit::health::{self, Health};
use coalition_kit::metrics::Metrics;
use coalition_kit::role::Process;
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use args::Args;

/// How long roles may take to give their leases back: half of what Kubernetes gives a pod to end (30 s).
const ENDING: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    let args = Args::parse();
    logs::start(args.log_format);
    // Two threads: one role must not keep another from renewing its lease, and there is little to compute.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ended = runtime.context("no runtime").and_then(|runtime| runtime.block_on(run(args)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be waited for")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be waited for")?;
    let config =
        Config::infer().await.context("neither a kubeconfig nor a pod's ServiceAccount says where the cluster is")?;
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    let client = Client::try_from(config).context("no client")?;
    let client = client::counted(&client, "this cluster's API server", &metrics);
    let (ending, stop) = watch::channel(false);
    let health = Health::default();
    let process = Process {
        client,
        namespace: args.namespace.clone(),
        identity: args.identity(),
        health: health.clone(),
        metrics: metrics.clone(),
        stop: stop.clone(),
    };
    let mut tasks: JoinSet<(&'static str, Result<()>)> = JoinSet::new();
    let listen = args.listen;
    tasks.spawn(async move {
        let served = health::serve(listen, health, metrics, stop).await;
        ("probes", served.with_context(|| format!("{listen} cannot be served (--listen)")))
    });
    roles::start(&args, &process, &mut tasks)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), identity = process.identity, roles = ?args.roles, "started");

    let early = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        first = tasks.join_next() => first,
    };
    ending.send_replace(true);
    if let Some(ended) = early {
        let (name, result) = ended.context("a task was ended")?;
        result.with_context(|| format!("{name} ended"))?;
        bail!("{name} ended although nobody asked for it");
    }
    tracing::info!("asked to end: leases are given back");
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(ENDING, all).await.is_err() {
        tracing::warn!("not everything ended within {} s; its leases run out", ENDING.as_secs());
    }
    Ok(())
}
