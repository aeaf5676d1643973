//! What a machine reads of a trainer: one JSON object a line on standard output, each with the time of the machine's
//! monotonic clock, so that lines of several processes of one machine can be put in order. Must not know what is told.
use std::io::Write;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// Milliseconds since the machine started, counting sleep: comparable between processes of one machine, never between
/// machines. Durations such as the run permit are measured on it.
pub fn boot_millis() -> u64 {
    let t = clock_gettime(ClockId::Boottime);
    t.tv_sec as u64 * 1000 + t.tv_nsec as u64 / 1_000_000
}

#[derive(Serialize)]
struct Line<'a, T> {
    event: &'a str,
    ms: u64,
    #[serde(flatten)]
    what: T,
}

/// Writes one line. A reader that is gone is no reason to stop.
pub fn emit<T: Serialize>(event: &str, what: T) {
    let Ok(mut line) = serde_json::to_vec(&Line { event, ms: boot_millis(), what }) else { return };
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    if out.write_all(&line).and_then(|()| out.flush()).is_err() {
        tracing::debug!(event, "standard output is closed");
    }
}

/// For events that say nothing but that they happened.
#[derive(Serialize)]
pub struct Nothing {}
