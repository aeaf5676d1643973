//! When sites were heard of, on this hub's own clock. Must not know what they said, and reads no time that stands in an object.
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use coalition_kit::watch::News;
use coalition_planner::Millis;
use tokio::time::Instant;

/// The clock's first instant: so far from 0 that a run's beginning, which an earlier hub saw, lies after it. A run lasts at
/// most ten years (`activeDeadlineSeconds`); this is thirty.
const FIRST: u64 = 30 * 366 * 86_400_000;

/// A site that is heard of again after so long was away, milliseconds: as long as a hub waits for sites before a run begins.
const AWAY: u64 = coalition_planner::genesis::GATHER_MILLIS;

#[derive(Debug, Default)]
struct Signs {
    /// The version of each object that was seen last.
    versions: BTreeMap<String, String>,
    at: Option<Millis>,
}

/// The clock, and the signs of life by namespace.
#[derive(Debug)]
pub struct Heard {
    origin: Instant,
    signs: Mutex<BTreeMap<String, Signs>>,
}

impl Default for Heard {
    fn default() -> Self {
        Self { origin: Instant::now(), signs: Mutex::default() }
    }
}

impl Heard {
    /// Now.
    pub fn now(&self) -> Millis {
        Millis(FIRST + u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// An object of a site was seen. True if its site was not heard of for a while, or never.
    ///
    /// Only what changed under this hub's eyes is a sign of life: what it finds in a list may be as old as anything.
    pub fn see(&self, namespace: &str, object: &str, version: &str, news: News) -> bool {
        let now = self.now();
        let mut all = self.signs.lock().unwrap_or_else(PoisonError::into_inner);
        let signs = all.entry(namespace.to_owned()).or_default();
        if news == News::Gone {
            signs.versions.remove(object);
            return false;
        }
        let before = signs.versions.insert(object.to_owned(), version.to_owned());
        if !before.map_or(news == News::Changed, |before| before != version) {
            return false;
        }
        let last = signs.at.replace(now);
        last.is_none_or(|at| now.since(at) > AWAY)
    }

    /// When it was heard of last.
    pub fn of(&self, namespace: &str) -> Option<Millis> {
        self.signs.lock().unwrap_or_else(PoisonError::into_inner).get(namespace).and_then(|s| s.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stood_there_before_is_no_sign_of_life() {
        let heard = Heard::default();
        assert!(!heard.see("site-north", "lease", "7", News::Listed));
        assert_eq!(heard.of("site-north"), None, "it may have stood there for a year");
        assert!(heard.see("site-north", "lease", "8", News::Changed), "for the first time");
        let at = heard.of("site-north");
        assert!(at.is_some());
        // A list that begins again shows the same.
        assert!(!heard.see("site-north", "lease", "8", News::Listed));
        assert!(!heard.see("site-north", "run", "9", News::Listed));
        assert_eq!(heard.of("site-north"), at);
        // What changed while the watch was broken did so lately.
        assert!(!heard.see("site-north", "run", "10", News::Listed), "it was never away");
        assert!(!heard.see("site-south", "lease", "1", News::Gone));
        assert_eq!(heard.of("site-south"), None);
        assert!(heard.see("site-south", "lease", "2", News::Changed), "it came");
    }
}
