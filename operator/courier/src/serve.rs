//! The serving side: other sites' couriers read contributions, run checkpoints and history from this store, nothing else.
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use coalition_protocol::messages::ErrorReply;
use coalition_protocol::{Digest, RunId, keys};

use coalition_store::Store;

struct App {
    own: Store,
    run: RunId,
    token: Digest,
}

/// The objects of `run` that other sites may read, for callers that carry `token`.
pub fn router(own: Store, run: RunId, token: &str) -> Router {
    let app = Arc::new(App { own, run, token: Digest::of(token.as_bytes()) });
    Router::new()
        .route("/v1/objects/{*key}", get(object))
        .route("/healthz", get(|| async { Json(serde_json::json!({"status": "ok"})) }))
        .fallback(|r: Request| async move {
            refuse(StatusCode::NOT_FOUND, "NotFound", format!("{} is not part of this interface", r.uri().path()))
        })
        .method_not_allowed_fallback(|r: Request| async move {
            refuse(StatusCode::BAD_REQUEST, "BadRequest", format!("{} does not answer {}", r.uri().path(), r.method()))
        })
        .with_state(app)
}

/// True if other sites may read `key` of `run`: never the commit log, site checkpoints, opening entries, or other runs.
pub fn is_served(run: &RunId, key: &str) -> bool {
    let history = format!("{}/history", keys::run(run));
    let plain = |s: &str| {
        !s.is_empty()
            && !s.starts_with('.')
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    key.split('/').all(plain)
        && [keys::contributions(run), keys::checkpoints(run), history]
            .iter()
            .any(|folder| key.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/')))
}

async fn object(State(app): State<Arc<App>>, headers: HeaderMap, Path(key): Path<String>) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let given = given.and_then(|v| v.strip_prefix("Bearer ")).unwrap_or_default();
    if Digest::of(given.as_bytes()) != app.token {
        let message = "the bearer token is missing or not the one of this exchange".to_owned();
        return refuse(StatusCode::UNAUTHORIZED, "Unauthorized", message);
    }
    if !is_served(&app.run, &key) {
        let message = "only contributions, run checkpoints and history of the run are served".to_owned();
        return refuse(StatusCode::NOT_FOUND, "NotFound", message);
    }
    match crate::stock::get(&app.own, &key, u64::MAX).await {
        Ok(Some(bytes)) => ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response(),
        Ok(None) => refuse(StatusCode::NOT_FOUND, "NotFound", format!("this site's store has no {key}")),
        Err(e) => refuse(StatusCode::SERVICE_UNAVAILABLE, "Unavailable", e.to_string()),
    }
}

fn refuse(status: StatusCode, reason: &str, message: String) -> Response {
    (status, Json(ErrorReply { reason: reason.to_owned(), message })).into_response()
}
