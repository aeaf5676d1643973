//! For how long each worker of a site's gang has done nothing, as their supervisors tell. Pure; must not know what follows.
use std::collections::BTreeMap;
use std::time::Duration;

use coalition_gateway::GangState;

/// Below this nobody has to wonder: a worker that waits for others to join turns every half minute.
const LEAST: u64 = 60;
/// The figure rises in steps of so many seconds: each step is a report to the hub.
const STEP: u64 = 30;

/// What supervisors told last.
#[derive(Debug, Default)]
pub struct Stillness(BTreeMap<u32, (String, Duration)>);

impl Stillness {
    /// `process` of `worker` has done nothing for so long.
    pub fn told(&mut self, worker: u32, process: &str, time: Duration) {
        self.0.insert(worker, (process.to_owned(), time));
    }

    /// What the site reports: the longest of the workers that have not ended, in whole steps. What an ended process was told of
    /// says nothing.
    pub fn seconds(&self, gang: &GangState) -> u64 {
        let ended = |worker: &u32, process: &str| {
            gang.gone.contains_key(worker) || gang.last_exit.get(worker).is_some_and(|p| p == process)
        };
        let living = self.0.iter().filter(|(worker, (process, _))| !ended(worker, process));
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
}
