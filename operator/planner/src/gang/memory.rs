//! What is remembered of a gang's pods between two decisions: since when they shall leave, and how often a worker's pods died
//! before any of them joined. Lost with the process, which costs a shorter pause. Must not decide what follows.
use std::collections::{BTreeMap, BTreeSet};

use super::{Observed, State};
use crate::Millis;

/// First and longest pause before a worker whose pods die before they join gets another one, milliseconds. A bad image or a
/// full node heals in minutes; a pod a minute is little for a cluster to bear.
const AGAIN: (u64, u64) = (1_000, 60_000);

/// Deaths of one worker's pods in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Deaths {
    /// The birth that was counted last.
    birth: i64,
    /// How many.
    times: u32,
    /// When the last was seen.
    at: Millis,
}

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Since when all shall leave.
    pub(super) leaving: Option<Millis>,
    /// By worker and birth: since when a pod is being deleted that nobody here asked to go.
    going: BTreeMap<(u32, i64), Millis>,
    deaths: BTreeMap<u32, Deaths>,
    joined: BTreeSet<(u32, i64)>,
    /// Ends that were told.
    told: BTreeSet<(u32, i64)>,
}

impl Memory {
    /// Takes in what is seen now.
    pub(super) fn look(&mut self, o: &Observed, now: Millis) {
        let current = |key: &(u32, i64)| o.births.get(&key.0) == Some(&key.1);
        self.joined.retain(current);
        self.told.retain(current);
        self.going.retain(|key, _| current(key));
        for index in 0..o.workers {
            let Some(pod) = o.current(index) else { continue };
            let key = (index, pod.birth);
            if pod.joined {
                self.joined.insert(key);
                self.deaths.remove(&index);
            }
            if pod.leaving {
                self.going.entry(key).or_insert(now);
            }
            if matches!(pod.state, State::Ended(_)) {
                self.died(index, pod.birth, now);
            }
        }
    }

    /// A pod of this birth died, or could not be made. One that had joined was no failure to start.
    pub fn died(&mut self, index: u32, birth: i64, now: Millis) {
        if self.joined.contains(&(index, birth)) {
            return;
        }
        let before = self.deaths.get(&index).copied();
        if before.is_some_and(|d| d.birth >= birth) {
            return;
        }
        let times = before.map_or(1, |d| d.times.saturating_add(1));
        self.deaths.insert(index, Deaths { birth, times, at: now });
    }

    /// When a pod may follow the one of this birth; none for at once.
    pub(super) fn again(&self, index: u32, birth: i64) -> Option<Millis> {
        let d = self.deaths.get(&index).filter(|d| d.birth == birth)?;
        let pause = AGAIN.0.saturating_mul(1 << d.times.saturating_sub(1).min(10)).min(AGAIN.1);
        Some(d.at.plus(pause))
    }

    /// Since when a pod is being deleted.
    pub(super) fn going(&self, index: u32, birth: i64) -> Option<Millis> {
        self.going.get(&(index, birth)).copied()
    }

    /// True if the end of this pod was not told before; it counts as told from now on.
    pub(super) fn tell(&mut self, index: u32, birth: i64) -> bool {
        self.told.insert((index, birth))
    }

    /// The end of this pod could not be told: it is told again.
    pub fn untold(&mut self, index: u32, birth: i64) {
        self.told.remove(&(index, birth));
    }
}
