//! The published table of conditions, and when a transition time moves.
#![allow(clippy::unwrap_used, clippy::panic)]
use coalition_crds::conditions::{ConditionType, Facts, Phase, Reason, Standard, states, write};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use rstest::rstest;
use strum::IntoEnumIterator as _;

/// What people read: every row of its first table is checked here.
const PAGE: &str = include_str!("../../operator/docs/conditions.md");

fn time(seconds: i64) -> Time {
    Time(k8s_openapi::jiff::Timestamp::from_second(seconds).unwrap())
}

fn facts(phase: Phase, reason: Reason) -> Facts<'static> {
    Facts {
        phase,
        reason,
        message: "because",
        admitted: phase != Phase::Queued,
        workers: (3, 4),
        checkpoint_consistent: false,
        generation: Some(3),
    }
}

fn written(phase: Phase, reason: Reason) -> Vec<Condition> {
    let mut conditions = Vec::new();
    write(&mut conditions, &facts(phase, reason), &time(1));
    conditions
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

/// The rows of the table under a heading: cells without spaces around them.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, after) = PAGE.split_once(heading).unwrap();
    let table = after.lines().skip_while(|l| !l.starts_with("|--")).skip(1).take_while(|l| l.starts_with('|'));
    table.map(|l| l.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn every_state_has_all_conditions_of_its_row() {
    let mut seen = 0;
    for (phase, reason) in Phase::iter().flat_map(|p| Reason::iter().map(move |r| (p, r))) {
        let conditions = written(phase, reason);
        assert_eq!(
            conditions.len(),
            ConditionType::iter().count(),
            "{phase} {reason}: every condition is always there"
        );
        assert_eq!(kstatus(&conditions), Standard::of(phase, reason).kstatus().to_string(), "{phase} {reason}");
        assert!(conditions.iter().all(|c| c.observed_generation == Some(3)));
        let is = |kind: ConditionType| status(&conditions, kind.into()).status == "True";
        // Standard conditions never contradict each other, nor the run's own.
        assert!(
            !(is(ConditionType::Stalled) && (is(ConditionType::Ready) || is(ConditionType::Reconciling))),
            "{phase} {reason}"
        );
        assert!(!is(ConditionType::Complete) || is(ConditionType::Ready), "{phase} {reason}");
        assert!(!is(ConditionType::Failed) || is(ConditionType::Stalled), "{phase} {reason}");
        // People look at Ready first: it says why, whatever it is.
        let ready = status(&conditions, "Ready");
        assert_eq!((ready.reason.as_str(), ready.message.as_str()), (reason.into(), "because"));
        seen += 1;
    }
    assert_eq!(seen, Phase::iter().count() * Reason::iter().count());
}

/// The page says what the code does: phase, reason, Ready, Reconciling, Stalled, kstatus. It has every phase, and every reason
/// that a run can have.
#[test]
fn the_published_table_is_what_is_written() {
    let rows = rows("## What a run can say");
    let mut pairs = Vec::new();
    for row in &rows {
        let phase = Phase::iter().find(|p| p.to_string() == row[0]).unwrap_or_else(|| panic!("{row:?}"));
        let reason = Reason::iter().find(|r| r.to_string() == row[1]).unwrap_or_else(|| panic!("{row:?}"));
        let c = written(phase, reason);
        let said = ["Ready", "Reconciling", "Stalled"].map(|kind| status(&c, kind).status.as_str());
        assert_eq!((row[2..5].to_vec(), row[5]), (said.to_vec(), kstatus(&c)), "{row:?}");
        assert!(row.len() == 8 && !row[6].is_empty() && !row[7].is_empty(), "{row:?}: what it means and what to do");
        assert!(!pairs.contains(&(phase, reason)), "{row:?} stands there twice");
        pairs.push((phase, reason));
    }
    for phase in Phase::iter() {
        assert!(pairs.iter().any(|p| p.0 == phase), "{phase} is in no row");
    }
    let of_conditions = [Reason::AsExpected, Reason::NotYet, Reason::WorkersMissing];
    for reason in Reason::iter().filter(|r| !of_conditions.contains(r)) {
        assert!(pairs.iter().any(|p| p.1 == reason), "{reason} is in no row");
    }
}

#[test]
fn the_page_has_every_condition() {
    let names: Vec<String> = rows("## The conditions").iter().map(|r| r[0].trim_matches('`').to_owned()).collect();
    assert_eq!(names, ConditionType::iter().map(|c| c.to_string()).collect::<Vec<_>>());
}

#[rstest]
#[case(Phase::Complete, ConditionType::Complete)]
#[case(Phase::Failed, ConditionType::Failed)]
#[case(Phase::FailingOver, ConditionType::FailingOver)]
#[case(Phase::Suspended, ConditionType::Suspended)]
fn the_own_condition_of_a_phase_is_true_in_it_alone(#[case] phase: Phase, #[case] kind: ConditionType) {
    for other in Phase::iter() {
        let holds = states(&facts(other, Reason::RoundInProgress)).into_iter().find(|s| s.kind == kind).unwrap().holds;
        assert_eq!(holds, other == phase, "{other}");
    }
}

#[test]
fn workers_sites_and_checkpoints_have_conditions_of_their_own() {
    let full =
        Facts { workers: (4, 4), checkpoint_consistent: true, ..facts(Phase::Training, Reason::RoundInProgress) };
    let of = |f: &Facts<'_>, kind: ConditionType| {
        let s = states(f).into_iter().find(|s| s.kind == kind).unwrap();
        (s.holds, s.reason)
    };
    assert_eq!(of(&full, ConditionType::PodsReady), (true, Reason::AsExpected));
    assert_eq!(of(&full, ConditionType::Admitted), (true, Reason::AsExpected));
    assert_eq!(of(&full, ConditionType::CheckpointConsistent), (true, Reason::AsExpected));
    let one_short = Facts { workers: (3, 4), ..full };
    assert_eq!(of(&one_short, ConditionType::PodsReady), (false, Reason::WorkersMissing));
    let waiting = Facts { admitted: false, workers: (0, 0), ..facts(Phase::Queued, Reason::WaitingForSites) };
    assert_eq!(of(&waiting, ConditionType::Admitted), (false, Reason::WaitingForSites));
    assert_eq!(of(&waiting, ConditionType::PodsReady), (false, Reason::WaitingForSites));
    let asleep = Facts { workers: (4, 4), ..facts(Phase::Suspended, Reason::SuspendRequested) };
    assert_eq!(of(&asleep, ConditionType::PodsReady), (false, Reason::SuspendRequested));
}

#[test]
fn a_transition_time_moves_only_when_the_status_flips() {
    let mut conditions = Vec::new();
    write(&mut conditions, &facts(Phase::Starting, Reason::NewLeader), &time(1));
    write(&mut conditions, &facts(Phase::Starting, Reason::RoundInProgress), &time(2));
    assert_eq!(status(&conditions, "Ready").last_transition_time, time(1));
    assert_eq!(status(&conditions, "Ready").reason, "RoundInProgress");
    write(&mut conditions, &facts(Phase::Training, Reason::RoundInProgress), &time(3));
    assert_eq!(status(&conditions, "Ready").last_transition_time, time(3));
    assert_eq!(status(&conditions, "Stalled").last_transition_time, time(1));
    let before = conditions.clone();
    write(&mut conditions, &facts(Phase::Training, Reason::RoundInProgress), &time(4));
    assert_eq!(conditions, before, "writing the same again changes nothing");
}
