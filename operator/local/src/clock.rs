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
    /// Lets so much time not have passed: the hub was not at work in it.
    pub fn hold(&mut self, time: std::time::Duration) {
        self.start += time;
    }
    /// The instant of a hub's time.
    pub fn instant(&self, at: Millis) -> Instant {
        self.start + std::time::Duration::from_millis(at.0.saturating_sub(self.base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn time_that_is_held_does_not_pass_and_ages_stay() {
        let mut clock = Clock::from(Millis(5000));
        let heard = clock.start + Duration::from_secs(1);
        let now = clock.start + Duration::from_secs(30);
        let age = clock.at(now).since(clock.at(heard));
        clock.hold(Duration::from_secs(20));
        assert_eq!(clock.at(now), Millis(15_000));
        assert_eq!(clock.at(heard), Millis(5000), "before the origin nothing is");
        assert_eq!(age, 29_000);
        assert_eq!(clock.instant(Millis(15_000)), now);
    }
}
