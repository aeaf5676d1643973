//! The client of the site's gateway: deadlines on every call, bounded backoff without jitter, answers that are idempotent.
//! Must not know what is done with the answers.
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use coalition_protocol::Seq;
use coalition_protocol::messages::{
    ErrorReply, ExitReport, JoinReply, JoinRequest, Permit, PermitRequest, TrainerReport, ViewReply,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::WorkerConfig;
use crate::failure::Failure;

/// A call that is answered at once: generous for a write to a slow disk behind the gateway.
const CALL: Duration = Duration::from_secs(10);
/// A join is held for about 20 s while the gang is incomplete; this is that and some.
const JOIN: Duration = Duration::from_secs(30);
/// Connecting on a machine or inside a site.
const CONNECT: Duration = Duration::from_secs(2);
/// The largest answer taken: a view with 1024 records of 32 KiB.
const LARGEST: u64 = 64 << 20;
/// A gateway that knows no token of this worker is asked again for so long: it may hear of a new pod after the pod asks, and a
/// machine that slept wakes up with a token that has ended, which its kubelet replaces within two minutes.
const UNKNOWN: Duration = Duration::from_mins(5);
/// First and longest pause between tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The gateway answered with a refusal.
    #[error("the gateway refused {path}: {reason}: {message}")]
    Refused {
        /// What was asked.
        path: &'static str,
        /// A name from the closed list of `ErrorReply`.
        reason: String,
        /// For people.
        message: String,
    },
    /// The gateway does not take this worker's token.
    #[error("the gateway refused {path}: Unauthorized: {message}")]
    Unauthorized {
        /// What was asked.
        path: &'static str,
        /// For people.
        message: String,
        /// It has been so for [`UNKNOWN`].
        lasting: bool,
    },
    /// It did not answer, or not in time.
    #[error("the gateway does not answer {path}: {what}")]
    Unreachable {
        /// What was asked.
        path: &'static str,
        /// What happened.
        what: String,
    },
}

impl GatewayError {
    /// The closed-list name of a refusal.
    pub fn reason(&self) -> &str {
        match self {
            Self::Refused { reason, .. } => reason,
            Self::Unauthorized { .. } => "Unauthorized",
            Self::Unreachable { .. } => "Unreachable",
        }
    }
    /// True if the same call may succeed later.
    pub fn passing(&self) -> bool {
        matches!(self.reason(), "Unreachable" | "Unavailable")
            || matches!(self, Self::Unauthorized { lasting: false, .. })
    }
}

/// Pauses between tries: 20 ms, doubling up to 1 s. Without jitter, since one site has few workers and a test must repeat.
#[derive(Debug)]
pub struct Backoff(Duration);

impl Backoff {
    /// The first pause comes next.
    pub const fn new() -> Self {
        Self(PAUSE.0)
    }
    /// The next pause.
    pub fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = (self.0 * 2).min(PAUSE.1);
        now
    }
}

/// The client. Cheap to clone; connections are kept.
#[derive(Clone, Debug)]
pub struct Gateway {
    agent: ureq::Agent,
    base: String,
    config: Arc<WorkerConfig>,
    unauthorized: Arc<Mutex<Option<Instant>>>,
}

impl Gateway {
    /// A client for the gateway of this configuration.
    pub fn new(config: &WorkerConfig) -> Result<Self, Failure> {
        let agent = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT))
            .http_status_as_error(false)
            // A proxy meant for the outside must never see what is said inside a site.
            .proxy(None)
            .build()
            .new_agent();
        // Without any token at the start there is nothing to wait for.
        config.token()?;
        let base = config.gateway.trim_end_matches('/').to_owned();
        Ok(Self { agent, base, config: Arc::new(config.clone()), unauthorized: Arc::default() })
    }

    /// The token as it is now: a projected one is replaced while the worker runs.
    fn bearer(&self, path: &'static str) -> Result<String, GatewayError> {
        let token = self.config.token().map_err(|f| GatewayError::Unreachable { path, what: f.message })?;
        Ok(format!("Bearer {token}"))
    }

    fn finish<T: DeserializeOwned>(
        &self,
        path: &'static str,
        sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<T, GatewayError> {
        let broken = |e: ureq::Error| GatewayError::Unreachable { path, what: e.to_string() };
        let mut answer = sent.map_err(broken)?;
        let since = {
            let mut since = self.unauthorized.lock().unwrap_or_else(PoisonError::into_inner);
            let refused = answer.status() == ureq::http::StatusCode::UNAUTHORIZED;
            *since = if refused { Some(since.unwrap_or_else(Instant::now)) } else { None };
            *since
        };
        if answer.status().is_success() {
            return answer.body_mut().with_config().limit(LARGEST).read_json().map_err(broken);
        }
        let status = answer.status();
        let reply = answer.body_mut().with_config().limit(1 << 16).read_json::<ErrorReply>();
        Err(match reply {
            Ok(ErrorReply { message, .. }) if since.is_some() => {
                GatewayError::Unauthorized { path, message, lasting: since.is_some_and(|t| t.elapsed() > UNKNOWN) }
            }
            Ok(r) => GatewayError::Refused { path, reason: r.reason, message: r.message },
            Err(_) => GatewayError::Unreachable { path, what: format!("status {status} without a reason") },
        })
    }

    fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &'static str,
        body: &B,
        limit: Duration,
    ) -> Result<T, GatewayError> {
        let request = self.agent.post(format!("{}{path}", self.base)).header("Authorization", self.bearer(path)?);
        self.finish(path, request.config().timeout_global(Some(limit)).build().send_json(body))
    }

    /// Asks to be part of the gang; answered once all workers have joined.
    pub fn join(&self, request: &JoinRequest) -> Result<JoinReply, GatewayError> {
        self.post("/v1/join", request, JOIN)
    }

    /// The newest view: records after `after`, at once if `known` (version, gateway's life) is not the newest, else when
    /// something changes or after `wait`.
    pub fn view(
        &self,
        after: Option<Seq>,
        known: Option<(u64, &str)>,
        wait: Duration,
    ) -> Result<ViewReply, GatewayError> {
        let mut url = format!("{}/v1/view?waitMillis={}", self.base, wait.as_millis());
        if let Some(seq) = after {
            let _ = write!(url, "&after={seq}");
        }
        if let Some((version, gateway)) = known {
            let _ = write!(url, "&version={version}&gateway={gateway}");
        }
        let request = self.agent.get(url).header("Authorization", self.bearer("/v1/view")?);
        self.finish("/v1/view", request.config().timeout_global(Some(wait + CALL)).build().call())
    }

    /// Reports; answered once it is durable.
    pub fn report(&self, report: &TrainerReport) -> Result<(), GatewayError> {
        self.post::<_, serde_json::Value>("/v1/report", report, CALL).map(|_| ())
    }

    /// Tells that a worker process ended, and asks what to do.
    pub fn exit(&self, report: &ExitReport, limit: Duration) -> Result<Permit, GatewayError> {
        self.post("/v1/exit", report, limit)
    }

    /// Renews the run permit.
    pub fn permit(&self, request: &PermitRequest) -> Result<Permit, GatewayError> {
        self.post("/v1/permit", request, CALL)
    }
}

/// Calls until it succeeds, fails for good, or `until` has passed.
pub fn retry<T>(until: Instant, mut call: impl FnMut() -> Result<T, GatewayError>) -> Result<T, GatewayError> {
    let mut backoff = Backoff::new();
    loop {
        match call() {
            Err(e) if e.passing() && Instant::now() < until => std::thread::sleep(backoff.next()),
            done => return done,
        }
    }
}
