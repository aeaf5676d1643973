//! A data set in a bucket: pushed by the command, brought into the cache by a worker that is alive all the time, found there by
//! the next. Against the S3 server that the environment names, through a line that is slow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests fail by panicking, like tests.
mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use coalition_data::{Dataset, Verify};
use coalition_protocol::{SiteId, exit};
use common::process::{Supervisor, config, plain};

/// No test waits longer for one thing: the slowest machine of the gate is ten times slower than the usual one.
const LIMIT: Duration = Duration::from_mins(2);
/// Twice the time between signs of life, and less than the fetch takes.
const HANGS: u64 = 5000;
/// The line gives so much at a time, so often: the data set takes some eight seconds.
const PART: usize = 16 << 10;
const PACE: Duration = Duration::from_millis(200);

/// A line to `server` that is slow on the way back; gives its address.
fn slow(server: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, server) = (listener.local_addr().unwrap(), server.trim_start_matches("http://").to_owned());
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&server).unwrap();
            let (mut up, mut down) = ((client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client));
            thread::spawn(move || std::io::copy(&mut up.0, &mut up.1));
            thread::spawn(move || {
                let mut part = vec![0; PART];
                while let Ok(n) = down.0.read(&mut part) {
                    if n == 0 || down.1.write_all(&part[..n]).is_err() {
                        break;
                    }
                    thread::sleep(PACE);
                }
            });
        }
    });
    format!("http://{address}")
}

#[test]
fn a_data_set_comes_from_a_bucket() {
    let var = |name: &str| std::env::var(format!("COALITION_S3_{name}"));
    let Ok(endpoint) = var("ENDPOINT") else {
        eprintln!("SKIPPED: no S3 server: COALITION_S3_ENDPOINT is not set (cargo xtask test sets it)");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let url = format!("s3://{}/trainer-{}/sets/text", var("BUCKET").unwrap(), std::process::id());
    let account = |endpoint: &str| {
        let of = |name: &str| var(name).unwrap();
        let pairs = [
            ("AWS_ENDPOINT_URL", endpoint.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", of("ACCESS_KEY_ID")),
            ("AWS_SECRET_ACCESS_KEY", of("SECRET_ACCESS_KEY")),
        ];
        pairs.map(|(k, v)| format!("{k}={v}"))
    };
    let push = || {
        let out = Command::new("env")
            .args(account(&endpoint))
            .args([env!("CARGO_BIN_EXE_coalition-trainer"), "data", "push", common::data().to_str().unwrap(), &url])
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    assert!(push().contains("data set is there"));
    assert!(push().contains("data set was there"));

    let site: SiteId = "north".parse().unwrap();
    let hub = common::run(dir.path(), &common::spec(6, 4, 1), &[("north", 1)], 6);
    let mut json = config(dir.path(), &hub, &hub.gateway(&site), "north");
    json["worker"] = 0.into();
    json["data"] = url.clone().into();
    let file = dir.path().join("worker.json");
    let write = |json: &serde_json::Value| std::fs::write(&file, json.to_string()).unwrap();
    write(&json);
    let out = Command::new(env!("CARGO_BIN_EXE_coalition-trainer"))
        .args(["work", "--config", file.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(64) && said.contains("dataCache"), "{said}");

    let cache = dir.path().join("cache");
    json["dataCache"] = cache.to_str().unwrap().into();
    json["test"] = serde_json::json!({"hangMillis": HANGS, "stepPauseMillis": 20});
    write(&json);
    let mut command = vec!["env".to_owned()];
    command.extend(account(&slow(&endpoint)));
    command.extend(plain(&file, &[]));
    let mut s = Supervisor::start(&file, command);
    // Killed in the midst of it, too: what is whole stays.
    s.wait("fetching", 0, LIMIT);
    s.kill_worker();
    s.wait("fetched", 0, LIMIT);
    let took = s.events("fetched")[0]["millis"].as_u64().unwrap();
    assert!(took > HANGS, "{took} ms: the line was not slow enough to tell anything");
    s.wait("step", 3, LIMIT);
    s.kill_worker();
    hub.wait("the end of the run", LIMIT, |s| s.view.ended().is_some());
    assert_eq!(s.end(LIMIT), i32::from(exit::FINISHED));
    assert_eq!(
        (s.count("workerStarted"), s.count("fetched")),
        (3, 1),
        "the third process found what the second brought"
    );
    let exits: Vec<i32> = hub.lock().sites[&site].exits.iter().map(|e| e.exit_code).collect();
    assert_eq!(exits, [137, 137, 0], "ours, and none for a hang");
    let folder =
        std::fs::read_dir(&cache).unwrap().flatten().find(|e| e.file_name().to_string_lossy().starts_with("text-"));
    Dataset::open(&folder.unwrap().path(), Verify::All).unwrap();
    common::audit(&hub, &common::spec(6, 4, 1));
}
