//! What goes wrong once a run is there, through the programs as a person meets it: a full disk, spoilt data, a damaged
//! checkpoint, an edited manifest, a stop. It is named, survived where it can be, and nothing waits for ever.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use coalition_e2e::manifest::Small;
use coalition_e2e::run::Run;
use coalition_e2e::{programs, wait};
use common::{Disk, Held, Place, REFUSED, STOPPED, flip, output, refused};
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};

/// Damage that comes later is met when the data is read: the person who watches is told the file and both digests.
#[test]
fn data_spoilt_under_a_run_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::prepare(folder.path(), &Small { rounds: 16, ..Small::default() }).unwrap().with(&["--plain"]);
    run = run.with(&["--step-pause", "20"]);
    run.start().unwrap();
    run.until("a round", Duration::from_mins(1), |v| v.last_round().0 >= 1).unwrap();
    let shard = run.data().join("train-00000.tokens");
    let length = fs::metadata(&shard).unwrap().len();
    // In place: the workers have the file open.
    let mut file = fs::OpenOptions::new().write(true).open(&shard).unwrap();
    file.write_all(&vec![0xFF; length as usize]).unwrap();
    // Bad data does not get better: the failure rules of every run end it.
    let status = run.wait(STOPPED).unwrap();
    assert_eq!(status.code(), Some(1), "{}", run.tail());
    for word in ["train-00000.tokens", "damaged", "BLAKE3", "restore", "data verify"] {
        assert!(run.output().contains(word), "{word:?} is missing in: {}", run.tail());
    }
}

/// Too small for one site checkpoint: it says so, stops when asked, and goes on once there is room.
#[test]
fn a_full_disk_is_named_and_survived() {
    let place = Place::new();
    let Some(disk) = Disk::mount(place.path("disk"), "size=400k") else { return };
    let dir = disk.0.join("run");
    let log = place.path("log");
    let out = fs::File::create(&log).unwrap();
    let mut command = place.local(&dir);
    command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
    let mut child = command.spawn().map(|c| Held(Some(c))).unwrap();
    let said = || fs::read_to_string(&log).unwrap();
    // Which write meets the full disk first is chance: the hub's own ends the run, a site's is waited out.
    let ended = wait::until("word of the full disk", Duration::from_secs(30), || {
        let ended = child.0.as_mut().unwrap().try_wait()?;
        Ok((ended.is_some() || said().contains("is full")).then_some(ended))
    });
    let ended = ended.unwrap_or_else(|e| panic!("{e:#}: {}", said()));
    assert!(said().contains("is full") && said().contains("free some space"), "{}", said());
    if let Some(status) = ended {
        assert_eq!(status.code(), Some(73), "{}", said());
    }
    drop(child);
    let larger = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&disk.0).status().unwrap();
    assert!(larger.success());
    let out = output(Command::new(programs::cli().unwrap()).arg("resume").arg(&dir).arg("--plain"), STOPPED);
    refused(&out, 0, &["small complete"]);
}

#[test]
fn what_cannot_change_in_a_run_is_named_and_a_damaged_checkpoint_refused() {
    let place = Place::new();
    place.edit("tokens: \"65536\"", "tokens: \"81920\"");
    let dir = place.path("run");
    refused(&output(&mut place.local(&dir), STOPPED), 0, &["small complete"]);

    let good = fs::read_to_string(&place.manifest).unwrap();
    let edits: [(&str, &str, &[&str]); 5] = [
        ("tokens: \"81920\"", "tokens: \"163840\"", &["ended", "81920", "163840", "another metadata.name", "--dir"]),
        ("lr: 3.0e-3", "lr: 2.0e-3", &["spec.training.optimizer.lr", "0.002", "0.003", "--dir"]),
        ("hidden_size: 32", "hidden_size: 48", &["spec.model.config.hidden_size", "48", "32"]),
        ("tokens: \"81920\"", "tokens: \"65536\"", &["spec.training.tokens", "65536", "81920", "only rise"]),
        (
            "metadata: {name: small}\nspec:\n  sites",
            "metadata: {name: another}\nspec:\n  sites",
            &["name", "small", "--dir"],
        ),
    ];
    let stands = fs::read(dir.join("resolved.json")).unwrap();
    for (from, to, words) in edits {
        place.edit(from, to);
        refused(&output(&mut place.local(&dir), REFUSED), 64, words);
        fs::write(&place.manifest, &good).unwrap();
    }
    assert_eq!(stands, fs::read(dir.join("resolved.json")).unwrap());

    let store = dir.join("sites/north/store");
    let generate = || {
        let mut command = Command::new(programs::trainer().unwrap());
        command
            .args(["generate", "--run", "small", "--length", "4", "--store"])
            .arg(format!("file://{}", store.display()));
        output(command.arg("--data").arg(&place.data), REFUSED)
    };
    refused(&generate(), 0, &[]);
    let checkpoints = store.join("runs/small/checkpoints");
    for entry in fs::read_dir(checkpoints).unwrap() {
        flip(&entry.unwrap().path().join("model.safetensors"));
    }
    refused(&generate(), 66, &["model.safetensors", "damaged", "BLAKE3", "another copy"]);
}

#[rstest]
#[case::trained(false)]
#[case::without_power(true)]
fn a_stop_ends_and_resume_goes_on(#[case] kill_a_site: bool) {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::prepare(folder.path(), &Small { rounds: 4, ..Small::default() }).unwrap().with(&["--plain"]);
    run = run.with(&["--step-pause", "20"]);
    run.start().unwrap();
    run.until("a round", Duration::from_mins(1), |v| v.last_round().0 >= 1).unwrap();
    if kill_a_site {
        let mut fault = Command::new(programs::cli().unwrap());
        fault.args(["fault", "kill", "south"]).arg(run.dir());
        assert!(output(&mut fault, REFUSED).status.success());
        wait::until("the site's processes to be gone", Duration::from_secs(10), || {
            Ok((!run.processes()?.iter().any(|p| p.line.contains("/south/"))).then_some(()))
        })
        .unwrap();
    }
    let pid = Pid::from_raw(run.pid().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let status = run.wait(STOPPED).unwrap();
    assert_eq!(status.code(), Some(0), "{}", run.tail());
    assert!(run.output().contains("saved and stopped"), "{}", run.tail());
    assert!(run.processes().unwrap().is_empty());
    let out = output(Command::new(programs::cli().unwrap()).arg("resume").arg(run.dir()).arg("--plain"), STOPPED);
    refused(&out, 0, &["small complete"]);
}
