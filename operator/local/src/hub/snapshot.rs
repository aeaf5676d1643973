//! What people and tests are shown of a local run: `hub/status.json`. A view, never truth.
use std::collections::BTreeMap;

use coalition_planner::{Event, RunStatus};
use coalition_protocol::messages::Evaluation;
use coalition_protocol::{Incarnation, Round, RunId, Seq, SiteId};
use serde::{Deserialize, Serialize};

/// An event and when it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// Seconds of the run's own clock.
    pub seconds: f64,
    /// What happened.
    pub event: Event,
}

/// Where a site's time went, seconds of the run's own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spent {
    /// Training.
    pub training: f64,
    /// Its contribution was offered, and it waited for the round to close.
    pub waiting: f64,
    /// Starting, loading, fetching.
    pub starting: f64,
    /// Not heard of, set aside or retired.
    pub away: f64,
}

/// Inner steps of a site over all its incarnations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Steps {
    /// The newest incarnation.
    pub incarnation: Incarnation,
    /// Its steps, as it said last.
    pub newest: u64,
    /// Steps of those before it, as far as they were heard of.
    pub earlier: u64,
}

impl Steps {
    /// Takes what a site's line says now. A line without a report says 0, which is no news.
    pub fn see(&mut self, incarnation: Incarnation, step: u64) {
        if incarnation > self.incarnation {
            self.earlier += self.newest;
            (self.incarnation, self.newest) = (incarnation, 0);
        }
        if incarnation == self.incarnation && step > 0 {
            self.newest = step;
        }
    }
    /// All of them.
    pub const fn total(&self) -> u64 {
        self.earlier + self.newest
    }
}

/// A site that is down because someone asked for it: no silence to wonder about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Down {
    /// True if it starts again without being asked to, as `--kill SITE@STEP+SECONDS` says.
    pub by_itself: bool,
}

/// The commit that the newest measurement on held-out text was made at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// Its record.
    pub of: Seq,
    /// Its round.
    pub round: Round,
    /// Tokens committed by then.
    pub tokens: u64,
}

/// The whole of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The run.
    pub run: RunId,
    /// Process of the runner that wrote this.
    pub runner: u32,
    /// Seconds that runners worked on this run, all together.
    pub seconds: f64,
    /// The planner's status.
    pub status: RunStatus,
    /// The newest events, oldest first.
    pub events: Vec<Told>,
    /// Measurements on held-out text, in order of the commit, first and newest kept.
    pub evaluations: Vec<Evaluation>,
    /// Where each site's time went.
    pub spent: BTreeMap<SiteId, Spent>,
    /// Inner steps of each site.
    #[serde(default)]
    pub steps: BTreeMap<SiteId, Steps>,
    /// Where the newest of the measurements was made.
    #[serde(default)]
    pub measured: Option<Measured>,
    /// Sites that are down on request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub down: BTreeMap<SiteId, Down>,
    /// After a stop: sites that ran when it was asked for, and had not said that they saved when the runner ended.
    #[serde(default)]
    pub unsaved: Vec<SiteId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_all_incarnations_count() {
        let mut steps = Steps::default();
        for (incarnation, step) in [(1, 10), (1, 0), (1, 40), (2, 0), (2, 5), (2, 7)] {
            steps.see(Incarnation(incarnation), step);
        }
        assert_eq!((steps.total(), steps.newest), (47, 7));
        // A worker that went back to its site checkpoint keeps what it says it has.
        steps.see(Incarnation(2), 6);
        assert_eq!(steps.total(), 46);
    }
}
