//! What a machine reads of a trainer: one JSON object a line on standard output. `ms` is the machine's monotonic clock, by
//! which lines of several processes of one machine are put in order; `at` is the time of day (UTC, RFC 3339), for people who
//! compare with something else: it may jump. `rank` and `attempt`, once known, say who of a gang speaks: lines of all ranks can
//! be merged. Must not know what is told.
use std::io::Write;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use coalition_protocol::Attempt;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// Milliseconds since the machine started, counting sleep: comparable between processes of one machine, never between
/// machines. Durations such as the run permit are measured on it.
pub fn boot_millis() -> u64 {
    let t = clock_gettime(ClockId::Boottime);
    t.tv_sec as u64 * 1000 + t.tv_nsec as u64 / 1_000_000
}

/// Which worker this process is; none before its configuration was read. No gang has so many workers.
static RANK: AtomicU32 = AtomicU32::new(u32::MAX);
/// The attempt it has a seat in; attempts count from 1.
static ATTEMPT: AtomicU64 = AtomicU64::new(0);

/// This process is, or keeps, the worker of this rank: every line says so from now on.
pub fn is_rank(rank: u32) {
    RANK.store(rank, Ordering::Relaxed);
}

/// It has a seat in this attempt.
pub fn is_in(attempt: Attempt) {
    ATTEMPT.store(attempt.0, Ordering::Relaxed);
}

/// Who speaks: rank and attempt, as far as known.
pub fn speaker() -> (Option<u32>, Option<u64>) {
    let (rank, attempt) = (RANK.load(Ordering::Relaxed), ATTEMPT.load(Ordering::Relaxed));
    ((rank != u32::MAX).then_some(rank), (attempt != 0).then_some(attempt))
}

#[derive(Serialize)]
struct Line<'a, T> {
    event: &'a str,
    ms: u64,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rank: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u64>,
    #[serde(flatten)]
    what: T,
}

fn line<T: Serialize>(event: &str, what: T) -> serde_json::Result<Vec<u8>> {
    let at = format!("{:.3}", jiff::Timestamp::now());
    let (rank, attempt) = speaker();
    serde_json::to_vec(&Line { event, ms: boot_millis(), at, rank, attempt, what })
}

/// Writes one line. A reader that is gone is no reason to stop.
pub fn emit<T: Serialize>(event: &str, what: T) {
    let Ok(mut line) = line(event, what) else { return };
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    if out.write_all(&line).and_then(|()| out.flush()).is_err() {
        tracing::debug!(event, "standard output is closed");
    }
}

/// For events that say nothing but that they happened.
#[derive(Serialize)]
pub struct Nothing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_both_clocks() {
        let text = String::from_utf8(line("step", serde_json::json!({"round": 3})).unwrap()).unwrap();
        // The supervisor looks for events by how a line begins.
        assert!(text.starts_with(r#"{"event":"step","ms":"#), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((value["round"].as_u64(), value["ms"].is_u64()), (Some(3), true));
        let at = value["at"].as_str().unwrap();
        assert!(at.len() == 24 && at.ends_with('Z') && at.parse::<jiff::Timestamp>().is_ok(), "{at}");
    }
}
