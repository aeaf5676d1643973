//! The published table of conditions, and when a transition time moves.
#![allow(clippy::unwrap_used, clippy::panic)]
use coalition_crds::conditions::{Phase, Reason, Wanted, write};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use rstest::rstest;
use strum::IntoEnumIterator as _;

fn time(seconds: i64) -> Time {
    Time(k8s_openapi::jiff::Timestamp::from_second(seconds).unwrap())
}

fn wanted(phase: Phase, reason: Reason) -> Wanted<'static> {
    Wanted { phase, reason, message: "because", checkpoint_consistent: false, generation: Some(3) }
}

fn status<'a>(conditions: &'a [Condition], kind: &str) -> &'a Condition {
    conditions.iter().find(|c| c.type_ == kind).unwrap()
}

/// What kstatus computes from conditions, written from its description: Stalled is a failure, Reconciling is progress,
/// Ready decides otherwise.
fn kstatus(conditions: &[Condition]) -> &'static str {
    let is = |kind: &str| status(conditions, kind).status == "True";
    match () {
        () if is("Stalled") => "Failed",
        () if is("Reconciling") => "InProgress",
        () if is("Ready") => "Current",
        () => "InProgress",
    }
}

#[test]
fn each_phase_has_the_kstatus_of_the_table() {
    for phase in Phase::iter() {
        let mut conditions = Vec::new();
        write(&mut conditions, &wanted(phase, Reason::Training), &time(1));
        assert_eq!(conditions.len(), 7, "{phase:?}: every condition is always there");
        assert_eq!(kstatus(&conditions), phase.standard().kstatus, "{phase:?}");
        assert!(conditions.iter().all(|c| c.observed_generation == Some(3)));
    }
}

#[rstest]
#[case(Phase::Complete, "Complete")]
#[case(Phase::Failed, "Failed")]
#[case(Phase::FailingOver, "FailingOver")]
fn the_own_condition_of_a_phase_is_true_in_it_alone(#[case] phase: Phase, #[case] kind: &str) {
    for other in Phase::iter() {
        let mut conditions = Vec::new();
        write(&mut conditions, &wanted(other, Reason::Training), &time(1));
        assert_eq!(status(&conditions, kind).status == "True", other == phase, "{other:?}");
    }
}

#[test]
fn a_transition_time_moves_only_when_the_status_flips() {
    let mut conditions = Vec::new();
    write(&mut conditions, &wanted(Phase::Starting, Reason::Starting), &time(1));
    write(&mut conditions, &wanted(Phase::Starting, Reason::DataMissing), &time(2));
    assert_eq!(status(&conditions, "Ready").last_transition_time, time(1));
    assert_eq!(status(&conditions, "Ready").reason, "DataMissing");
    write(&mut conditions, &wanted(Phase::Training, Reason::Training), &time(3));
    assert_eq!(status(&conditions, "Ready").last_transition_time, time(3));
    assert_eq!(status(&conditions, "Stalled").last_transition_time, time(1));
    let before = conditions.clone();
    write(&mut conditions, &wanted(Phase::Training, Reason::Training), &time(4));
    assert_eq!(conditions, before, "writing the same again changes nothing");
}
