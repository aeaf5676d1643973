//! A supervisor as the first process of a container, made of this machine's namespaces: without rights, a root file system that
//! cannot be written, logs as JSON. It reaps what others leave behind, passes SIGTERM on, and what was saved goes on elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests fail by panicking, like tests.
mod common;

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use coalition_protocol::{SiteId, exit};
use common::http;
use common::process::{Supervisor, config};
use rustix::process::{Pid, Signal, kill_process};

/// No test waits longer for one thing: the slowest machine of the gate is ten times slower than the usual one.
const LIMIT: Duration = Duration::from_mins(2);
/// Who the program runs as in its image.
const USER: u32 = 65532;

/// Makes the root file system read-only but for `$1`, takes all rights, and becomes the rest of its arguments. The program and the
/// tensor library are brought to where that user may read them.
const CONTAINER: &str = r#"
set -e
dir=$1 program=$2 libraries=$3; shift 3
mount --bind "$dir" "$dir"
mkdir -p "$dir/lib"; touch "$dir/trainer"
mount --bind "$program" "$dir/trainer"
mount --bind "$libraries" "$dir/lib"
mount -o remount,bind,ro /
cd /
export LD_LIBRARY_PATH="$dir/lib"
exec setpriv --reuid 65532 --regid 65532 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$dir/trainer" "$@"
"#;

/// True if this machine lets us make a container; says loudly if not.
fn possible() -> bool {
    let tried = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--mount-proc", "setpriv", "--version"])
        .output()
        .is_ok_and(|o| o.status.success());
    if !tried {
        eprintln!("SKIPPED: no namespaces of our own (needs root, unshare and setpriv)");
    }
    tried
}

/// Children of a process, dead ones that nobody has waited for included.
fn children(pid: Pid) -> Vec<i32> {
    let mut all = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        all.extend(text.split_whitespace().map(|p| p.parse::<i32>().unwrap()));
    }
    all
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < end, "waited {LIMIT:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a probe finds the worker ready, and how long that took.
fn probe(address: &str) -> (bool, Duration) {
    let start = Instant::now();
    let ready = http::get(address, "/readyz").is_some_and(|(status, _)| status == 200);
    (ready, start.elapsed())
}

fn give(path: &Path) {
    chown(path, Some(USER), Some(USER)).unwrap();
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        give(&entry.path());
    }
}

fn libraries() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join(".libtorch/lib").canonicalize().unwrap().to_str().unwrap().to_owned()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn the_first_process_of_a_container() {
    if !possible() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let site: SiteId = "north".parse().unwrap();
    let hub = common::run(dir.path(), &common::spec(6, 4, 1), &[("north", 1)], 6);
    let mut json = config(dir.path(), &hub, &hub.gateway(&site), "north");
    copy(common::data(), &dir.path().join("data"));
    json["data"] = dir.path().join("data").to_str().unwrap().into();
    json["test"] = serde_json::json!({"stepPauseMillis": 50});
    let file = dir.path().join("worker.json");
    std::fs::write(&file, json.to_string()).unwrap();
    give(dir.path());
    let health = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut command =
        vec!["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", CONTAINER, "sh"];
    let (folder, program, libraries) =
        (dir.path().to_str().unwrap(), env!("CARGO_BIN_EXE_coalition-trainer"), libraries());
    command.extend([
        folder,
        program,
        &libraries,
        "--log-format",
        "json",
        "supervise",
        "--config",
        file.to_str().unwrap(),
    ]);
    command.extend(["--worker", "0", "--listen", "127.0.0.1:0", "--health", &health]);
    let mut s = Supervisor::start(&file, command.into_iter().map(str::to_owned).collect());

    s.wait("step", 7, LIMIT);
    let first = Pid::from_raw(children(s.pid())[0]).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", first.as_raw_nonzero())).unwrap();
    let has = |line: &str| assert!(status.lines().any(|l| l == line), "{line:?} is not in {status}");
    has("Uid:\t65532\t65532\t65532\t65532");
    has("NoNewPrivs:\t1");
    has("CapEff:\t0000000000000000");
    assert!(status.lines().any(|l| l.starts_with("NSpid:") && l.ends_with("\t1")), "{status}");
    wait("readiness", || probe(&health).0);
    let fastest = (0..5).map(|_| probe(&health).1).min().unwrap();
    println!("a probe takes {fastest:?}");
    assert!(fastest < Duration::from_millis(20), "{fastest:?}");

    // A process that somebody started in the container and left behind (kubectl exec): it becomes ours, and is reaped.
    let target = first.as_raw_nonzero().to_string();
    let left =
        Command::new("nsenter").args(["--target", &target, "--pid", "--mount", "sh", "-c", "sleep 0.5 &"]).status();
    assert!(left.unwrap().success());
    wait("the orphan", || children(first).len() == 2);
    wait("its end", || children(first).len() == 1);

    // A worker that is killed is started again, here as anywhere.
    kill_process(Pid::from_raw(children(first)[0]).unwrap(), Signal::KILL).unwrap();
    s.wait("workerStarted", 1, LIMIT);
    let steps = s.count("step");
    s.wait("step", steps + 3, LIMIT);

    kill_process(first, Signal::TERM).unwrap();
    assert_eq!(s.end(Duration::from_secs(10)), i32::from(exit::STOPPED));
    assert!(hub.lock().sites[&site].report.clone().unwrap().saved);
    let logs = s.events("log");
    assert!(logs.iter().all(|l| l["level"].is_string() && l["message"].is_string() && l["rank"] == 0), "{logs:?}");
    s.restart();
    hub.wait("the end of the run", LIMIT, |s| s.view.ended().is_some());
    assert_eq!(s.end(LIMIT), i32::from(exit::FINISHED));
    common::audit(&hub, &common::spec(6, 4, 1));
}
