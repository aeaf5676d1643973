//! The routes, what stands before them (guard, body bound), and JSON for every answer, errors included.
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;

use crate::backend::SiteBackend;
use crate::guard::Guard;
use crate::handlers;
use crate::refusal::Refusal;

/// Longest request body. A report's largest part is its chunk digests: 67 bytes for each 2^22 elements of θ and of u, so
/// this holds a model of 16 billion parameters; an exit report holds 8 KiB of log.
const MAX_BODY: usize = 1 << 19;

/// How a gateway is set up.
#[derive(Clone)]
pub struct Options {
    /// Workers of this site's gang, at least 1.
    pub workers: u32,
    /// Who may talk to it.
    pub guard: Arc<dyn Guard>,
    /// How long a join waits for the others before it is answered 503 (ask again).
    pub join_wait: Duration,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("workers", &self.workers)
            .field("join_wait", &self.join_wait)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// With the usual join wait of 20 s: longer than any start of a worker, shorter than a client's own deadline.
    pub fn new(workers: u32, guard: impl Guard) -> Self {
        Self { workers, guard: Arc::new(guard), join_wait: Duration::from_secs(20) }
    }
}

pub(crate) struct App<B> {
    pub(crate) backend: Arc<B>,
    pub(crate) options: Options,
    /// Names this life of the gateway: versions of another life mean nothing.
    pub(crate) life: String,
}

/// The gateway as a service. `life` names this life of it and must be fresh (random) at every start.
pub fn router<B: SiteBackend>(backend: Arc<B>, options: Options, life: impl Into<String>) -> Router {
    let app = Arc::new(App { backend, options, life: life.into() });
    Router::new()
        .route("/v1/join", post(handlers::join::<B>))
        .route("/v1/view", get(handlers::view::<B>))
        .route("/v1/report", post(handlers::report::<B>))
        .route("/v1/exit", post(handlers::exit::<B>))
        .route("/v1/permit", post(handlers::permit::<B>))
        .route_layer(middleware::from_fn_with_state(app.clone(), authorised::<B>))
        .route("/healthz", get(|| async { Json(serde_json::json!({"status": "ok"})) }))
        .fallback(|r: Request| async move {
            Refusal::NotFound(format!("{} {} is not part of this interface", r.method(), r.uri().path()))
        })
        .method_not_allowed_fallback(|r: Request| async move {
            Refusal::BadRequest(format!("{} does not answer {}", r.uri().path(), r.method()))
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(app)
}

async fn authorised<B: SiteBackend>(
    State(app): State<Arc<App<B>>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let given = given.and_then(|v| v.strip_prefix("Bearer ")).unwrap_or_default();
    let caller = app.options.guard.caller(given).await?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// A JSON body whose refusal is JSON as well.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;
    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let path = request.uri().path().to_owned();
        let bytes = Bytes::from_request(request, state).await.map_err(|e| {
            if e.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Refusal::TooLarge(format!("the body of {path} is longer than {MAX_BODY} bytes"))
            } else {
                Refusal::BadRequest(format!("the body of {path} could not be read: {e}"))
            }
        })?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|e| Refusal::BadRequest(format!("the body of {path} is not what is expected: {e}")))
    }
}
