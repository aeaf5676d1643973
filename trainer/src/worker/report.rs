//! Rank 0's report, sent by a thread so that training never waits for it. The newest report says all, so older unsent ones
//! are simply replaced. Must not know what is reported.
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use coalition_protocol::messages::TrainerReport;

use crate::gateway::{Backoff, Gateway};

/// Between reports that carry only new live numbers: each makes the site write an object.
const PACE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct State {
    newest: Option<TrainerReport>,
    counter: u64,
    acknowledged: u64,
    urgent: bool,
    closed: bool,
    refused: Option<String>,
}

/// Sends reports of one attempt.
#[derive(Debug)]
pub struct Reporter {
    shared: Arc<(Mutex<State>, Condvar)>,
    previous: Option<TrainerReport>,
}

fn lock(shared: &(Mutex<State>, Condvar)) -> MutexGuard<'_, State> {
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reporter {
    /// Starts a sender.
    pub fn start(gateway: Gateway) -> Self {
        let shared: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let own = shared.clone();
        thread::spawn(move || send_on(&own, &gateway));
        Self { shared, previous: None }
    }

    /// Takes a new report; its counter is set here. What others wait for goes out at once, mere numbers once a second.
    pub fn submit(&mut self, mut report: TrainerReport) {
        report.counter = 0;
        if self.previous.as_ref() == Some(&report) {
            return;
        }
        let urgent = self.previous.as_ref().is_none_or(|old| {
            TrainerReport { progress: report.progress.clone(), ..old.clone() } != report
                || old.progress.waiting_for != report.progress.waiting_for
        });
        self.previous = Some(report.clone());
        let mut state = lock(&self.shared);
        state.counter += 1;
        report.counter = state.counter;
        state.newest = Some(report);
        state.urgent |= urgent;
        self.shared.1.notify_all();
    }

    /// Waits until the newest report is durable behind the gateway. False after `limit`.
    pub fn flush(&self, limit: Duration) -> bool {
        let mut state = lock(&self.shared);
        state.urgent = true;
        self.shared.1.notify_all();
        let (state, _) = self
            .shared
            .1
            .wait_timeout_while(state, limit, |s| s.acknowledged < s.counter && s.refused.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        state.acknowledged >= state.counter
    }

    /// Why the gateway refused a report for good, if it did.
    pub fn refused(&self) -> Option<String> {
        lock(&self.shared).refused.clone()
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        lock(&self.shared).closed = true;
        self.shared.1.notify_all();
    }
}

fn send_on(shared: &(Mutex<State>, Condvar), gateway: &Gateway) {
    let mut last: Option<Instant> = None;
    let mut backoff = Backoff::new();
    loop {
        let report = {
            let mut state = lock(shared);
            loop {
                if state.closed || state.refused.is_some() {
                    return;
                }
                let pending = state.newest.is_some() && state.acknowledged < state.counter;
                let early = last.map_or(Duration::ZERO, |l| PACE.saturating_sub(l.elapsed()));
                if pending && (state.urgent || early.is_zero()) {
                    break;
                }
                let wait = if pending { early } else { HEARTBEAT };
                state = shared.1.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
            }
            state.urgent = false;
            state.newest.clone()
        };
        let Some(report) = report else { continue };
        last = Some(Instant::now());
        match gateway.report(&report) {
            Ok(()) => {
                backoff = Backoff::new();
                let mut state = lock(shared);
                state.acknowledged = state.acknowledged.max(report.counter);
                shared.1.notify_all();
            }
            Err(e) if e.passing() => {
                tracing::debug!("{e}");
                lock(shared).urgent = true;
                thread::sleep(backoff.next());
            }
            Err(e) => {
                let mut state = lock(shared);
                state.refused = Some(e.to_string());
                shared.1.notify_all();
                return;
            }
        }
    }
}

/// How often a sender without work looks up; it is woken when there is some.
const HEARTBEAT: Duration = Duration::from_mins(1);
