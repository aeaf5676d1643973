//! The formation of a gang as a table of events, without HTTP or files.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
use coalition_gateway::GangState;
use coalition_gateway::gang::Step;
use coalition_protocol::messages::{ExitReport, JoinReply, JoinRequest, Orders};
use coalition_protocol::{Attempt, Digest};

fn request(worker: u32, process: &str, after: Option<u64>) -> JoinRequest {
    JoinRequest {
        worker,
        process: process.to_owned(),
        listen: format!("127.0.0.1:{worker}"),
        class: Digest::ZERO,
        after: after.map(Attempt),
    }
}

fn exit(worker: u32, process: &str, exit_code: i32) -> ExitReport {
    ExitReport { worker, process: process.to_owned(), exit_code, log: "last words".to_owned() }
}

/// Joins and follows swaps until the process is answered or waits.
fn join(state: &mut GangState, r: &JoinRequest, workers: u32) -> Option<JoinReply> {
    loop {
        match state.join(r, workers, "secret").expect("a valid join") {
            Step::Answer(a) => return Some(a),
            Step::Wait => return None,
            Step::Swap(next) => *state = *next,
        }
    }
}

fn formed() -> GangState {
    let mut s = GangState::default();
    assert_eq!(join(&mut s, &request(0, "a", None), 2), None);
    assert!(join(&mut s, &request(1, "b", None), 2).is_some());
    s
}

#[test]
fn all_workers_meet_at_attempt_one_and_a_repeated_join_changes_nothing() {
    let mut s = formed();
    let before = s.clone();
    let reply = join(&mut s, &request(0, "a", None), 2).expect("it is part of the gang");
    assert_eq!(reply.attempt, Attempt(1));
    assert_eq!(reply.peers, ["127.0.0.1:0", "127.0.0.1:1"]);
    assert_eq!(reply.token, "secret");
    assert_eq!(s, before);
}

#[test]
fn a_new_process_opens_a_formation_that_survivors_must_enter() {
    let mut s = formed();
    assert_eq!(s.in_force(), Attempt(1));
    s = s.exited(&exit(1, "b", 137), Orders::Restart).expect("the first report of it");
    assert_eq!(s.in_force(), Attempt(2), "survivors leave before the new process is even there");
    assert_eq!(join(&mut s, &request(1, "c", None), 2), None);
    assert_eq!(s.attempt, Attempt(1), "nobody is answered before the attempt is raised");
    let reply = join(&mut s, &request(0, "a", Some(1)), 2).expect("all are there");
    assert_eq!(reply.attempt, Attempt(2));
    // The one that waited asks again; so does one whose answer was lost.
    assert_eq!(join(&mut s, &request(1, "c", None), 2).map(|r| r.attempt), Some(Attempt(2)));
    assert_eq!(join(&mut s, &request(0, "a", Some(1)), 2).map(|r| r.attempt), Some(Attempt(2)));
    assert_eq!(s.attempt, Attempt(2));
}

#[test]
fn a_lost_collective_without_a_death_forms_the_next_attempt() {
    let mut s = formed();
    assert_eq!(join(&mut s, &request(0, "a", Some(1)), 2), None);
    assert_eq!(join(&mut s, &request(1, "b", Some(1)), 2).map(|r| r.attempt), Some(Attempt(2)));
}

#[test]
fn a_gang_restored_from_an_older_copy_never_gives_an_attempt_twice() {
    let mut s = GangState::default();
    assert_eq!(join(&mut s, &request(0, "a", Some(7)), 1).map(|r| r.attempt), Some(Attempt(8)));
}

#[test]
fn one_death_is_one_failure_however_often_it_is_reported() {
    let mut s = formed();
    s = s.exited(&exit(0, "a", 137), Orders::Restart).expect("new");
    assert_eq!(s.exited(&exit(0, "a", 137), Orders::Restart), None);
    join(&mut s, &request(0, "d", None), 2);
    assert_eq!(s.exited(&exit(0, "a", 137), Orders::Restart), None, "also after its successor joined");
    let report = s.report(2);
    assert_eq!((report.failures.len(), report.process_restarts, report.failures[0].number), (1, 1, 1));
}

#[test]
fn a_process_that_dies_before_the_gang_stands_is_not_waited_for() {
    let mut s = GangState::default();
    join(&mut s, &request(0, "a", None), 2);
    s = s.exited(&exit(0, "a", 137), Orders::Restart).expect("new");
    assert_eq!(join(&mut s, &request(1, "b", None), 2), None, "a is gone");
    assert!(join(&mut s, &request(0, "c", None), 2).is_some());
}

#[test]
fn stopped_means_that_every_worker_left_and_saving_is_no_failure() {
    let mut s = formed();
    s = s.exited(&exit(0, "a", 143), Orders::Leave).expect("new");
    assert!(!s.report(2).stopped);
    s = s.exited(&exit(1, "b", 143), Orders::Leave).expect("new");
    let report = s.report(2);
    assert!(report.stopped);
    assert_eq!((report.failures.len(), report.workers_ready), (0, 0));
    join(&mut s, &request(0, "c", None), 2);
    assert!(!s.report(2).stopped, "it came back");
    // Killed while it was to save: it is gone, and it has not saved.
    let mut s = formed();
    s = s.exited(&exit(0, "a", 143), Orders::Leave).expect("new");
    for code in [137, 69, 66] {
        let s = s.exited(&exit(1, "b", code), Orders::Leave).expect("new");
        assert!(!s.report(2).stopped, "exit code {code}");
    }
}

#[test]
fn failures_are_bounded_and_numbered_on() {
    let mut s = formed();
    for n in 0..40 {
        let mut e = exit(1, &format!("p{n}"), 75);
        e.log = "ä".repeat(8 * 1024);
        s = s.exited(&e, Orders::Restart).expect("new");
    }
    let report = s.report(2);
    assert_eq!(report.failures.len(), 32);
    assert_eq!(report.last_failure.as_ref().map(|f| f.number), Some(40));
    let bytes = serde_json::to_vec(&report).expect("it serialises").len();
    assert!(bytes < 64 * 1024, "a site report holds 64 KiB; this part has {bytes}");
}

#[test]
fn a_worker_that_does_not_exist_is_refused_with_the_bound() {
    let e = GangState::default().join(&request(2, "a", None), 2, "t").expect_err("there are two");
    assert_eq!(e.to_string(), "worker 2 does not exist: this site's gang has 2 workers, numbered from 0");
}
