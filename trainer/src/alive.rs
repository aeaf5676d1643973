//! The worker's sign of life: a line on standard output whenever its work got on, which its supervisor takes out and waits for. It
//! comes from the thread that does the work, for a process can answer on every other thread and do nothing. Must not know who
//! listens.
use std::sync::atomic::{AtomicU64, Ordering};

use crate::events::{Nothing, boot_millis, emit};

/// How the line begins.
pub const SIGN: &[u8] = br#"{"event":"alive""#;
/// Between two signs: many within the time after which a worker counts as hung, few beside the lines of its steps.
const BETWEEN_MILLIS: u64 = 2000;

static LAST: AtomicU64 = AtomicU64::new(0);

/// The work got on: the main loop turned, a stage was computed, a part of an object was read or written. Cheap: most calls only
/// read a clock.
pub fn turned() {
    let now = boot_millis();
    if now.saturating_sub(LAST.load(Ordering::Relaxed)) >= BETWEEN_MILLIS {
        LAST.store(now, Ordering::Relaxed);
        emit("alive", Nothing {});
    }
}
