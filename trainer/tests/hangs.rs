//! A worker that lives and does nothing, as one that was stopped or waits for a disk that does not answer: its supervisor says
//! so to the gateway, kills it after a while, and the next process goes on with the same bits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests fail by panicking, like tests.
mod common;

use std::time::Duration;

use coalition_protocol::{Digest, SiteId, exit};
use common::hub::Hub;
use common::process::{Supervisor, start_with};
use rustix::process::{Signal, kill_process};

/// No test waits longer for one thing: the slowest machine of the gate is ten times slower than the usual one.
const LIMIT: Duration = Duration::from_mins(2);
/// Twice the time between signs of life, and more than a start takes here.
const HANGS: u64 = 5000;

fn site() -> SiteId {
    "north".parse().unwrap()
}

fn begin(dir: &std::path::Path) -> (Hub, Supervisor) {
    let hub = common::run(dir, &common::spec(6, 4, 1), &[("north", 1)], 6);
    let switches = serde_json::json!({"stepPauseMillis": 100, "hangMillis": HANGS});
    let supervisor = start_with(dir, &hub, &hub.gateway(&site()), "north", 0, &switches);
    (hub, supervisor)
}

fn finish(hub: &Hub, supervisor: &mut Supervisor) -> Digest {
    hub.wait("the end of the run", LIMIT, |s| s.view.ended().is_some());
    assert_eq!(supervisor.end(LIMIT), i32::from(exit::FINISHED));
    common::audit(hub, &common::spec(6, 4, 1));
    hub.lock().view.ended().unwrap().state.unwrap()
}

#[test]
fn a_worker_that_hangs_is_killed_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, mut supervisor) = begin(dir.path());
    let expected = finish(&hub, &mut supervisor);
    assert_eq!(supervisor.count("workerStarted"), 1, "one that works is never killed");
    assert!(hub.lock().sites[&site()].still < HANGS);

    let dir = tempfile::tempdir().unwrap();
    let (hub, mut supervisor) = begin(dir.path());
    supervisor.wait("step", 8, LIMIT);
    kill_process(supervisor.worker_pid().unwrap(), Signal::STOP).unwrap();
    supervisor.wait("workerEnded", 0, LIMIT);
    assert_eq!(finish(&hub, &mut supervisor), expected);
    assert_eq!(supervisor.count("workerStarted"), 2);
    assert_eq!(supervisor.count("alive"), 0, "signs of life are for the supervisor alone");
    let s = hub.lock();
    let north = &s.sites[&site()];
    assert!(north.still >= HANGS, "the gateway heard of {} ms", north.still);
    let told = &north.exits[0];
    assert!(told.exit_code == 137 && told.log.contains("has shown no sign of life for 5 s"), "{told:?}");
    assert_eq!(north.resumed, ["Fresh", "Exact"]);
}
