//! Conditions in the standard form: Ready, Reconciling and Stalled by one published table, and the run's own beside
//! them. Every condition is always written, so that a reader never guesses what an absent one means.
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What a run is in, seen from outside; each has its row in [`Phase::standard`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter, strum::IntoStaticStr)]
pub enum Phase {
    /// Workers start, meet and restore.
    Starting,
    /// It trains.
    Training,
    /// It trains while a lost site's part is brought back.
    FailingOver,
    /// It cannot go on without help; the reason says why.
    Stalled,
    /// The budget is committed and saved.
    Complete,
    /// It will not go on.
    Failed,
}

/// Why a condition is as it is: the words of `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::EnumIter, strum::IntoStaticStr)]
pub enum Reason {
    /// Workers start, meet and restore.
    Starting,
    /// It trains.
    Training,
    /// A lost site's part is brought back.
    FailingOver,
    /// The budget is committed and saved.
    Complete,
    /// It is as it should be, and nothing is going on.
    AsExpected,
    /// A field's value cannot be trained.
    InvalidSpec,
    /// The CheckpointPolicy it refers to does not exist.
    PolicyMissing,
    /// A site does not have the data set or the tokenizer.
    DataMissing,
    /// Fewer sites match than `sites.min` asks for.
    TooFewSites,
    /// No quorum of contributions can be had.
    NoQuorum,
    /// Members reach the hub but not each other.
    PeersUnreachable,
    /// A site's store no longer holds what it held.
    StoreLost,
    /// A store is full, read-only or away.
    StoreFailed,
    /// Sites compute different states and each reproduces its own.
    ArithmeticDisagreement,
    /// A contribution far larger than usual was refused.
    NormRefused,
    /// The history went back, as after restoring a backup.
    HubRewound,
    /// All holders of committed work are gone.
    BaseUnreachable,
    /// The failure policy allows no more restarts.
    RestartsExhausted,
    /// A rule of the failure policy ended the run.
    FailedByRule,
    /// The deadline passed.
    DeadlineExceeded,
    /// No kept checkpoint is complete at enough sites yet.
    NotYet,
}

/// The conditions of a TrainingRun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter, strum::IntoStaticStr)]
pub enum ConditionType {
    /// It does what the spec asks: it trains, or it is complete.
    Ready,
    /// It is on its way there. Present as False otherwise.
    Reconciling,
    /// It cannot get there without help. Present as False otherwise.
    Stalled,
    /// A lost site's part is being brought back.
    FailingOver,
    /// A kept checkpoint is complete and verified at enough sites.
    CheckpointConsistent,
    /// The budget is committed and saved.
    Complete,
    /// It will not go on.
    Failed,
}

/// Ready, Reconciling and Stalled of one phase, and what `kstatus` makes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standard {
    /// Ready.
    pub ready: bool,
    /// Reconciling.
    pub reconciling: bool,
    /// Stalled.
    pub stalled: bool,
    /// What tools that follow kstatus show (Flux, Argo CD, `kubectl wait`).
    pub kstatus: &'static str,
}

impl Phase {
    /// The published table.
    pub const fn standard(self) -> Standard {
        let (ready, reconciling, stalled, kstatus) = match self {
            Self::Starting => (false, true, false, "InProgress"),
            Self::Training | Self::Complete => (true, false, false, "Current"),
            // It does train: the sites that are left go on.
            Self::FailingOver => (true, true, false, "InProgress"),
            Self::Stalled | Self::Failed => (false, false, true, "Failed"),
        };
        Standard { ready, reconciling, stalled, kstatus }
    }

    /// Whether a condition of this type is True, except CheckpointConsistent, which the phase does not decide.
    const fn holds(self, kind: ConditionType) -> bool {
        let s = self.standard();
        match kind {
            ConditionType::Ready => s.ready,
            ConditionType::Reconciling => s.reconciling,
            ConditionType::Stalled => s.stalled,
            ConditionType::FailingOver => matches!(self, Self::FailingOver),
            ConditionType::Complete => matches!(self, Self::Complete),
            ConditionType::Failed => matches!(self, Self::Failed),
            ConditionType::CheckpointConsistent => false,
        }
    }
}

/// What the conditions shall say.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The phase.
    pub phase: Phase,
    /// Why: the reason of Ready, and of whatever is True.
    pub reason: Reason,
    /// The same for people: one or two sentences.
    pub message: &'a str,
    /// Whether a kept checkpoint is consistent.
    pub checkpoint_consistent: bool,
    /// `metadata.generation` of the spec this is about.
    pub generation: Option<i64>,
}

/// Writes all conditions. A transition time moves only when the status of its condition flips.
pub fn write(conditions: &mut Vec<Condition>, wanted: &Wanted<'_>, now: &Time) {
    use strum::IntoEnumIterator as _;
    for kind in ConditionType::iter() {
        let (holds, reason, message) = match kind {
            ConditionType::CheckpointConsistent if wanted.checkpoint_consistent => (true, Reason::AsExpected, ""),
            ConditionType::CheckpointConsistent => (false, Reason::NotYet, "no kept checkpoint is consistent yet"),
            _ => {
                let holds = wanted.phase.holds(kind);
                let told = holds || kind == ConditionType::Ready;
                if told { (holds, wanted.reason, wanted.message) } else { (holds, Reason::AsExpected, "") }
            }
        };
        put(conditions, kind, holds, (reason, message), wanted.generation, now);
    }
}

fn put(
    conditions: &mut Vec<Condition>,
    kind: ConditionType,
    holds: bool,
    (reason, message): (Reason, &str),
    generation: Option<i64>,
    now: &Time,
) {
    let name: &'static str = kind.into();
    let status = if holds { "True" } else { "False" };
    let reason: &'static str = reason.into();
    let old = conditions.iter().position(|c| c.type_ == name);
    let since = old
        .and_then(|i| conditions.get(i))
        .filter(|c| c.status == status)
        .map_or_else(|| now.clone(), |c| c.last_transition_time.clone());
    let new = Condition {
        type_: name.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.chars().take(MESSAGE).collect(),
        observed_generation: generation,
        last_transition_time: since,
    };
    match old.and_then(|i| conditions.get_mut(i)) {
        Some(slot) => *slot = new,
        None => conditions.push(new),
    }
}

/// The longest message Kubernetes allows in a condition.
const MESSAGE: usize = 32_768;

/// The schema of a list of conditions, with the bounds that Kubernetes publishes for them.
pub(crate) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "items": {
            "type": "object",
            "description": "Tells one aspect of the state.",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": {
                    "type": "string", "minLength": 1, "maxLength": 63,
                    "description": "Names the aspect, such as Ready.",
                },
                "status": {
                    "type": "string", "enum": ["True", "False", "Unknown"],
                    "description": "Tells whether it holds: True, False or Unknown.",
                },
                "reason": {
                    "type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[A-Za-z]+$",
                    "description": "Tells why in one word, for programs.",
                },
                "message": {
                    "type": "string", "maxLength": MESSAGE,
                    "description": "Tells why in words, for people.",
                },
                "lastTransitionTime": {
                    "type": "string", "format": "date-time",
                    "description": "Tells when the status last changed.",
                },
                "observedGeneration": {
                    "type": "integer", "format": "int64", "minimum": 0,
                    "description": "Names the generation of the spec this is about.",
                },
            },
        },
    })
}
