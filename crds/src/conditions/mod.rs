//! Conditions in the standard form: Ready, Reconciling and Stalled by one published table (`operator/docs/conditions.md`), and
//! the run's own beside them. Every condition is always written, so that a reader never guesses what an absent one means.
//! Must not know how a phase comes about: that is the planner's.
mod words;

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::budget::shorten;
pub use words::{ConditionType, Kstatus, Phase, Reason, Standard};

/// What is known of a run that its conditions tell.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What it is doing.
    pub phase: Phase,
    /// Why.
    pub reason: Reason,
    /// The same for people: one or a few sentences.
    pub message: &'a str,
    /// True once it has begun: sites were assigned to it.
    pub admitted: bool,
    /// Workers of its members that take part, and that should.
    pub workers: (u64, u64),
    /// True if a kept checkpoint is complete and verified at enough sites.
    pub checkpoint_consistent: bool,
    /// `metadata.generation` of the spec this is about.
    pub generation: Option<i64>,
}

/// What one condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Which condition.
    pub kind: ConditionType,
    /// Whether it holds.
    pub holds: bool,
    /// Why.
    pub reason: Reason,
    /// The same for people; empty where the reason says it all.
    pub message: String,
}

/// What every condition says of a run. Total: each (phase, reason) has its row.
pub fn states(facts: &Facts<'_>) -> Vec<State> {
    use strum::IntoEnumIterator as _;
    ConditionType::iter().map(|kind| state(facts, kind)).collect()
}

fn state(f: &Facts<'_>, kind: ConditionType) -> State {
    let standard = Standard::of(f.phase, f.reason);
    let over = matches!(f.phase, Phase::Complete | Phase::Failed);
    let told = |holds: bool| State { kind, holds, reason: f.reason, message: f.message.to_owned() };
    let plain = |holds: bool, reason: Reason, message: String| State { kind, holds, reason, message };
    // Whatever is True says why, and so does Ready whatever it is: people look there first.
    let by_phase = |holds: bool| if holds { told(true) } else { plain(false, Reason::AsExpected, String::new()) };
    match kind {
        ConditionType::Ready => told(standard.ready),
        ConditionType::Reconciling => by_phase(standard.reconciling),
        ConditionType::Stalled => by_phase(standard.stalled),
        ConditionType::FailingOver => by_phase(f.phase == Phase::FailingOver),
        ConditionType::Suspended => by_phase(f.phase == Phase::Suspended),
        ConditionType::Complete => by_phase(f.phase == Phase::Complete),
        ConditionType::Failed => by_phase(f.phase == Phase::Failed),
        ConditionType::Admitted if f.admitted => plain(true, Reason::AsExpected, String::new()),
        ConditionType::Admitted => told(false),
        ConditionType::PodsReady if over || f.phase == Phase::Suspended => told(false),
        ConditionType::PodsReady => {
            let (ready, wanted) = f.workers;
            let reason = if !f.admitted {
                f.reason
            } else if ready >= wanted && wanted > 0 {
                Reason::AsExpected
            } else {
                Reason::WorkersMissing
            };
            plain(reason == Reason::AsExpected, reason, format!("{ready} of {wanted} workers take part"))
        }
        ConditionType::CheckpointConsistent if f.checkpoint_consistent => {
            plain(true, Reason::AsExpected, String::new())
        }
        ConditionType::CheckpointConsistent => {
            plain(false, Reason::NotYet, "no kept checkpoint is complete at enough sites yet".to_owned())
        }
    }
}

/// Writes all conditions. A transition time moves only when the status of its condition flips.
pub fn write(conditions: &mut Vec<Condition>, facts: &Facts<'_>, now: &Time) {
    for state in states(facts) {
        put(conditions, state, facts.generation, now);
    }
}

fn put(conditions: &mut Vec<Condition>, state: State, generation: Option<i64>, now: &Time) {
    let name: &'static str = state.kind.into();
    let status = if state.holds { "True" } else { "False" };
    let reason: &'static str = state.reason.into();
    let old = conditions.iter().position(|c| c.type_ == name);
    let since = old
        .and_then(|i| conditions.get(i))
        .filter(|c| c.status == status)
        .map_or_else(|| now.clone(), |c| c.last_transition_time.clone());
    let new = Condition {
        type_: name.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: shorten(&state.message, MESSAGE),
        observed_generation: generation,
        last_transition_time: since,
    };
    match old.and_then(|i| conditions.get_mut(i)) {
        Some(slot) => *slot = new,
        None => conditions.push(new),
    }
}

/// The longest message of a condition. Kubernetes allows 32 KiB; ten of those are more than a whole TrainingRun may take.
const MESSAGE: usize = 1024;

/// The schema of a list of conditions, with the bounds that Kubernetes publishes for them, but for the message.
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
