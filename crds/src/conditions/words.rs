//! The one vocabulary of what a run does and why: the planner decides in these words, the command line shows them, conditions
//! carry them. Must not know who says them, or when.
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, IntoStaticStr};

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Display, EnumIter, IntoStaticStr)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Display, EnumIter, IntoStaticStr)]
pub enum Reason {
    /// A field asks for what cannot be trained.
    InvalidSpec,
    /// The CheckpointPolicy it refers to does not exist.
    PolicyMissing,
    /// The Checkpoint it begins from does not exist, or is of another model.
    CheckpointUnusable,
    /// Fewer sites than `sites.min` are there.
    WaitingForSites,
    /// No Site has the labels that `sites.selector` asks for.
    NoSiteMatches,
    /// Every site that matches refuses its part.
    SitesRefuse,
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
    /// The user asked for it in the spec.
    SuspendRequested,
    /// The user stopped it by annotation.
    StopRequested,
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
    /// Of a condition: it is as it should be.
    AsExpected,
    /// Of a condition: it does not hold yet.
    NotYet,
    /// Of PodsReady: fewer workers take part than the members need.
    WorkersMissing,
}

/// The conditions of a TrainingRun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumIter, IntoStaticStr)]
pub enum ConditionType {
    /// It is as the spec asks: it trains, it is complete, or it is suspended as asked.
    Ready,
    /// It is on its way there. Present as False otherwise.
    Reconciling,
    /// It cannot get there without help. Present as False otherwise.
    Stalled,
    /// It has begun: sites were assigned to it.
    Admitted,
    /// All workers of all its members take part.
    PodsReady,
    /// A kept checkpoint is complete and verified at enough sites.
    CheckpointConsistent,
    /// A member is missing: the others go on, or wait for it.
    FailingOver,
    /// It is saved and stopped.
    Suspended,
    /// The budget is committed and saved.
    Complete,
    /// It will not go on.
    Failed,
}

/// What tools that follow kstatus show (Flux, Argo CD by its health script, `kubectl wait`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display)]
pub enum Kstatus {
    /// Not there yet.
    InProgress,
    /// As the spec asks.
    Current,
    /// It will not get there by itself.
    Failed,
}

/// Ready, Reconciling and Stalled of one state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standard {
    /// Ready.
    pub ready: bool,
    /// Reconciling.
    pub reconciling: bool,
    /// Stalled.
    pub stalled: bool,
}

impl Standard {
    /// The published table.
    pub const fn of(phase: Phase, reason: Reason) -> Self {
        let (ready, reconciling, stalled) = match (phase, reason) {
            // It trains: the sites that are left go on.
            (Phase::FailingOver, Reason::SiteSilent | Reason::SiteHindered) => (true, true, false),
            // Nothing is trained until somebody comes back, or others take their place. Or it starts, saves, waits for sites.
            (Phase::Queued | Phase::Starting | Phase::FailingOver | Phase::Suspending, _) => (false, true, false),
            // Suspended by annotation, it is not as the spec asks, and only who took that decision can take it back.
            (Phase::Suspended, Reason::StopRequested) | (Phase::Stalled | Phase::Failed, _) => (false, false, true),
            // Finishing, only a copy of the checkpoint is missing. Suspended, it is as the spec asks, like a Deployment of no
            // replicas: tools that apply a suspended run must not wait for ever.
            (Phase::Training | Phase::Finishing | Phase::Suspended | Phase::Complete, _) => (true, false, false),
        };
        Self { ready, reconciling, stalled }
    }

    /// What kstatus makes of these three: Stalled is a failure, Reconciling is progress, Ready decides otherwise.
    pub const fn kstatus(self) -> Kstatus {
        if self.stalled {
            Kstatus::Failed
        } else if self.reconciling || !self.ready {
            Kstatus::InProgress
        } else {
            Kstatus::Current
        }
    }
}
