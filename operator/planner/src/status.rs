//! What a person is shown: the phase with its reason, progress, each site with what it waits for and what comes next. A view
//! of the world, never truth. Its words are those of the API: a run says the same on a laptop and in a cluster.
use coalition_protocol::history::Head;
use coalition_protocol::{Attempt, Digest, Incarnation, Real, Round, Seq, SiteId};
use serde::{Deserialize, Serialize};

pub use coalition_crds::conditions::{Phase, Reason};
pub use coalition_crds::training_run::SiteState;

/// The status of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// What it is doing.
    pub phase: Phase,
    /// Why.
    pub reason: Reason,
    /// What is happening, why, and what it will do next, in sentences.
    pub message: String,
    /// The newest record; none before genesis.
    pub head: Option<Head>,
    /// Committed tokens.
    pub tokens: u64,
    /// The budget.
    pub budget: u64,
    /// The newest committed round.
    pub round: Round,
    /// Rounds in which a member was left out.
    pub left_out: u64,
    /// Training loss, mean over members that report one, weighted by their speed.
    pub loss: Option<Real>,
    /// Tokens a second of all members that train.
    pub tokens_per_second: Option<Real>,
    /// Seconds to the end at this speed.
    pub eta_seconds: Option<u64>,
    /// One for each site, by name.
    pub sites: Vec<SiteStatus>,
    /// The newest run checkpoint.
    pub checkpoint: Option<CheckpointStatus>,
    /// Restarts charged to the budget within its window.
    pub restarts_charged: u64,
    /// Restarts that were not charged.
    pub restarts_infrastructure: u64,
}

/// One site's line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteStatus {
    /// The site.
    pub site: SiteId,
    /// What it is doing.
    pub state: SiteState,
    /// Its newest incarnation; 0 if it never was a member.
    pub incarnation: Incarnation,
    /// Its newest attempt.
    pub attempt: Attempt,
    /// Workers that joined.
    pub workers_ready: u32,
    /// Workers it needs.
    pub workers: u32,
    /// Inner steps done in the run.
    pub step: u64,
    /// The round it works on.
    pub round: Round,
    /// Inner step within the round.
    pub inner_step: u64,
    /// Inner steps of the round.
    pub inner_steps: u64,
    /// Its loss.
    pub loss: Option<Real>,
    /// Its speed.
    pub tokens_per_second: Option<Real>,
    /// What it waits for; empty if nothing.
    pub waiting_for: String,
    /// What will happen next if nothing changes; empty if nothing will.
    pub next: String,
    /// Rounds in a row it was left out of.
    pub missed: u32,
}

/// The newest run checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointStatus {
    /// The commit whose state it is.
    pub seq: Seq,
    /// D(O).
    pub state: Digest,
    /// Sites that hold it.
    pub copies: Vec<SiteId>,
    /// True if those are enough.
    pub consistent: bool,
    /// Committed tokens that would be lost if only this checkpoint were left.
    pub tokens_since: u64,
}
