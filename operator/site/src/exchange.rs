//! The exchange: what couriers of other sites may read of this site's store, for all runs on one listener, by path. Every replica
//! serves. Must not decide what is served: that is the courier's.
use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use coalition_protocol::RunId;
use coalition_store::Store;
use tower::Service as _;

use crate::sources::Sources;

/// What the listener needs.
#[derive(Debug)]
pub struct Exchange {
    /// The site's store.
    pub store: Store,
    /// Which runs there are.
    pub sources: Arc<Sources>,
    /// The token that couriers of the coalition share.
    pub token: String,
}

/// The listener's service.
pub fn service(exchange: Arc<Exchange>) -> Router {
    Router::new().fallback(answer).with_state(exchange)
}

async fn answer(State(exchange): State<Arc<Exchange>>, request: Request) -> Response {
    let found = request.uri().path().strip_prefix("/runs/").and_then(|p| p.split_once('/'));
    let run: Option<(RunId, String)> = found.and_then(|(r, rest)| Some((r.parse().ok()?, format!("/{rest}"))));
    let Some((run, rest)) = run else { return StatusCode::NOT_FOUND.into_response() };
    let known = exchange.sources.all_gangs().iter().any(|g| g.spec.site_run.message.run == run);
    let Ok(uri) = rest.parse() else { return StatusCode::BAD_REQUEST.into_response() };
    if !known {
        return StatusCode::NOT_FOUND.into_response();
    }
    let mut router = coalition_courier::router(exchange.store.clone(), run, &exchange.token);
    let (mut parts, body) = request.into_parts();
    parts.uri = uri;
    let done: Result<Response, Infallible> = router.call(Request::from_parts(parts, body)).await;
    done.unwrap_or_else(|never| match never {})
}
