//! The worker's signs of life, and for how long there has been none. Must not know how they arrive, nor what follows.
//!
//! Only time in which this process ran itself counts: when a whole machine sleeps, or a terminal stops everything, the
//! worker was not still, it was not asked.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Without a sign for so long a worker hangs. Above the longest call of the collective (5 minutes), after which a gang parts
/// by itself, and above what the write of one checkpoint may take on a slow store.
const HANGS: Duration = Duration::from_mins(10);
/// The most that one pass may add: passes come once a second, or after one call of the gateway.
const PASS: Duration = Duration::from_secs(15);

#[derive(Debug)]
struct Pulse {
    still: Duration,
    passed: Option<Instant>,
}

impl Pulse {
    fn pass(&mut self, now: Instant) -> Duration {
        if let Some(before) = self.passed.replace(now) {
            self.still += now.saturating_duration_since(before).min(PASS);
        }
        self.still
    }
}

/// The pulse of one process, shared by who hears it and who watches it.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pulse: Arc<Mutex<Pulse>>,
    hangs: Duration,
}

impl Shared {
    /// Of a process that starts now. `hangs` replaces the usual bound.
    pub fn new(hangs: Option<Duration>) -> Self {
        let pulse = Pulse { still: Duration::ZERO, passed: None };
        Self { pulse: Arc::new(Mutex::new(pulse)), hangs: hangs.unwrap_or(HANGS) }
    }

    fn lock(&self) -> MutexGuard<'_, Pulse> {
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A sign of life came.
    pub fn beat(&self) {
        self.lock().still = Duration::ZERO;
    }

    /// For how long there was no sign.
    pub fn still(&self) -> Duration {
        self.lock().still
    }

    /// Called about once a second: for how long there was no sign, and whether that is too long.
    pub fn pass(&self, now: Instant) -> (Duration, bool) {
        let still = self.lock().pass(now);
        (still, still >= self.hangs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_until_the_next_sign() {
        let (p, start) = (Shared::new(None), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        assert_eq!(p.pass(at(0)), (Duration::ZERO, false));
        let passes = |from: u64, to: u64| (from..=to).fold((Duration::ZERO, false), |_, s| p.pass(at(s)));
        assert_eq!(passes(1, 599), (Duration::from_secs(599), false));
        assert_eq!(passes(600, 600), (HANGS, true));
        p.beat();
        assert_eq!(passes(601, 605), (Duration::from_secs(5), false));
    }

    #[test]
    fn time_in_which_nobody_watched_is_not_stillness() {
        let (p, start) = (Shared::new(None), Instant::now());
        p.pass(start);
        let (still, hangs) = p.pass(start + Duration::from_hours(5));
        assert!(still == PASS && !hangs, "{still:?}");
    }
}
