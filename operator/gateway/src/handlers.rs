//! One function for each route. Each reads, asks a pure function, makes the result durable, and only then answers.
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::{Extension, Json};
use coalition_protocol::Seq;
use coalition_protocol::messages::{
    ExitReport, JoinReply, JoinRequest, Permit, PermitRequest, TrainerReport, ViewReply,
};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::backend::SiteBackend;
use crate::gang::Step;
use crate::guard::Caller;
use crate::orders;
use crate::refusal::Refusal;
use crate::router::{App, Body};

type Shared<B> = State<Arc<App<B>>>;

/// Longest wait of one view: below the idle limits of common proxies (60 s).
const MAX_VIEW_WAIT: Duration = Duration::from_secs(30);
/// Most records in one view: some 2 KiB each, so an answer stays within a few MiB; the rest comes with the next.
const MAX_RECORDS: usize = 1024;

pub(crate) async fn join<B: SiteBackend>(
    State(app): Shared<B>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<JoinRequest>,
) -> Result<Json<JoinReply>, Refusal> {
    caller.speaks_for(request.worker)?;
    let deadline = Instant::now() + app.options.join_wait;
    let mut changes = app.backend.changes();
    loop {
        changes.borrow_and_update();
        let snapshot = app.backend.snapshot();
        if snapshot.over {
            return Err(Refusal::RunOver("the run is over: no gang is formed any more".to_owned()));
        }
        let gang = app.backend.gang().await?;
        match gang.value.join(&request, app.options.workers, &fresh_token()?)? {
            Step::Answer(reply) => return Ok(Json(reply)),
            Step::Swap(next) => {
                app.backend.swap_gang(gang.version, *next).await?;
            }
            Step::Wait => {
                if !matches!(timeout_at(deadline, changes.changed()).await, Ok(Ok(()))) {
                    let missing: Vec<String> = (0..app.options.workers)
                        .filter(|w| !gang.value.joining.contains_key(w))
                        .map(|w| w.to_string())
                        .collect();
                    return Err(Refusal::Unavailable(format!(
                        "attempt {} waits for worker {}: ask again",
                        gang.value.in_force(),
                        missing.join(", ")
                    )));
                }
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ViewQuery {
    after: Option<u64>,
    version: Option<u64>,
    gateway: Option<String>,
    #[serde(default)]
    wait_millis: u64,
}

pub(crate) async fn view<B: SiteBackend>(
    State(app): Shared<B>,
    query: Result<Query<ViewQuery>, QueryRejection>,
) -> Result<Json<ViewReply>, Refusal> {
    let Query(query) = query.map_err(|e| Refusal::BadRequest(format!("the query of /v1/view: {e}")))?;
    let deadline = Instant::now() + Duration::from_millis(query.wait_millis).min(MAX_VIEW_WAIT);
    let mut changes = app.backend.changes();
    // A version of another life of this gateway says nothing: answer at once.
    let known = query.version.filter(|_| query.gateway.as_deref() == Some(app.life.as_str()));
    loop {
        let version = *changes.borrow_and_update();
        let late = Instant::now() >= deadline;
        if known.is_some_and(|k| version <= k) && !late {
            let _ = timeout_at(deadline, changes.changed()).await;
            continue;
        }
        let gang = app.backend.gang().await?.value;
        let records = app.backend.records(query.after.map(Seq), MAX_RECORDS).await?;
        let snapshot = app.backend.snapshot();
        let Some(site_run) = snapshot.site_run else {
            return Err(Refusal::Unavailable("this site has no part in a run yet: ask again".to_owned()));
        };
        return Ok(Json(ViewReply {
            version,
            gateway: app.life.clone(),
            site_run: (*site_run).clone(),
            records,
            held: snapshot.held,
            attempt: gang.in_force(),
            store_lost: snapshot.store_lost,
        }));
    }
}

pub(crate) async fn report<B: SiteBackend>(
    State(app): Shared<B>,
    Body(part): Body<TrainerReport>,
) -> Result<Json<serde_json::Value>, Refusal> {
    let snapshot = app.backend.snapshot();
    let Some(site_run) = snapshot.site_run else {
        return Err(Refusal::Unavailable("this site has no part in a run yet: ask again".to_owned()));
    };
    orders::check_fence(&part, &site_run, &app.backend.gang().await?.value)?;
    app.backend.report(part).await?;
    Ok(Json(serde_json::json!({})))
}

pub(crate) async fn exit<B: SiteBackend>(
    State(app): Shared<B>,
    Extension(caller): Extension<Caller>,
    Body(report): Body<ExitReport>,
) -> Result<Json<Permit>, Refusal> {
    caller.speaks_for(report.worker)?;
    if report.worker >= app.options.workers {
        return Err(Refusal::BadRequest(format!(
            "worker {} does not exist: this site's gang has {} workers, numbered from 0",
            report.worker, app.options.workers
        )));
    }
    loop {
        let snapshot = app.backend.snapshot();
        let permit = orders::permit(&snapshot);
        let gang = app.backend.gang().await?;
        let Some(next) = gang.value.exited(&report, permit.orders) else { return Ok(Json(permit)) };
        let next = next.damaged_by(&report, snapshot.site_run.map(|r| r.incarnation));
        if app.backend.swap_gang(gang.version, next).await? {
            return Ok(Json(permit));
        }
    }
}

pub(crate) async fn permit<B: SiteBackend>(
    State(app): Shared<B>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<PermitRequest>,
) -> Result<Json<Permit>, Refusal> {
    caller.speaks_for(request.worker)?;
    if request.worker >= app.options.workers {
        return Err(Refusal::BadRequest(format!("worker {} does not exist", request.worker)));
    }
    tracing::trace!(worker = request.worker, process = %request.process, "permit renewed");
    app.backend.still(request.worker, &request.process, Duration::from_millis(request.still_millis));
    Ok(Json(orders::permit(&app.backend.snapshot())))
}

/// 32 random bytes, hexadecimal.
fn fresh_token() -> Result<String, Refusal> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| Refusal::Unavailable(format!("the system gives no random bytes: {e}")))?;
    Ok(hex::encode(bytes))
}
