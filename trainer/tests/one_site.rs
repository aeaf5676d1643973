//! One site, whole processes: a run to its end, and the same run with processes killed at random. One class, so the
//! parameters must be equal bit by bit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests fail by panicking, like tests.
mod common;

use std::time::Duration;

use coalition_protocol::philox::{Draws, Purpose};
use coalition_protocol::{Digest, SiteId, exit};
use common::hub::Hub;
use common::process::{Supervisor, start};

/// No test waits longer for one thing: the slowest machine of the gate is ten times slower than the usual one.
const LIMIT: Duration = Duration::from_mins(2);

fn site() -> SiteId {
    "north".parse().unwrap()
}

fn begin(dir: &std::path::Path, workers: u32, pause: u64) -> (Hub, Vec<Supervisor>) {
    let spec = common::spec(6, 4, 1);
    let hub = common::run(dir, &spec, &[("north", workers)], 6);
    let gateway = hub.gateway(&site());
    let all = (0..workers).map(|w| start(dir, &hub, &gateway, "north", w, pause)).collect();
    (hub, all)
}

fn finish(hub: &Hub, all: &mut [Supervisor]) -> Digest {
    hub.wait("the end of the run", LIMIT, |s| s.view.ended().is_some());
    for s in all.iter_mut() {
        assert_eq!(s.end(LIMIT), i32::from(exit::FINISHED));
    }
    common::audit(hub, &common::spec(6, 4, 1));
    let s = hub.lock();
    assert_eq!(s.view.tokens(), s.view.genesis().budget);
    s.view.ended().unwrap().state.unwrap()
}

fn undisturbed(workers: u32) -> Digest {
    let dir = tempfile::tempdir().unwrap();
    let (hub, mut all) = begin(dir.path(), workers, 0);
    finish(&hub, &mut all)
}

/// Kills worker processes at drawn steps; the end is the same to the bit.
#[test]
fn killed_workers_change_nothing() {
    let seed = 11;
    let expected = undisturbed(1);
    let dir = tempfile::tempdir().unwrap();
    let (hub, mut all) = begin(dir.path(), 1, 20);
    let draws = Draws::new(seed, Purpose::Test, 0, 0);
    for n in 0..5 {
        let steps = all[0].count("step");
        all[0].wait("step", steps + (draws.u64(n) % 5) as usize, LIMIT);
        if hub.lock().view.ended().is_some() {
            break;
        }
        all[0].kill_worker();
        all[0].wait("workerStarted", n as usize + 1, LIMIT);
    }
    assert_eq!(finish(&hub, &mut all), expected, "seed {seed}");
    println!("ms after the kill: started, up, joined, restored, first step: {:?}", all[0].phases());
    let s = hub.lock();
    let resumed = &s.sites[&site()].resumed;
    assert!(resumed.len() >= 5 && resumed.iter().skip(1).all(|r| r == "Exact" || r == "Fresh"), "{resumed:?}");
    assert!(resumed.iter().any(|r| r == "Exact"), "no attempt resumed exactly: {resumed:?}");
}

/// Two workers, one of them killed: the survivor stays, the gang forms again, the bits are those of two workers left alone.
#[test]
fn a_killed_rank_changes_nothing() {
    let expected = undisturbed(2);
    let dir = tempfile::tempdir().unwrap();
    let (hub, mut all) = begin(dir.path(), 2, 20);
    for (n, victim) in [1, 0].into_iter().enumerate() {
        let steps = all[0].count("step");
        all[0].wait("step", steps + 4, LIMIT);
        all[victim].kill_worker();
        all[victim].wait("workerStarted", 1, LIMIT);
        hub.wait("a new attempt", LIMIT, |s| s.sites[&site()].attempt.0 >= n as u64 + 2);
    }
    assert_eq!(finish(&hub, &mut all), expected);
    assert_eq!(all[0].count("workerStarted") + all[1].count("workerStarted"), 4, "survivors stay");
}

/// kill -9 of the supervisor leaves nothing running, and another one goes on.
#[test]
fn a_killed_supervisor_leaves_no_orphan() {
    let expected = undisturbed(1);
    let dir = tempfile::tempdir().unwrap();
    let (hub, mut all) = begin(dir.path(), 1, 20);
    all[0].wait("step", 5, LIMIT);
    let worker = all[0].worker_pid().unwrap();
    all[0].kill();
    let until = std::time::Instant::now() + Duration::from_secs(5);
    // Not our child, so its end is seen only by its process id becoming free (or a zombie that init has not reaped).
    while alive(worker) {
        assert!(std::time::Instant::now() < until, "the worker outlived its supervisor");
        std::thread::sleep(Duration::from_millis(5));
    }
    all[0].restart();
    assert_eq!(finish(&hub, &mut all), expected);
}

fn alive(pid: rustix::process::Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    // The state follows the name in parentheses.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// SIGTERM: saved, reported, 143, within ten seconds; the next process goes on from there exactly.
#[test]
fn sigterm_saves() {
    let expected = undisturbed(1);
    let dir = tempfile::tempdir().unwrap();
    let (hub, mut all) = begin(dir.path(), 1, 20);
    all[0].wait("step", 7, LIMIT);
    all[0].signal(rustix::process::Signal::TERM);
    assert_eq!(all[0].end(Duration::from_secs(10)), i32::from(exit::STOPPED));
    let reported = hub.lock().sites[&site()].report.clone().unwrap();
    assert!(reported.saved);
    let steps = reported.progress.step;
    all[0].restart();
    all[0].wait("restored", 1, LIMIT);
    assert_eq!(all[0].events("restored")[1]["step"].as_u64(), Some(steps), "nothing is done twice after SIGTERM");
    assert_eq!(finish(&hub, &mut all), expected);
}

/// A flipped bit in the newest site checkpoint: it is refused by name, the one before it serves, and the end is the same.
#[test]
fn a_damaged_checkpoint_is_passed_by() {
    let expected = undisturbed(1);
    let dir = tempfile::tempdir().unwrap();
    let (hub, mut all) = begin(dir.path(), 1, 20);
    all[0].wait("saved", 1, LIMIT);
    all[0].kill();
    let data = dir.path().join("north/store/runs/tiny/site/1.1");
    let mut entries: Vec<_> = std::fs::read_dir(&data).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    let newest = std::fs::read_dir(entries.last().unwrap()).unwrap().next().unwrap().unwrap().path();
    let file = newest.join("x-00000.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    all[0].restart();
    all[0].wait("damaged", 0, LIMIT);
    assert_eq!(finish(&hub, &mut all), expected);
}

/// A site that has lost its log goes on from the outer state with moments from zero (D23). The end is another one: so the
/// equality that the tests above find is not for nothing.
#[test]
fn without_its_log_a_site_goes_on_from_the_outer_state() {
    let expected = undisturbed(1);
    let dir = tempfile::tempdir().unwrap();
    let (hub, mut all) = begin(dir.path(), 1, 20);
    all[0].wait("stored", 0, LIMIT);
    all[0].kill();
    let run = dir.path().join("north/store/runs/tiny");
    for folder in ["log", "site"] {
        std::fs::remove_dir_all(run.join(folder)).unwrap();
    }
    all[0].restart();
    all[0].wait("restored", 1, LIMIT);
    assert_eq!(all[0].events("restored")[1]["how"], "outer");
    assert_ne!(finish(&hub, &mut all), expected);
}
