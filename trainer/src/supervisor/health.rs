//! Whether the worker is ready, and the small HTTP server that says so: for a probe that costs a pod nothing, where a process
//! started for each question would load the whole tensor library. Must not know who asks, nor what follows.
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use coalition_protocol::{Attempt, exit};

use super::pulse::Shared;
use crate::failure::Failure;

/// Where it is asked.
pub(crate) const PATH: &str = "/readyz";
/// A worker without a sign of life for so long is not ready; the usual ones come every two seconds, and the write of a large
/// checkpoint to a slow store may take a few of them.
const QUIET: Duration = Duration::from_mins(1);

/// What the supervisor knows of its worker. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Health(Arc<Mutex<Worker>>);

#[derive(Debug, Default)]
struct Worker {
    pulse: Option<Shared>,
    joined: Option<Attempt>,
    leaving: bool,
}

impl Health {
    fn lock(&self) -> MutexGuard<'_, Worker> {
        // Plain values, each written whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process was started.
    pub fn started(&self, pulse: Shared) {
        *self.lock() = Worker { pulse: Some(pulse), joined: None, leaving: false };
    }

    /// It has a seat in a gang that is complete.
    pub fn joined(&self, attempt: Attempt) {
        self.lock().joined = Some(attempt);
    }

    /// It lost its gang and asks for another seat.
    pub fn parted(&self) {
        self.lock().joined = None;
    }

    /// It ended.
    pub fn ended(&self) {
        *self.lock() = Worker::default();
    }

    /// It was told to leave.
    pub fn leaving(&self) {
        self.lock().leaving = true;
    }

    /// `Ok` if the worker has joined an attempt and lives; both say it in words.
    fn ready(&self) -> Result<String, String> {
        let worker = self.lock();
        let Some(pulse) = &worker.pulse else { return Err("the worker process does not run".to_owned()) };
        let still = pulse.still();
        match worker.joined {
            _ if worker.leaving => Err("the worker was told to leave".to_owned()),
            None => Err("the worker has not joined its gang yet".to_owned()),
            Some(_) if still >= QUIET => Err(format!("the worker has shown no sign of life for {} s", still.as_secs())),
            Some(attempt) => Ok(format!("the worker is in attempt {attempt}")),
        }
    }

    /// Answers at `address` until the process ends.
    pub fn serve(&self, address: &str) -> Result<(), Failure> {
        let bad = |what: String| {
            Failure::new(exit::CONFIG, format!("health {address}: {what}; choose a free port of this machine"))
        };
        let listener = TcpListener::bind(address).map_err(|e| bad(format!("cannot be bound: {e}")))?;
        listener.set_nonblocking(true).map_err(|e| bad(e.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| bad(format!("cannot be served: {e}")))?;
        let routes = Router::new().route(PATH, get(answer)).with_state(self.clone());
        thread::spawn(move || {
            runtime.block_on(async move {
                let served = match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => axum::serve(listener, routes).await,
                    Err(e) => Err(e),
                };
                if let Err(e) = served {
                    tracing::error!("readiness is no longer answered: {e}");
                }
            });
        });
        Ok(())
    }
}

async fn answer(State(health): State<Health>) -> (StatusCode, String) {
    match health.ready() {
        Ok(how) => (StatusCode::OK, how + "\n"),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why + "\n"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn ready_is_joined_and_alive() {
        let (h, pulse) = (Health::default(), Shared::new(None));
        assert!(h.ready().unwrap_err().contains("does not run"));
        h.started(pulse.clone());
        assert!(h.ready().unwrap_err().contains("not joined"));
        h.joined(Attempt(3));
        assert!(h.ready().unwrap().contains("attempt 3"));
        let start = Instant::now();
        for second in 0..61 {
            pulse.pass(start + Duration::from_secs(second));
        }
        assert!(h.ready().unwrap_err().contains("no sign of life for 60 s"));
        pulse.beat();
        assert!(h.ready().is_ok());
        h.parted();
        assert!(h.ready().is_err());
        h.joined(Attempt(4));
        h.leaving();
        assert!(h.ready().unwrap_err().contains("told to leave"));
        h.started(pulse);
        assert!(h.ready().is_err(), "a new process joins by itself");
    }
}
