//! A server that does not answer: said once for each outage, with what is away and since when, and once when it is back, however
//! many requests fail meanwhile. Must not know what is asked of it.
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// A server that answers nothing for so long is away: less is a restart of a connection. As long as between two tries for a
/// Lease, which is asked for always.
pub const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug)]
struct Silence {
    since: Instant,
    /// The same by the clock on the wall, for people.
    date: Timestamp,
    said: bool,
}

/// What is known of one server.
#[derive(Clone, Debug)]
pub struct Outage {
    what: &'static str,
    silence: Arc<Mutex<Option<Silence>>>,
}

impl Outage {
    /// A server, as people call it. It counts as well until a request fails.
    pub fn of(what: &'static str) -> Self {
        Self { what, silence: Arc::default() }
    }

    /// A request was answered, if only by a refusal.
    pub fn answered(&self) {
        let before = self.locked(Option::take);
        if let Some(silence) = before.filter(|s| s.said) {
            let seconds = silence.since.elapsed().as_secs();
            tracing::info!(server = self.what, seconds, "it answers again");
        }
    }

    /// A request that began at `begun` failed for the server's sake.
    pub fn failed(&self, begun: Instant, error: &dyn Display) {
        let news = self.locked(|silence| {
            let date = || Timestamp::now() - jiff::SignedDuration::try_from(begun.elapsed()).unwrap_or_default();
            let silence = silence.get_or_insert_with(|| Silence { since: begun, date: date(), said: false });
            let due = !silence.said && silence.since.elapsed() >= PATIENCE;
            silence.said |= due;
            due.then_some(silence.date)
        });
        if let Some(since) = news {
            let error = error.to_string();
            tracing::warn!(
                server = self.what,
                %since,
                error,
                "it does not answer; what needs it waits and tries again. This is said once"
            );
        }
    }

    /// Watches over one request: one that is given up without an answer failed too.
    pub fn asks(&self) -> Asked<'_> {
        Asked { outage: self, begun: Instant::now(), done: false }
    }

    fn locked<T>(&self, f: impl FnOnce(&mut Option<Silence>) -> T) -> T {
        f(&mut self.silence.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A request on its way.
#[derive(Debug)]
pub struct Asked<'a> {
    outage: &'a Outage,
    begun: Instant,
    done: bool,
}

impl Asked<'_> {
    /// It was answered.
    pub fn answered(mut self) {
        self.done = true;
        self.outage.answered();
    }

    /// It failed for the server's sake.
    pub fn failed(mut self, error: &dyn Display) {
        self.done = true;
        self.outage.failed(self.begun, error);
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.done && self.begun.elapsed() >= PATIENCE {
            self.outage.failed(self.begun, &"no answer");
        }
    }
}

/// True if the error says that the server is away, or cannot answer anybody now.
pub fn is_away(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code >= 500,
        kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::ReadEvents(_) => true,
        _ => false,
    }
}
