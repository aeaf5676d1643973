//! What a person is shown: the phase with its reason, progress, each site with what it waits for and what comes next. A view
//! of the world, never truth.
use coalition_protocol::history::Head;
use coalition_protocol::{Attempt, Digest, Incarnation, Real, Round, Seq, SiteId};
use serde::{Deserialize, Serialize};

/// What the run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display)]
pub enum Phase {
    /// Waiting for sites.
    Queued,
    /// Members are there, no round was committed yet.
    Starting,
    /// Rounds are being trained and committed.
    Training,
    /// A member is missing and the others go on, or wait for it.
    FailingOver,
    /// Saving, because the user asked to suspend.
    Suspending,
    /// Saved and stopped.
    Suspended,
    /// The budget is committed; the last state is being made safe.
    Finishing,
    /// Cannot go on without a person.
    Stalled,
    /// Over: the budget was reached.
    Complete,
    /// Over: failed, or out of time.
    Failed,
}

/// Why; a name for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display)]
pub enum Reason {
    /// Fewer sites than `sites.min` are there.
    WaitingForSites,
    /// A new leader waits until sites echo its nonce.
    NewLeader,
    /// The initial state is not agreed on yet.
    AgreeingOnInitialState,
    /// Members train.
    RoundInProgress,
    /// Offers of the round are awaited.
    WaitingForOffers,
    /// Contributions are on their way to other sites.
    WaitingForHolds,
    /// Sites differ about a state, and are finding out who is wrong.
    StatesDiffer,
    /// Sites differ, and each reproduced its own value.
    ArithmeticDisagreement,
    /// A member is silent.
    SiteSilent,
    /// A member is heard, but its gang does nothing or its store takes nothing.
    SiteHindered,
    /// Members do not reach each other.
    PeersUnreachable,
    /// Nobody left has what the newest commit needs.
    StateLost,
    /// A site shows records that this hub does not have.
    HubRewound,
    /// Every member's contribution is above the norm limit.
    NormAboveLimit,
    /// The user asked for it.
    SuspendRequested,
    /// The last checkpoint is not at enough sites yet.
    SavingFinalCheckpoint,
    /// `sites.min` members are no longer heard.
    BelowMinimum,
    /// The budget was reached.
    BudgetReached,
    /// `activeDeadlineSeconds` passed.
    DeadlineExceeded,
    /// A failure rule or the restart budget ended it.
    TooManyFailures,
}

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

/// What a site is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display)]
pub enum SiteState {
    /// Not a member.
    Idle,
    /// Member, but its workers have not formed a gang yet.
    Starting,
    /// Training.
    Training,
    /// Its contribution is offered.
    Offered,
    /// Not on the newest state: loading, fetching, recomputing.
    CatchingUp,
    /// Nothing was heard of it lately.
    Silent,
    /// Excluded for a while.
    SetAside,
    /// Its incarnation is retired.
    Retired,
    /// Saved and stopped.
    Stopped,
    /// The run is over.
    Finished,
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
