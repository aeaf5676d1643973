//! Bad input and a bad environment, through the programs as a person meets them: the message names the field or object, the
//! value and the way out, the exit code is the documented one, nothing is half-written, and nothing waits for ever.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use coalition_e2e::manifest::Small;
use coalition_e2e::run::Run;
use coalition_e2e::{programs, text, wait};
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Longest time a refusal may take: reading a small data set, on a machine that is busy with other tests.
const REFUSED: Duration = Duration::from_secs(20);
/// Longest time from the wish to stop to the end of the runner: half a minute to save, twenty seconds to leave.
const STOPPED: Duration = Duration::from_secs(55);

/// A folder with a prepared data set and a manifest.
struct Place {
    folder: TempDir,
    data: PathBuf,
    manifest: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = text::dataset(folder.path(), 100_000, 7).unwrap();
        let manifest = Small { rounds: 4, ..Small::default() }.write(folder.path()).unwrap();
        Self { folder, data, manifest }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `kubectl coalition local` on the manifest, with the state in `dir`.
    fn local(&self, dir: &Path) -> Command {
        let mut command = Command::new(programs::cli().unwrap());
        command.arg("local").arg(&self.manifest).arg("--plain").arg("--dir").arg(dir);
        command.arg("--data").arg(format!("text={}", self.data.display()));
        command.arg("--trainer").arg(programs::trainer().unwrap());
        command
    }

    /// The manifest with one text replaced by another.
    fn edit(&self, from: &str, to: &str) {
        let before = fs::read_to_string(&self.manifest).unwrap();
        assert!(before.contains(from), "the manifest has no {from:?}");
        fs::write(&self.manifest, before.replacen(from, to, 1)).unwrap();
    }
}

/// Runs a program to its end; one that takes too long is killed and fails the test.
fn output(command: &mut Command, bound: Duration) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut child = Held(Some(child));
    let ended = wait::until("the program to end", bound, || Ok(child.0.as_mut().unwrap().try_wait()?));
    ended.unwrap_or_else(|e| panic!("{command:?}: {e:#}"));
    child.0.take().unwrap().wait_with_output().unwrap()
}

/// A child that does not outlive its test.
struct Held(Option<Child>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The exit code is `code`, and the message holds every one of `words`.
fn refused(out: &Output, code: i32, words: &[&str]) {
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// A tmpfs that is unmounted at the end.
struct Disk(PathBuf);

impl Disk {
    /// None, said aloud, where this user may not mount.
    fn mount(at: PathBuf, options: &str) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(&at).output();
        if mounted.is_ok_and(|o| o.status.success()) {
            return Some(Self(at));
        }
        eprintln!("SKIPPED: a tmpfs could not be mounted (needs root)");
        None
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that is just ending may still have its log open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[rstest]
#[case::min_above_max("min: 1, max: 2", "min: 3, max: 2", &["spec.sites", "3", "max = 2", "Lower min"])]
#[case::budget("tokens: \"65536\"", "tokens: \"16384\"", &["training.tokens", "16384", "four rounds", "Raise the budget"])]
#[case::uneven_batch("batchTokens: \"512\"", "batchTokens: \"192\"", &["batchTokens", "192", "64 x 2", "multiple"])]
#[case::vocabulary("vocab_size: 258", "vocab_size: 200", &["tokenizer", "258", "vocab_size = 200", "Set vocab_size"])]
#[case::newer_api("training/v1alpha1", "training/v1beta7", &["apiVersion", "v1beta7", "v1alpha1", "Install"])]
#[case::policy("checkpointPolicyRef: {name: small}", "checkpointPolicyRef: {name: other}", &["checkpointPolicyRef.name", "other", "Apply one"])]
#[case::immeasurable("tokens: \"65536\"", "tokens: \"99999999999999T\"", &["training.tokens", "99999999999999T"])]
#[case::positions("sequenceLength: 64", "sequenceLength: 128", &["sequenceLength", "128", "max_position_embeddings = 64"])]
fn a_wrong_manifest_is_refused(#[case] from: &str, #[case] to: &str, #[case] words: &[&str]) {
    let place = Place::new();
    place.edit(from, to);
    let dir = place.path("run");
    refused(&output(&mut place.local(&dir), REFUSED), 64, words);
    assert!(!dir.exists(), "a refused run left {}", dir.display());
}

#[rstest]
#[case::missing("dataset.json", false, &["text", "dataset.json", "data prepare"])]
#[case::shard("train-00000.tokens", true, &["train-00000.tokens", "damaged", "BLAKE3", "restore"])]
#[case::index("dataset.json", true, &["dataset.json"])]
fn a_bad_data_set_is_refused(#[case] file: &str, #[case] damage: bool, #[case] words: &[&str]) {
    let place = Place::new();
    let file = place.data.join(file);
    if damage {
        flip(&file);
    } else {
        fs::remove_file(&file).unwrap();
    }
    let dir = place.path("run");
    refused(&output(&mut place.local(&dir), REFUSED), 65, words);
    assert!(!dir.exists(), "a refused run left {}", dir.display());
}

#[test]
fn a_trainer_that_is_no_program_is_refused() {
    let place = Place::new();
    let dir = place.path("run");
    let mut command = Command::new(programs::cli().unwrap());
    command.arg("local").arg(&place.manifest).arg("--dir").arg(&dir).env("COALITION_TRAINER", &place.manifest);
    command.arg("--data").arg(format!("text={}", place.data.display()));
    refused(&output(&mut command, REFUSED), 71, &["small.yaml", "not a program", "--trainer"]);
    assert!(!dir.exists());
}

#[test]
fn a_read_only_disk_is_named() {
    let place = Place::new();
    let Some(disk) = Disk::mount(place.path("disk"), "ro") else { return };
    refused(&output(&mut place.local(&disk.0.join("run")), REFUSED), 73, &["disk/run", "read-only", "--dir"]);
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
    let edits: [(&str, &str, &[&str]); 4] = [
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
