//! Bad input, through the programs as a person meets them: the message names the field or object, the value and the way out,
//! the exit code is the documented one, nothing is half-written, and nothing waits for ever.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use coalition_e2e::programs;
use common::{Disk, Place, REFUSED, flip, output, refused};
use rstest::rstest;

#[test]
fn the_harness_says_how_it_is_called() {
    let run = |argument: &str| Command::new(env!("CARGO_BIN_EXE_coalition-e2e")).arg(argument).output().unwrap();
    let asked = run("--help");
    assert_eq!(asked.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&asked.stdout).contains("Example:\n  coalition-e2e trial "));
    let wrong = run("trail");
    assert_eq!((wrong.status.code(), wrong.stdout.len()), (Some(2), 0));
}

#[rstest]
#[case::min_above_max("min: 1, max: 2", "min: 3, max: 2", &["spec.sites", "3", "max = 2", "Lower min"])]
#[case::budget("tokens: \"65536\"", "tokens: \"16384\"", &["training.tokens", "16384", "four rounds", "Raise the budget"])]
#[case::uneven_batch("batchTokens: \"512\"", "batchTokens: \"192\"", &["batchTokens", "192", "64 × 2", "multiple"])]
#[case::vocabulary("vocab_size: 258", "vocab_size: 200", &["tokenizer", "258", "vocab_size = 200", "Set vocab_size"])]
#[case::newer_api("training/v1alpha1", "training/v1beta7", &["apiVersion", "v1beta7", "v1alpha1", "Install"])]
#[case::policy("checkpointPolicyRef: {name: small}", "checkpointPolicyRef: {name: other}", &["checkpointPolicyRef.name", "other", "Apply one"])]
#[case::immeasurable("tokens: \"65536\"", "tokens: \"999999999T\"", &["training.tokens", "999999999T", "9007T", "Write whole tokens"])]
#[case::long("tokens: \"65536\"", "tokens: \"99999999999999T\"", &["training.tokens", "99999999999999T", "9007T"])]
#[case::quorum("quorum: 1", "quorum: 3", &["training.outer.quorum", "3", "sites.max = 2", "Lower quorum"])]
#[case::positions("sequenceLength: 64", "sequenceLength: 128", &["sequenceLength", "128", "max_position_embeddings = 64"])]
fn a_wrong_manifest_is_refused(#[case] from: &str, #[case] to: &str, #[case] words: &[&str]) {
    let place = Place::new();
    place.edit(from, to);
    let before = place.listing();
    refused(&output(&mut place.local(&place.path("run")), REFUSED), 64, words);
    assert_eq!(place.listing(), before, "a refused run leaves nothing");
}

/// Told before anything is written: what depends on the manifest and the arguments alone. `@` stands for the test's folder.
#[rstest]
#[case::no_such_site(&["--kill", "nosuchsite@5"], 2, &["--kill nosuchsite@5", "north, south"])]
#[case::no_such_step(&["--kill", "north@129"], 2, &["--kill north@129", "128 inner steps", "65536 / 512"])]
#[case::no_such_mixture(&["--data", "txt=@/data"], 2, &["--data txt=", "names \"text\"", "--data text=DIR"])]
#[case::no_data(&["--data", "text=@/nowhere"], 65, &["nowhere", "no such folder", "data prepare --out"])]
#[case::folder_is_a_file(&["--dir", "@/small.yaml"], 73, &["small.yaml", "not a folder", "--dir"])]
#[case::folder_below_a_file(&["--dir", "@/small.yaml/run"], 73, &["small.yaml is not a folder", "--dir"])]
#[case::no_trainer(&["--trainer", "@/nowhere"], 71, &["nowhere", "no such file", "--trainer"])]
#[case::trainer_may_not_run(&["--trainer", "@/small.yaml"], 71, &["small.yaml", "not a program", "--trainer"])]
#[case::trainer_is_text(&["--trainer", "@/text.sh"], 71, &["text.sh", "not a program", "--trainer"])]
fn wrong_arguments_are_refused(#[case] arguments: &[&str], #[case] code: i32, #[case] words: &[&str]) {
    let place = Place::new();
    let text = place.path("text.sh");
    fs::write(&text, "no program, though it may be started\n").unwrap();
    fs::set_permissions(&text, fs::Permissions::from_mode(0o755)).unwrap();
    let (before, manifest) = (place.listing(), fs::read(&place.manifest).unwrap());
    let here = place.folder.path().display().to_string();
    let mut command = Command::new(programs::cli().unwrap());
    command.current_dir(place.folder.path()).arg("local").arg(&place.manifest).arg("--plain");
    if !arguments.contains(&"--trainer") {
        command.arg("--trainer").arg(programs::trainer().unwrap());
    }
    if arguments[0] != "--data" {
        command.arg("--data").arg(format!("text={}", place.data.display()));
    }
    command.args(arguments.iter().map(|a| a.replace('@', if a.contains("@/") { &here } else { "@" })));
    refused(&output(&mut command, REFUSED), code, words);
    assert_eq!(place.listing(), before, "a refused run leaves nothing");
    assert_eq!(fs::read(&place.manifest).unwrap(), manifest);
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() - 2]).unwrap();
}

#[rstest]
#[case::missing("dataset.json", remove, &["text", "dataset.json", "data prepare"])]
#[case::shard("train-00000.tokens", flip, &["train-00000.tokens", "damaged", "BLAKE3", "restore", "data verify"])]
#[case::short("train-00000.tokens", cut, &["train-00000.tokens", "damaged", "bytes", "restore"])]
#[case::held_out("heldout-00000.tokens", flip, &["heldout-00000.tokens", "damaged", "BLAKE3", "restore"])]
#[case::gone("train-00000.tokens", remove, &["train-00000.tokens", "No such file"])]
#[case::index("dataset.json", flip, &["dataset.json"])]
fn a_bad_data_set_is_refused(#[case] file: &str, #[case] damage: fn(&Path), #[case] words: &[&str]) {
    let place = Place::new();
    damage(&place.data.join(file));
    let before = place.listing();
    refused(&output(&mut place.local(&place.path("run")), REFUSED), 65, words);
    assert_eq!(place.listing(), before, "a refused run leaves nothing");
}

#[test]
fn a_read_only_disk_is_named() {
    let place = Place::new();
    let Some(disk) = Disk::mount(place.path("disk"), "ro") else { return };
    refused(&output(&mut place.local(&disk.0.join("run")), REFUSED), 73, &["disk/run", "read-only", "--dir"]);
}
