//! The probes and the metrics of one process. Ready means that every watch it lives by has seen all there is; a standby is
//! ready, for it takes over at once. Must not know which roles there are.
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::metrics::Metrics;

type Check = Box<dyn Fn() -> bool + Send + Sync>;

/// What must be so before this process is ready.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<Mutex<Vec<(String, Check)>>>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").field("missing", &self.missing()).finish()
    }
}

impl Health {
    /// Wants this to be so, under a name that people are told while it is not.
    pub fn require(&self, name: &str, is_so: impl Fn() -> bool + Send + Sync + 'static) {
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.push((name.to_owned(), Box::new(is_so)));
    }

    /// What is not so yet; a process that wants nothing yet has not begun.
    pub fn missing(&self) -> Vec<String> {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        if checks.is_empty() {
            return vec!["its roles have not begun".to_owned()];
        }
        checks.iter().filter(|(_, is_so)| !is_so()).map(|(name, _)| name.clone()).collect()
    }
}

/// Answers on `listen` until `stop` is true; the address it got is sent first.
pub async fn serve(
    listen: SocketAddr,
    health: Health,
    metrics: Arc<Metrics>,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    tracing::info!(address = %listener.local_addr()?, "probes and metrics are served");
    let ended = async move {
        // A sender that is gone asks for the same.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    axum::serve(listener, router(health, metrics)).with_graceful_shutdown(ended).await
}

fn router(health: Health, metrics: Arc<Metrics>) -> Router {
    let ready = get(|State(health): State<Health>| async move {
        let missing = health.missing();
        if missing.is_empty() {
            (StatusCode::OK, "ready\n".to_owned())
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join(", ")))
        }
    });
    let text = move || {
        let metrics = metrics.clone();
        async move {
            ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], metrics.text())
                .into_response()
        }
    };
    // That it answers at all is the sign of life: whatever a role cannot go on without ends the process.
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", ready)
        .route("/metrics", get(text))
        .with_state(health)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_process_is_ready_once_all_is_so_and_not_before_it_began() {
        let health = Health::default();
        assert_eq!(health.missing().len(), 1, "nothing has begun");
        let (one, two) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        let (a, b) = (one.clone(), two.clone());
        health.require("one", move || a.load(Ordering::Relaxed));
        health.require("two", move || b.load(Ordering::Relaxed));
        assert_eq!(health.missing(), ["one"]);
        one.store(true, Ordering::Relaxed);
        assert!(health.missing().is_empty());
        two.store(false, Ordering::Relaxed);
        assert_eq!(health.missing(), ["two"], "what was so once need not be so now");
    }
}
