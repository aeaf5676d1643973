//! What workers in pods rely on: one configuration file for all of a gang, a gateway below a path, tokens that are exchanged
//! while they run, and readiness that says when they have met.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests fail by panicking, like tests.
mod common;

use std::net::TcpListener;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use coalition_protocol::{SiteId, exit};
use common::gateway::Guard;
use common::http;
use common::process::{Supervisor, config, plain};
use rustix::process::{Signal, kill_process};

/// No test waits longer for one thing: the slowest machine of the gate is ten times slower than the usual one.
const LIMIT: Duration = Duration::from_mins(2);

fn north() -> SiteId {
    "north".parse().unwrap()
}

fn trainer(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_coalition-trainer")).args(args).output().unwrap()
}

/// A port that was free a moment ago. Whoever takes it in between makes the supervisor's start fail loudly.
fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Asks until the answer has this status (none: nobody answers) and gives what is said; says what was last answered if that takes
/// too long.
fn until(health: &str, status: Option<u16>) -> String {
    let end = Instant::now() + LIMIT;
    loop {
        let got = http::get(health, "/readyz");
        if got.as_ref().map(|(s, _)| *s) == status {
            return got.map(|(_, said)| said).unwrap_or_default();
        }
        assert!(Instant::now() < end, "waited {LIMIT:?} for {status:?} of {health}: {got:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn one_file_serves_all_workers_and_readiness_follows_the_gang() {
    let dir = tempfile::tempdir().unwrap();
    let hub = common::run(dir.path(), &common::spec(6, 4, 1), &[("north", 2)], 6);
    let mut json = config(dir.path(), &hub, &hub.gateway(&north()), "north");
    json["test"] = serde_json::json!({"stepPauseMillis": 100});
    let file = dir.path().join("worker.json");
    std::fs::write(&file, json.to_string()).unwrap();
    let out = trainer(&["supervise", "--config", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(i32::from(exit::CONFIG)) && said.contains("--worker"), "{said}");

    let health = [free(), free()];
    let start = |n: usize| {
        let args = ["--worker", &n.to_string(), "--listen", "127.0.0.1:0", "--health", &health[n]];
        Supervisor::start(&dir.path().join(format!("worker-{n}.json")), plain(&file, &args))
    };
    let ready = || {
        let out = trainer(&["ready", "--config", file.to_str().unwrap(), "--worker", "0", "--health", &health[0]]);
        (out.status.code(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    };
    let (code, said) = ready();
    assert!(code == Some(i32::from(exit::TRY_AGAIN)) && said.contains("no supervisor answers"), "{code:?}: {said}");
    let mut first = start(0);
    first.wait("workerStarted", 0, LIMIT);
    assert!(until(&health[0], Some(503)).contains("has not joined"));
    let mut second = start(1);
    assert!(until(&health[0], Some(200)).contains("attempt 1"));
    assert!(until(&health[1], Some(200)).contains("attempt 1"));
    let (code, said) = ready();
    assert!(code == Some(0) && said.contains("ready: the worker is in attempt 1"), "{code:?}: {said}");
    // Whatever is written from here on says who speaks.
    for (rank, s) in [(0, &first), (1, &second)] {
        s.wait("firstStep", 0, LIMIT);
        let line = s.events("firstStep").pop().unwrap();
        assert_eq!((line["rank"].as_u64(), line["attempt"].as_u64()), (Some(rank), Some(1)), "{line}");
        assert!(line["ms"].is_u64() && line["at"].is_string(), "{line}");
    }
    second.kill_worker();
    second.wait("workerStarted", 1, LIMIT);
    first.wait("joined", 1, LIMIT);
    assert!(until(&health[0], Some(200)).contains("attempt 2"));
    // A supervisor that is stopped answers nobody.
    kill_process(first.pid(), Signal::STOP).unwrap();
    until(&health[0], None);
    kill_process(first.pid(), Signal::CONT).unwrap();
    hub.wait("the end of the run", LIMIT, |s| s.view.ended().is_some());
    assert_eq!([first.end(LIMIT), second.end(LIMIT)], [0, 0]);
    common::audit(&hub, &common::spec(6, 4, 1));
}

/// From one moment on the gateway takes only another token, and the worker's file gets that later: the same process goes on.
#[test]
fn a_token_may_rotate_while_a_worker_runs() {
    let dir = tempfile::tempdir().unwrap();
    let hub = common::run(dir.path(), &common::spec(6, 4, 1), &[("north", 1)], 6);
    let guard = Arc::new(Mutex::new(Guard { token: "first".to_owned(), refused: 0 }));
    let mut json = config(dir.path(), &hub, &hub.guarded_gateway(&north(), &guard), "north");
    json["worker"] = 0.into();
    json["test"] = serde_json::json!({"stepPauseMillis": 50});
    let (file, token) = (dir.path().join("worker.json"), dir.path().join("token"));
    std::fs::write(&file, json.to_string()).unwrap();
    let write = |text: &str| {
        std::fs::write(dir.path().join("new"), text).unwrap();
        std::fs::rename(dir.path().join("new"), &token).unwrap();
    };
    let turned_away = |n: u32| {
        let end = Instant::now() + LIMIT;
        while guard.lock().unwrap().refused < n {
            assert!(Instant::now() < end, "waited {LIMIT:?} for a worker to be turned away {n} times");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    // Not known yet when it first asks, as a pod that is faster than the gateway's view of it.
    write("unknown");
    let mut s = Supervisor::start(&file, plain(&file, &[]));
    turned_away(3);
    assert_eq!(s.count("joined"), 0);
    write("first");
    s.wait("step", 5, LIMIT);
    *guard.lock().unwrap() = Guard { token: "second".to_owned(), refused: 0 };
    turned_away(5);
    write("second");
    hub.wait("the end of the run", LIMIT, |s| s.view.ended().is_some());
    assert_eq!(s.end(LIMIT), i32::from(exit::FINISHED));
    assert_eq!((s.count("workerStarted"), s.count("joined")), (1, 1), "nobody had to start or join again");
    common::audit(&hub, &common::spec(6, 4, 1));
}
