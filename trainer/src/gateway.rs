//! The client of the site's gateway: deadlines on every call, bounded backoff without jitter, answers that are idempotent.
//! Must not know what is done with the answers.
use std::fmt::Write;
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
            Self::Unreachable { .. } => "Unreachable",
        }
    }
    /// True if the same call may succeed later.
    pub fn passing(&self) -> bool {
        matches!(self.reason(), "Unreachable" | "Unavailable")
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
    bearer: String,
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
        let bearer = format!("Bearer {}", config.token()?);
        Ok(Self { agent, base: config.gateway.trim_end_matches('/').to_owned(), bearer })
    }

    fn finish<T: DeserializeOwned>(
        path: &'static str,
        sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<T, GatewayError> {
        let broken = |e: ureq::Error| GatewayError::Unreachable { path, what: e.to_string() };
        let mut answer = sent.map_err(broken)?;
        if answer.status().is_success() {
            return answer.body_mut().with_config().limit(LARGEST).read_json().map_err(broken);
        }
        let status = answer.status();
        let reply = answer.body_mut().with_config().limit(1 << 16).read_json::<ErrorReply>();
        Err(match reply {
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
        let request = self.agent.post(format!("{}{path}", self.base)).header("Authorization", &self.bearer);
        Self::finish(path, request.config().timeout_global(Some(limit)).build().send_json(body))
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
        let request = self.agent.get(url).header("Authorization", &self.bearer);
        Self::finish("/v1/view", request.config().timeout_global(Some(wait + CALL)).build().call())
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
