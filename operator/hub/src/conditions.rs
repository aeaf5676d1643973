//! The one condition of kinds that have no more to say than whether they are as they should be. Those of a TrainingRun are a table
//! of the API's own (`coalition_crds::conditions`).
use coalition_crds::conditions::{Condition, Time};

/// The condition Ready: whether it holds, its reason for programs and its message for people. Its transition time moves only
/// when it flips.
pub fn ready(
    before: &[Condition],
    (holds, reason, message): (bool, &str, &str),
    generation: Option<i64>,
    now: &Time,
) -> Vec<Condition> {
    let status = if holds { "True" } else { "False" };
    let old = before.iter().find(|c| c.type_ == "Ready" && c.status == status);
    vec![Condition {
        type_: "Ready".to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: coalition_crds::budget::shorten(message, MESSAGE),
        observed_generation: generation,
        last_transition_time: old.map_or_else(|| now.clone(), |c| c.last_transition_time.clone()),
    }]
}

/// The longest message that the schema of conditions takes, bytes.
const MESSAGE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_moves_only_when_it_flips() {
        let at = |s: i64| Time(jiff::Timestamp::from_second(s).unwrap_or_default());
        let first = ready(&[], (false, "Silent", "a"), Some(1), &at(1));
        let same = ready(&first, (false, "NoFacts", "b"), Some(1), &at(2));
        assert_eq!(same[0].last_transition_time, at(1));
        assert_eq!(ready(&same, (true, "Heard", ""), Some(1), &at(3))[0].last_transition_time, at(3));
    }
}
