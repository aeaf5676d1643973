//! From conditions back to phase, reason and message: a TrainingRun carries no phase, and its conditions are written from one
//! by a published table (`coalition_crds::conditions`). Pure; knows no other words than that table's.
use coalition_crds::conditions::{Condition, ConditionType as Type, Phase, Reason};

/// What a run does and why, as its hub wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What it is doing.
    pub phase: Phase,
    /// Why: a word of [`Reason`], or one of a newer hub.
    pub reason: String,
    /// The same for people.
    pub message: String,
}

/// What the conditions say; none without Ready, which is written first and always.
pub fn said(conditions: &[Condition]) -> Option<Said> {
    let find = |kind: Type| {
        let name: &'static str = kind.into();
        conditions.iter().find(|c| c.type_ == name)
    };
    let holds = |kind: Type| find(kind).is_some_and(|c| c.status == "True");
    let ready = find(Type::Ready)?;
    let is = |reason: Reason| ready.reason == <&'static str>::from(reason);
    let phase = match () {
        () if holds(Type::Complete) => Phase::Complete,
        () if holds(Type::Failed) => Phase::Failed,
        () if holds(Type::Suspended) => Phase::Suspended,
        () if holds(Type::FailingOver) => Phase::FailingOver,
        () if holds(Type::Stalled) => Phase::Stalled,
        () if holds(Type::Reconciling) && is(Reason::WaitingForSites) => Phase::Queued,
        () if holds(Type::Reconciling) && (is(Reason::SuspendRequested) || is(Reason::StopRequested)) => {
            Phase::Suspending
        }
        () if holds(Type::Reconciling) => Phase::Starting,
        () if is(Reason::SavingFinalCheckpoint) => Phase::Finishing,
        () => Phase::Training,
    };
    Some(Said { phase, reason: ready.reason.clone(), message: ready.message.clone() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use coalition_crds::conditions::{Facts, Time, write};
    use strum::IntoEnumIterator as _;

    use super::*;

    /// Every row of the published table, written as a hub writes it and read back.
    #[test]
    fn what_was_written_is_read() {
        let page = include_str!("../../../docs/conditions.md");
        let mut rows = 0;
        for line in page.lines().filter(|l| l.starts_with("| ")) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let (Some(phase), Some(reason)) = (
                Phase::iter().find(|p| cells.get(1) == Some(&p.to_string().as_str())),
                Reason::iter().find(|r| cells.get(2) == Some(&r.to_string().as_str())),
            ) else {
                continue;
            };
            rows += 1;
            let mut conditions = Vec::new();
            let facts = Facts {
                phase,
                reason,
                message: "because",
                admitted: rows % 2 == 0,
                workers: (1, 2),
                checkpoint_consistent: rows % 3 == 0,
                generation: Some(1),
            };
            write(&mut conditions, &facts, &Time(jiff::Timestamp::UNIX_EPOCH));
            let expected = Said { phase, reason: reason.to_string(), message: "because".to_owned() };
            assert_eq!(said(&conditions), Some(expected), "{line}");
        }
        assert!(rows >= 30, "the page has another form now: {rows} rows were found");
        assert_eq!(said(&[]), None);
    }
}
