//! The worker's sign of life: a line on standard output whenever its main loop turns, which its supervisor takes out and
//! waits for. It comes from the thread that does the work, for a process can answer on every other thread and do nothing.
//! Must not know who listens.
use std::sync::atomic::{AtomicU64, Ordering};

use coalition_engine::{Error, Reduce};

use crate::events::{Nothing, boot_millis, emit};

/// How the line begins.
pub const SIGN: &[u8] = br#"{"event":"alive""#;
/// Between two signs: many within the time after which a worker counts as hung, few beside the lines of its steps.
const BETWEEN_MILLIS: u64 = 2000;

static LAST: AtomicU64 = AtomicU64::new(0);

/// The main loop turned. Cheap: most calls only read a clock.
pub fn turned() {
    let now = boot_millis();
    if now.saturating_sub(LAST.load(Ordering::Relaxed)) >= BETWEEN_MILLIS {
        LAST.store(now, Ordering::Relaxed);
        emit("alive", Nothing {});
    }
}

/// Sums over ranks as before, with a sign of life after every micro-batch: a step may be longer than anyone should wait.
pub struct Alive<R>(pub R);

impl<T, R: Reduce<T>> Reduce<T> for Alive<R> {
    fn sum(&mut self, x: &mut [T]) -> Result<(), Error> {
        self.0.sum(x)
    }
    fn sum_f64(&mut self, x: &mut [f64]) -> Result<(), Error> {
        self.0.sum_f64(x)
    }
    fn part_done(&mut self) {
        turned();
    }
}
