//! The command line: what it says of bad input, with which exit code, and text from a checkpoint of a whole run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests fail by panicking, like tests.
mod common;

use std::process::{Command, Output};
use std::time::Duration;

use coalition_protocol::{SiteId, exit, keys};
use coalition_store::{BlockingStore, Location, run_checkpoint};
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
    for (n, gateway) in
        ["https://127.0.0.1:9", "http://127.0.0.1:9/x?y=1", "http://127.0.0.1:9/#x", "http://"].iter().enumerate()
    {
        let file = with(&format!("gateway-{n}.json"), &|j| j["gateway"] = (*gateway).into());
        refused(&["work", "--config", &file], exit::CONFIG, &["gateway", gateway, "http://"]);
    }
    let nobody = with("nobody.json", &|j| drop(j.as_object_mut().unwrap().remove("worker")));
    refused(&["supervise", "--config", &nobody], exit::CONFIG, &["worker", "--worker"]);
    refused(&["supervise", "--config", &nobody, "--worker", "3"], exit::CONFIG, &["worker 3 of workers 1"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let health = taken.local_addr().unwrap().to_string();
    std::fs::write(dir.path().join("some"), "token").unwrap();
    let some = with("health.json", &|j| j["tokenFile"] = path("some").into());
    refused(&["supervise", "--config", &some, "--health", &health], exit::CONFIG, &["health", &health, "free port"]);
    refused(&["ready", "--config", &some], exit::CONFIG, &["health", "--health"]);
    let bucket = with("bucket.json", &|j| j["data"] = "s3://bucket/sets/rust".into());
    refused(&["work", "--config", &bucket], exit::CONFIG, &["s3://bucket/sets/rust", "dataCache"]);
    let other = with("other.json", &|j| j["data"] = "gs://bucket/rust".into());
    refused(&["work", "--config", &other], exit::CONFIG, &["gs://bucket/rust", "s3://BUCKET"]);
    let token = with("token.json", &|j| j["tokenFile"] = "/nowhere/token".into());
    refused(&["work", "--config", &token], exit::CONFIG, &["tokenFile", "/nowhere/token"]);
    let empty = path("empty");
    std::fs::create_dir(&empty).unwrap();
    refused(&["data", "prepare", "--out", &path("out"), &empty], exit::DATA, &["empty"]);
    assert!(!dir.path().join("out").exists(), "nothing half-written");
    refused(
        &["generate", "--store", &format!("file://{empty}"), "--run", "r", "--data", "/nowhere"],
        exit::CONFIG,
        &["holds no run checkpoint of run r", "it is no site's store", "STATE/sites/SITE/store"],
    );
    // A store of a run that is too young.
    std::fs::create_dir_all(dir.path().join("young/runs/r/sites")).unwrap();
    refused(
        &["generate", "--store", &path("young"), "--run", "r", "--data", "/nowhere"],
        exit::CONFIG,
        &[
            "holds no run checkpoint of run r",
            "none of any run yet",
            "after keep.everyRounds rounds",
            "at the run's end",
        ],
    );
    for (amount, said) in [("4X", "4X"), ("-1", "-1"), ("", "such as 400k, 4M or 8192")] {
        let limit = format!("--limit-bytes={amount}");
        refused(&["data", "prepare", "--out", &path("out"), &limit, &empty], 2, &[said, "suffixes k, M, G, T"]);
    }
    let nowhere = path("no where");
    let prepare = format!("`coalition-trainer data prepare --out '{nowhere}' FILES…` makes a data set there");
    refused(&["data", "push", &nowhere, &path("to")], exit::DATA, &["there is no such folder"]);
    assert!(!dir.path().join("to").exists(), "nothing is made for what is not there");
    refused(&["data", "verify", &nowhere], exit::DATA, &["there is no such folder", &prepare]);
    let sources = path("sources");
    std::fs::create_dir(&sources).unwrap();
    std::fs::write(dir.path().join("sources/a.txt"), "text").unwrap();
    let prepare = format!("`coalition-trainer data prepare --out {sources}-data {sources}` makes a data set of it");
    refused(&["data", "verify", &sources], exit::DATA, &["is no data set", "no dataset.json", &prepare]);
    refused(&["data", "verify", &path("sources/a.txt")], exit::DATA, &["is no data set", "a.txt-data"]);
}

#[test]
fn what_preparing_passes_by_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(dir.path().join("in")).unwrap();
    for (name, body) in [("a.txt", "one text"), ("b.txt", "another"), ("picture.png", "\u{0}PNG")] {
        std::fs::write(dir.path().join("in").join(name), body).unwrap();
    }
    let prepare = |args: &[&str]| {
        let out = trainer(&[&["data", "prepare", "--out"], args].concat());
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        assert!(out.status.success(), "{}", text(&out.stderr));
        (text(&out.stdout), text(&out.stderr))
    };
    let (said, warned) = prepare(&[&path("in/out"), &path("in")]);
    assert!(said.contains("1 binary") && said.contains("picture.png"), "{said}");
    assert!(warned.contains("1 file(s) with a NUL byte") && warned.contains("--binary"), "{warned}");
    assert!(warned.contains("are held out: measurements read up to 64 sequences"), "{warned}");
    // The result lies among the sources: it is no source itself.
    let (again, sources) = (path("again"), path("in"));
    let args = ["data", "prepare", "--out", &again, &sources];
    refused(&args, exit::DATA, &["in/out/", "prepared data set", "--exclude 'out/*'"]);
    let (said, warned) = prepare(&[&again, "--binary", "--held-out", "0", "--exclude", "out/*", &sources]);
    assert!(said.contains("3 documents") && said.contains("0 binary"), "{said}");
    assert!(warned.contains("nothing is held out") && !warned.contains("NUL"), "{warned}");
}

#[test]
fn a_vocabulary_is_trained_once_and_taken_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(dir.path().join("in")).unwrap();
    for name in ["a", "b", "c"] {
        let body = format!("let {name} = \"the same words again and again\";\n").repeat(100);
        std::fs::write(dir.path().join("in").join(name), body).unwrap();
    }
    let (source, one, two, file) = (path("in"), path("one"), path("two"), path("one/tokenizer.json"));
    let told = |args: &[&str]| {
        let out = trainer(&[&["data", "prepare", "--out"], args].concat());
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        text.lines().filter(|l| !l.starts_with("data set ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let trained = told(&[&one, "--bpe", "280", &source]);
    let said = trained.join("\n");
    assert!(said.contains("spec.data.tokenizer: {dataset: NAME, file: tokenizer.json}"), "{said}");
    assert!(said.contains("spec.model.config.vocab_size: 280 or more"), "{said}");
    assert_eq!(told(&[&two, "--tokenizer", &file, &source]), trained, "same digest, same counts");
    let again = path("again");
    let base = ["data", "prepare", "--out", &again, "--tokenizer", &file];
    refused(&[&base[..], &["--bpe", "280", &source]].concat(), 2, &["--tokenizer", "--bpe"]);
    refused(
        &[&base[..], &["--bos", "<s>", &source]].concat(),
        exit::DATA,
        &["no special token \"<s>\"", "--bos and --eos"],
    );
    refused(&["data", "prepare", "--out", &again, "--bos", "<s>", &source], 2, &["--tokenizer"]);
    refused(
        &["data", "prepare", "--out", &again, &path("in/a")],
        exit::DATA,
        &["--held-out 0", "split -C 64k FILE PART-"],
    );
    assert!(!dir.path().join("again").exists(), "nothing half-written");
}

#[test]
fn help_has_examples_and_codes() {
    for args in [
        &["--help"][..],
        &["supervise", "--help"],
        &["data", "prepare", "--help"],
        &["data", "push", "--help"],
        &["ready", "--help"],
        &["generate", "--help"],
    ] {
        let out = trainer(args);
        assert!(out.status.success());
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(said.contains("Example") || said.contains("Exit codes"), "{args:?}: {said}");
    }
    assert!(!trainer(&["completion", "bash"]).stdout.is_empty());
}

/// The newest run checkpoint lists the tokenizer's files, and they hold this program's ids.
fn opens_with_its_tokenizer(folder: &std::path::Path) {
    let store = BlockingStore::open(&Location::Folder(folder.to_owned())).unwrap();
    let run = "tiny".parse().unwrap();
    let newest = *store.wait(run_checkpoint::list(store.store(), &run)).unwrap().last().unwrap();
    let m = store.wait(run_checkpoint::verify(store.store(), &run, newest)).unwrap();
    let json = |name: &str| -> serde_json::Value {
        assert!(m.files.iter().any(|f| f.name == name), "{name} is part of the manifest");
        let path = folder.join(keys::checkpoint(&run, newest)).join(name);
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    assert_eq!(json("tokenizer_config.json")["bos_token"], "<|bos|>");
    let ids = &json("tokenizer.json")["model"]["vocab"];
    assert_eq!((&ids["a"], &ids["Ġ"], &ids["<|eos|>"]), (&97.into(), &32.into(), &257.into()));
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
    let folder = hub.lock().sites[&site].store.clone();
    let store = format!("file://{}", folder.display());
    let write = |seed: &str, length: &str| {
        let data = common::data().to_str().unwrap();
        let args = [
            "generate", "--store", &store, "--run", "tiny", "--data", data, "--prompt", "fn ", "--length", length,
            "--seed", seed,
        ];
        let out = trainer(&args);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "{said}");
        (out.stdout, said)
    };
    // BOS, three bytes of prompt and the rest just fit.
    let short = (spec.model.config.max_position_embeddings - 3).to_string();
    let (text, said) = write("1", &short);
    assert!(text.starts_with(b"fn ") && text.len() > 10);
    assert_eq!(said, "");
    assert_eq!(text, write("1", &short).0, "same seed, same text");
    assert_ne!(text, write("2", &short).0);
    let (_, said) = write("1", "62");
    assert!(said.contains("the text may grow beyond that") && said.contains("--length"), "{said}");
    opens_with_its_tokenizer(&folder);
}
