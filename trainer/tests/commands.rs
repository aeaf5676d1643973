//! The command line: what it says of bad input, with which exit code, and text from a checkpoint of a whole run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests fail by panicking, like tests.
mod common;

use std::process::{Command, Output};
use std::time::Duration;

use coalition_protocol::{SiteId, exit};
use common::process::start;

fn trainer(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_coalition-trainer")).args(args).output().unwrap()
}

fn refused(args: &[&str], code: u8, parts: &[&str]) {
    let out = trainer(args);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(i32::from(code)), "{args:?}: {said}");
    for part in parts {
        assert!(said.contains(part), "{args:?} does not say {part:?}: {said}");
    }
}

#[test]
fn bad_input_is_told_with_field_value_and_bound() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    refused(&["work", "--config", &path("none.json")], exit::CONFIG, &["none.json", "cannot be read"]);
    let base = serde_json::json!({
        "run": "r", "site": "s", "worker": 0, "workers": 1, "gateway": "http://127.0.0.1:9", "store": "memory:",
        "data": "/nowhere", "threads": 1
    });
    let with = |name: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let mut json = base.clone();
        change(&mut json);
        std::fs::write(dir.path().join(name), json.to_string()).unwrap();
        path(name)
    };
    let rank = with("rank.json", &|j| j["worker"] = 3.into());
    refused(&["supervise", "--config", &rank], exit::CONFIG, &["worker 3 of workers 1"]);
    let threads = with("threads.json", &|j| j["threads"] = 0.into());
    refused(&["work", "--config", &threads], exit::CONFIG, &["threads 0", "1 to 1024"]);
    let extra = with("extra.json", &|j| j["thread"] = 1.into());
    refused(&["work", "--config", &extra], exit::CONFIG, &["thread", "expected one of"]);
    let token = with("token.json", &|j| j["tokenFile"] = "/nowhere/token".into());
    refused(&["work", "--config", &token], exit::CONFIG, &["tokenFile", "/nowhere/token"]);
    let empty = path("empty");
    std::fs::create_dir(&empty).unwrap();
    refused(&["data", "prepare", "--out", &path("out"), &empty], exit::DATA, &["empty"]);
    assert!(!dir.path().join("out").exists(), "nothing half-written");
    refused(
        &["generate", "--store", &format!("file://{empty}"), "--run", "r", "--data", "/nowhere"],
        exit::CONFIG,
        &["holds no run checkpoint of run r"],
    );
    refused(&["data", "verify", &empty], exit::DATA, &["dataset.json"]);
}

#[test]
fn help_has_examples_and_codes() {
    for args in [&["--help"][..], &["supervise", "--help"], &["data", "prepare", "--help"], &["generate", "--help"]] {
        let out = trainer(args);
        assert!(out.status.success());
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(said.contains("Example") || said.contains("Exit codes"), "{args:?}: {said}");
    }
    assert!(!trainer(&["completion", "bash"]).stdout.is_empty());
}

#[test]
fn a_checkpoint_writes_text() {
    let dir = tempfile::tempdir().unwrap();
    let spec = common::spec(6, 4, 1);
    let hub = common::run(dir.path(), &spec, &[("north", 1)], 6);
    let site: SiteId = "north".parse().unwrap();
    let gateway = hub.gateway(&site);
    let mut s = start(dir.path(), &hub, &gateway, "north", 0, 0);
    hub.wait("the end of the run", Duration::from_mins(2), |s| s.view.ended().is_some());
    assert_eq!(s.end(Duration::from_secs(30)), 0);
    let measured = hub.lock().sites[&site].report.clone().unwrap().progress.evaluation.unwrap();
    // A model that knows nothing needs log2(258) = 8.01 bits for a byte; this one has seen a little text.
    assert!(measured.bits_per_byte.get() < 7.9, "{measured:?}");
    assert_eq!(measured.of, hub.lock().view.last_commit().0, "the end was measured");
    let store = format!("file://{}", hub.lock().sites[&site].store.display());
    let write = |seed: &str| {
        let data = common::data().to_str().unwrap();
        let args = [
            "generate", "--store", &store, "--run", "tiny", "--data", data, "--prompt", "fn ", "--length", "40",
            "--seed", seed,
        ];
        let out = trainer(&args);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        out.stdout
    };
    let text = write("1");
    assert!(text.starts_with(b"fn ") && text.len() > 10);
    assert_eq!(text, write("1"), "same seed, same text");
    assert_ne!(text, write("2"));
}
