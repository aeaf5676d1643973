//! What the leading replica does: requests of the hub become gangs, each gang gets a controller, a courier and a gateway, and gangs
//! that nobody asks for any more go. Must not know what a controller does.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coalition_courier::Courier;
use coalition_crds::names::RUN_LABEL;
use coalition_crds::{Gang, GangSpec, RunHistory, SiteRun};
use coalition_gateway::GangState;
use coalition_kit::watch::Watched;
use coalition_protocol::messages::{Desired, SiteRun as Message};
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::runtime::watcher::Config;
use kube::{Api, Resource as _};
use tokio::task::{AbortHandle, JoinSet};

use crate::admit::admit;
use crate::backend::ClusterSite;
use crate::context::Context;
use crate::gang::Gang as Controller;
use crate::gang_object::GangObject;
use crate::gateway::guard::PodGuard;
use crate::history::History;
use crate::report_object::ReportObject;
use crate::{courier, random_hex};

/// A pass over requests and gangs at least so often.
const TURN: Duration = Duration::from_secs(5);
/// A gang that could not be opened is tried again after so long.
const AGAIN: Duration = Duration::from_secs(1);

/// Leads until it is dropped.
pub async fn lead(ctx: Arc<Context>) {
    let mut tasks = JoinSet::new();
    let mut running: BTreeMap<(String, String), (String, AbortHandle)> = BTreeMap::new();
    let mut refused: BTreeMap<String, ReportObject> = BTreeMap::new();
    loop {
        if ctx.sources.asked.is_ready() {
            for asked in ctx.sources.asked.all() {
                bring_on(&ctx, &asked, &mut refused).await;
            }
        }
        if ctx.sources.waiting().is_none() {
            let gangs = ctx.sources.all_gangs();
            for gang in &gangs {
                let Some(key) = key(gang) else { continue };
                let uid = gang.meta().uid.clone().unwrap_or_default();
                if clear_away(&ctx, gang).await {
                    continue;
                }
                // Another object of the same name is another gang.
                if running.get(&key).is_none_or(|(u, task)| *u != uid || task.is_finished()) {
                    if let Some((_, old)) = running.remove(&key) {
                        old.abort();
                    }
                    let task = tasks.spawn(one(ctx.clone(), key.0.clone(), key.1.clone()));
                    running.insert(key, (uid, task));
                }
            }
            running.retain(|key, (_, task)| {
                let stays = gangs.iter().any(|g| self::key(g).as_ref() == Some(key));
                if !stays {
                    task.abort();
                    ctx.hosted.forget(&key.0, &key.1);
                    ctx.sources.bells.forget(&key.1);
                    ctx.metrics.forget(&key.0, &key.1);
                }
                stays
            });
        }
        while tasks.try_join_next().is_some() {}
        let _ = tokio::time::timeout(TURN, ctx.sources.bells.list.notified()).await;
    }
}

fn key(gang: &Gang) -> Option<(String, String)> {
    Some((gang.meta().namespace.clone()?, gang.meta().name.clone()?))
}

/// Makes the gang that the hub asks for, or says why not.
async fn bring_on(ctx: &Context, asked: &SiteRun, refused: &mut BTreeMap<String, ReportObject>) {
    let run = asked.spec.message.run.to_string();
    match admit(&ctx.settings, &asked.spec) {
        Ok(pair) => {
            refused.remove(&run);
            let wanted = asked.spec.message.desired == Desired::Run;
            if wanted && ctx.sources.gang(&pair.site, &run).is_none() {
                create(ctx, asked, &pair.site, &run).await;
            }
        }
        Err(reasons) => {
            // A gang that runs tells of it in its own report.
            if ctx.sources.all_gangs().iter().any(|g| g.meta().name.as_deref() == Some(&run)) {
                return;
            }
            let object = refused.entry(run.clone()).or_insert_with(|| ReportObject::new(ctx.reports(), &run));
            if let Err(e) = refuse(object, &asked.spec.message, reasons).await {
                tracing::warn!(run, error = %e, "the refusal was not told");
            }
        }
    }
}

async fn refuse(
    object: &mut ReportObject,
    asked: &Message,
    reasons: BTreeMap<String, String>,
) -> Result<(), crate::report_object::Unwritten> {
    object.read().await?;
    let before = object.known();
    if before.as_ref().is_some_and(|b| b.refusals == reasons && b.incarnation == asked.incarnation) {
        return Ok(());
    }
    let report = courier::refusal(asked, reasons).and_then(|spec| spec.run);
    let Some(mut report) = report else { return Ok(()) };
    report.counter = before.map_or(1, |b| b.counter + 1);
    report.nonce.clone_from(&asked.nonce);
    object.write(report).await
}

async fn create(ctx: &Context, asked: &SiteRun, namespace: &str, run: &str) {
    let spec =
        GangSpec { site_run: asked.spec.clone(), site_run_generation: asked.meta().generation.unwrap_or_default() };
    let mut gang = Gang::new(run, spec);
    gang.metadata.namespace = Some(namespace.to_owned());
    gang.metadata.labels = Some([(RUN_LABEL.to_owned(), run.to_owned())].into());
    let api: Api<Gang> = Api::namespaced(ctx.local.clone(), namespace);
    match api.create(&PostParams::default(), &gang).await {
        Ok(_) => tracing::info!(run, namespace, "a gang was made"),
        // The watch is behind: it is there.
        Err(kube::Error::Api(s)) if s.code == 409 => {}
        Err(e) => tracing::warn!(run, namespace, error = %e, "the gang was not made; it is tried again"),
    }
}

/// Deletes a gang whose run has no request any more, seen at a hub that answers, and whose last request was to stop. True if so.
async fn clear_away(ctx: &Context, gang: &Gang) -> bool {
    let Some((namespace, name)) = key(gang) else { return false };
    let last = gang.spec.site_run.message.desired;
    let asks = ctx.asked(&name).is_some() || ctx.asks_unreadably(&name);
    if !ctx.sources.asked.is_ready() || asks || last != Desired::Stop {
        return false;
    }
    let api: Api<Gang> = Api::namespaced(ctx.local.clone(), &namespace);
    let this = Preconditions { uid: gang.meta().uid.clone(), resource_version: None };
    let params = DeleteParams { preconditions: Some(this), ..DeleteParams::background() };
    match api.delete(&name, &params).await {
        Ok(_) => tracing::info!(run = name, "the gang goes: the hub asks for nothing any more"),
        Err(kube::Error::Api(s)) if s.code == 404 || s.code == 409 => {}
        Err(e) => tracing::warn!(run = name, error = %e, "the gang was not deleted; it is tried again"),
    }
    true
}

/// Everything of one gang, for as long as it is polled.
async fn one(ctx: Arc<Context>, namespace: String, name: String) {
    let (site, courier) = loop {
        match open(&ctx, &namespace, &name).await {
            Ok(opened) => break opened,
            Err(e) => {
                tracing::warn!(gang = name, error = %e, "the gang was not taken over; it is tried again");
                tokio::time::sleep(AGAIN).await;
            }
        }
    };
    let mut watches = JoinSet::new();
    let reference = site.object().seen().spec.site_run.training_run.clone();
    let api = Api::namespaced(ctx.hub.clone(), &reference.namespace);
    let (history, uid) = (site.history().clone(), name.clone());
    let config = Config::default().fields(&format!("metadata.name={name}"));
    let _seen = Watched::start(&mut watches, "RunHistory", api, config, move |h: &RunHistory| {
        if h.spec.run_id == uid {
            history.seen(h);
        }
    });
    let guard = PodGuard { keys: ctx.keys.clone(), namespace: namespace.clone(), site: site.clone() };
    let Ok(life) = random_hex() else { return };
    let options = coalition_gateway::Options::new(site.workers(), guard);
    ctx.hosted.host(&namespace, &name, coalition_gateway::router(site.clone(), options, life));
    let controller = Controller::new(ctx.clone(), &namespace, &name, site.clone());
    tokio::select! {
        () = controller.keep() => {}
        () = courier::keep(ctx.clone(), site, courier) => {}
    }
    ctx.hosted.forget(&namespace, &name);
}

#[derive(Debug, thiserror::Error)]
enum NotOpened {
    #[error(transparent)]
    Object(#[from] crate::gang_object::GangError),
    #[error(transparent)]
    Report(#[from] crate::report_object::Unwritten),
    #[error(transparent)]
    Courier(#[from] coalition_courier::CourierError),
}

async fn open(ctx: &Context, namespace: &str, name: &str) -> Result<(Arc<ClusterSite>, Courier), NotOpened> {
    let (object, mut state) = GangObject::open(&ctx.local, namespace, name, ctx.leads.clone()).await?;
    let mut report = ReportObject::new(ctx.reports(), name);
    if object.seen().status.is_none() {
        // A gang without a status may have had one in an earlier life: attempts and failures go on from the last report, for a
        // lower attempt would be shut out by the fences that stand in the site's log. Without a hub nobody knows.
        report.read().await?;
        if let Some(known) = report.known() {
            state = GangState::recovered(&known.gang);
        }
    }
    let asked = object.seen().spec.site_run.message.clone();
    let history = Arc::new(History::new(asked.run.clone(), ctx.store.clone()));
    let options =
        coalition_courier::Options { site: asked.site.clone(), token: ctx.exchange_token.clone(), lag: Duration::ZERO };
    let courier = Courier::new(options, ctx.store.clone())?;
    Ok((ClusterSite::new(object, state, report, history), courier))
}
