//! What is said of a stop: success only if the order was taken and every site that ran has saved.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use std::sync::Arc;

use coalition_local::lock::RunnerLock;
use coalition_local::stop::Stop;
use coalition_local::{Ending, Layout, LocalError, Runner, Snapshot, durable, exit_code};
use coalition_planner::status::{Phase, SiteState};
use common::{Bench, Shape, finish, site, trained};
use rustix::process::{Pid, Signal, kill_process};

/// A run of two sites that has trained a little and has long to go.
async fn trains() -> (Bench, Arc<Runner>) {
    let bench = Bench::new(&Shape { rounds: 40, pause: 10, ..Shape::default() });
    let runner = bench.start().await;
    trained(&runner, 2).await;
    (bench, runner)
}

/// What the folder shows after a stop, asked for from outside as `kubectl-coalition stop` does.
async fn stopped(layout: &Layout, asked: Stop) -> Result<Snapshot, LocalError> {
    let mut poll = tokio::time::interval(coalition_local::control::POLL);
    let limit = tokio::time::Instant::now() + common::LONG;
    while asked.is_pending() {
        assert!(tokio::time::Instant::now() < limit, "the runner of {} does not end", layout.dir().display());
        poll.tick().await;
    }
    asked.outcome()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_was_taken_and_saved_is_a_stop() {
    let (bench, runner) = trains().await;
    let asked = Stop::ask(&bench.layout()).expect("a runner is at work");
    assert_eq!(finish(&runner).await.expect("stopped"), Ending::Suspended);
    drop(runner);
    let last = stopped(&bench.layout(), asked).await.expect("saved");
    assert_eq!(last.status.phase, Phase::Suspended);
    assert!(last.unsaved.is_empty());
}

/// That sites saved and stopped was the word of the runner before: the next one does not repeat it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_goes_on_is_not_told_as_stopped() {
    let (bench, runner) = trains().await;
    runner.stop();
    assert_eq!(finish(&runner).await.expect("stopped"), Ending::Suspended);
    drop(runner);
    let runner = bench.start().await;
    let mut seen = Vec::new();
    let trains = |s: &Snapshot| {
        seen.extend(s.status.sites.iter().map(|l| l.state));
        s.status.sites.iter().any(|l| l.state == SiteState::Training)
    };
    runner.wait_for(common::LONG, trains).await.expect("it goes on");
    assert!(!seen.contains(&SiteState::Stopped), "{seen:?}");
    runner.shut_down().await;
}

/// A run that is complete was never queued, and its checkpoint stays where it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_complete_run_stays_complete() {
    let bench = Bench::new(&Shape::default());
    let runner = bench.start().await;
    assert_eq!(finish(&runner).await.expect("an end"), Ending::Complete);
    let checkpoint = runner.snapshot().borrow().status.checkpoint.clone();
    drop(runner);
    for _ in 0..2 {
        let runner = bench.start().await;
        assert_eq!(runner.snapshot().borrow().status.phase, Phase::Complete, "from the first");
        assert_eq!(finish(&runner).await.expect("an end"), Ending::Complete);
        assert!(checkpoint.is_some());
        assert_eq!(runner.snapshot().borrow().status.checkpoint, checkpoint);
    }
}

/// A runner that dies is no runner that stopped, whenever it dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_dies_before_or_after_the_order_has_not_stopped() {
    let (bench, runner) = trains().await;
    let layout = bench.layout();
    // As a kill leaves it: everything ends, nobody says anything.
    runner.shut_down().await;
    drop(runner);
    let held = RunnerLock::take(&layout).expect("free");
    let asked = Stop::ask(&layout).expect("someone holds the folder");
    let order = std::fs::read_dir(layout.control()).expect("orders").next().expect("one").expect("a file").path();
    drop(held);
    let e = stopped(&layout, asked).await.expect_err("nobody took it");
    assert_eq!(e.exit_code(), exit_code::UNAVAILABLE);
    for word in ["gone before it took the order", "round ", "tokens committed", "written at 20", "resume"] {
        assert!(e.to_string().contains(word), "{word:?} is missing in: {e}");
    }
    assert!(!order.exists(), "no later runner takes it for its own");
    // Taken, and dead before the sites saved: the status is of this runner, and says that it trained.
    let held = RunnerLock::take(&layout).expect("free");
    let asked = Stop::ask(&layout).expect("someone holds the folder");
    assert_eq!(coalition_local::control::take(&layout), [coalition_local::control::Command::Stop]);
    drop(held);
    let e = stopped(&layout, asked).await.expect_err("nobody saved");
    assert_eq!(e.exit_code(), exit_code::INTERRUPTED);
    assert!(e.to_string().contains("gone before it said that sites saved"), "{e}");
    // An older life's word does not count for this one.
    let mut old: Snapshot = durable::read_json(&layout.status()).expect("readable").expect("a status");
    (old.status.phase, old.runner) = (Phase::Suspended, old.runner + 1);
    durable::replace_view(&layout.status(), &old).expect("written");
    let held = RunnerLock::take(&layout).expect("free");
    let asked = Stop::ask(&layout).expect("someone holds the folder");
    coalition_local::control::take(&layout);
    drop(held);
    assert!(stopped(&layout, asked).await.is_err(), "the status is of another runner");
}

fn signal(pids: &[u32], what: Signal) {
    for pid in pids {
        let pid = i32::try_from(*pid).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(pid, what).expect("signalled");
    }
}

/// South's workers do not react: they are stopped like a machine that hangs, so they cannot save.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_did_not_save_is_named() {
    let (bench, runner) = trains().await;
    let south = site("south");
    for p in runner.processes().await.into_iter().filter(|p| p.site == south) {
        signal(&p.workers, Signal::STOP);
        signal(&[p.supervisor], Signal::STOP);
    }
    let asked = Stop::ask(&bench.layout()).expect("a runner is at work");
    let ending = tokio::time::timeout(2 * common::LONG, runner.finished()).await.expect("an end").expect("stopped");
    assert_eq!(ending, Ending::Unsaved(vec![south.clone()]));
    drop(runner);
    let e = stopped(&bench.layout(), asked).await.expect_err("south did not save");
    assert_eq!(e.exit_code(), exit_code::INTERRUPTED);
    assert!(e.to_string().contains("south had not saved"), "{e}");
    assert!(e.to_string().contains("last site checkpoint"), "{e}");
}

/// Killed between the order and the save: it leaves like one that was told to, and yet has not saved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_while_it_was_to_save_has_not_saved() {
    let (bench, runner) = trains().await;
    let south = site("south");
    let all = runner.processes().await;
    let workers: Vec<u32> = all.into_iter().filter(|p| p.site == south).flat_map(|p| p.workers).collect();
    signal(&workers, Signal::STOP);
    let asked = Stop::ask(&bench.layout()).expect("a runner is at work");
    let ending = tokio::spawn({
        let runner = runner.clone();
        async move { finish(&runner).await }
    });
    let north = site("north");
    let left = |s: &Snapshot| s.status.sites.iter().any(|l| l.site == north && l.state == SiteState::Stopped);
    runner.wait_for(common::LONG, left).await.expect("north saves and leaves");
    signal(&workers, Signal::KILL);
    let ending = ending.await.expect("no panic").expect("stopped");
    assert_eq!(ending, Ending::Unsaved(vec![south.clone()]));
    drop(runner);
    let e = stopped(&bench.layout(), asked).await.expect_err("south did not save");
    assert_eq!(e.exit_code(), exit_code::INTERRUPTED);
}

/// A site that was down before the stop has nothing to save by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_without_power_is_not_waited_for() {
    let (bench, runner) = trains().await;
    runner.kill_site(&site("south")).await.expect("it was up");
    let asked = Stop::ask(&bench.layout()).expect("a runner is at work");
    assert_eq!(finish(&runner).await.expect("stopped"), Ending::Suspended);
    drop(runner);
    stopped(&bench.layout(), asked).await.expect("what ran is saved");
}
