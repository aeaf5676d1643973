//! The hub's clock: milliseconds on this machine's monotonic clock, counted on from where the last runner in the folder
//! stopped. Time in which no runner was at work does not pass: windows and deadlines measure what was seen, not a calendar.
use coalition_planner::Millis;
use tokio::time::Instant;

/// The clock of one life of the hub.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: u64,
    start: Instant,
}

impl Clock {
    /// Goes on at `base`.
    pub fn from(base: Millis) -> Self {
        Self { base: base.0, start: Instant::now() }
    }
    /// Now.
    pub fn now(&self) -> Millis {
        self.at(Instant::now())
    }
    /// The hub's time of an instant of this process.
    pub fn at(&self, instant: Instant) -> Millis {
        Millis(self.base + instant.saturating_duration_since(self.start).as_millis() as u64)
    }
    /// The instant of a hub's time.
    pub fn instant(&self, at: Millis) -> Instant {
        self.start + std::time::Duration::from_millis(at.0.saturating_sub(self.base))
    }
}
