//! What people and tests are shown of a local run: `hub/status.json`. A view, never truth.
use std::collections::BTreeMap;

use coalition_planner::{Event, RunStatus};
use coalition_protocol::messages::Evaluation;
use coalition_protocol::{RunId, SiteId};
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
}
