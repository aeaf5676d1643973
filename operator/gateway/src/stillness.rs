//! For how long each worker of a site's gang has done nothing, as their supervisors tell; a supervisor that tells nothing any
//! more counts as still itself. Pure in the instants it is given; must not know what follows.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::GangState;

/// Below this nobody has to wonder: a worker that waits for others to join turns every half minute.
const LEAST: u64 = 60;
/// The figure rises in steps of so many seconds: each step is a report to the hub.
const STEP: u64 = 30;

/// The most that one pass adds. Passes come several times a second; where they did not, this site was stopped itself, and
/// nobody was still.
const PASS: Duration = Duration::from_secs(1);

/// A minute more than a supervisor leaves a worker that hangs (`coalition-trainer`: ten minutes).
const ABANDONED: Duration = Duration::from_mins(11);

/// What supervisors told last, and the time since.
#[derive(Debug, Default)]
pub struct Stillness {
    workers: BTreeMap<u32, (String, Duration)>,
    passed: Option<Instant>,
}

impl Stillness {
    /// `process` of `worker` has done nothing for so long.
    pub fn told(&mut self, worker: u32, process: &str, time: Duration) {
        self.workers.insert(worker, (process.to_owned(), time));
    }

    /// Forgets workers whose supervisor is gone: what follows is another process.
    pub fn keep(&mut self, runs: impl Fn(u32) -> bool) {
        self.workers.retain(|worker, _| runs(*worker));
    }

    /// Workers whose supervisor should have killed them by now and has not: it hangs itself.
    pub fn abandoned(&self) -> Vec<u32> {
        self.workers.iter().filter(|(_, (_, time))| *time >= ABANDONED).map(|(worker, _)| *worker).collect()
    }

    /// Time passed in which nobody may have told anything.
    pub fn pass(&mut self, now: Instant) {
        let time = self.passed.replace(now).map_or(Duration::ZERO, |before| now.saturating_duration_since(before));
        for (_, still) in self.workers.values_mut() {
            *still += time.min(PASS);
        }
    }

    /// What the site reports: the longest of the workers that have not ended, in whole steps. What an ended process was told of
    /// says nothing.
    pub fn seconds(&self, gang: &GangState) -> u64 {
        let ended = |worker: &u32, process: &str| {
            gang.gone.contains_key(worker) || gang.last_exit.get(worker).is_some_and(|p| p == process)
        };
        let living = self.workers.iter().filter(|(worker, (process, _))| !ended(worker, process));
        let longest = living.map(|(_, (_, time))| time.as_secs()).max().unwrap_or(0);
        if longest < LEAST { 0 } else { longest / STEP * STEP }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_of_those_that_live_in_steps() {
        let mut gang = GangState::default();
        let mut s = Stillness::default();
        s.told(0, "a", Duration::from_secs(59));
        assert_eq!(s.seconds(&gang), 0);
        s.told(1, "b", Duration::from_secs(119));
        assert_eq!(s.seconds(&gang), 90);
        gang.last_exit.insert(1, "b".to_owned());
        assert_eq!(s.seconds(&gang), 0, "it ended");
        s.told(1, "c", Duration::from_mins(1));
        assert_eq!(s.seconds(&gang), 60, "another process of the same worker");
    }

    #[test]
    fn a_supervisor_that_is_silent_is_still_itself() {
        let (gang, mut s, start) = (GangState::default(), Stillness::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        s.told(0, "a", Duration::ZERO);
        for n in 0..=300 {
            s.pass(at(n * 250));
        }
        assert_eq!(s.seconds(&gang), 60, "75 seconds");
        assert_eq!(s.abandoned(), [] as [u32; 0]);
        for n in 301..=2640 {
            s.pass(at(n * 250));
        }
        assert_eq!(s.abandoned(), [0], "eleven minutes");
        s.keep(|worker| worker != 0);
        assert_eq!((s.seconds(&gang), s.abandoned()), (0, vec![]), "it is gone, and another follows");
        s.told(0, "a", Duration::ZERO);
        s.pass(at(2640 * 250 + 3_600_000));
        assert_eq!(s.seconds(&gang), 0, "an hour in which this site did not run");
    }
}
