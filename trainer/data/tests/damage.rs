//! Damaged, missing and foreign datasets: each is refused with a message that names the file.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use coalition_data::prepare::{PrepareOptions, TokenizerChoice, prepare};
use coalition_data::{DataError, Dataset, Samples, Silent, Verify};

fn make(dir: &Path, tokenizer: TokenizerChoice) -> PathBuf {
    let source = dir.join("source");
    fs::create_dir(&source).unwrap();
    for n in 0..20 {
        fs::write(source.join(format!("{n}")), format!("document {n} says {}\n", n * n).repeat(40)).unwrap();
    }
    let out = dir.join("out");
    let o = PrepareOptions { tokenizer, held_out_share: 0.2, ..PrepareOptions::new(vec![source], out.clone()) };
    prepare(&o, &Silent).unwrap();
    out
}

#[test]
fn one_flipped_bit_anywhere_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let out = make(dir.path(), TokenizerChoice::TrainBpe(300));
    let mut kinds = 0;
    for entry in fs::read_dir(&out).unwrap() {
        let path = entry.unwrap().path();
        let good = fs::read(&path).unwrap();
        let open = || Dataset::open(&out, Verify::All).and_then(|d| d.tokenizer().map(|_| ()));
        open().unwrap();
        for at in [0, good.len() / 3, good.len() / 2, good.len() - 2] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            let e = open().unwrap_err();
            assert_eq!(e.exit_code(), 65);
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(e.to_string().contains(&name), "{name} at {at}: {e}");
        }
        fs::write(&path, &good[..good.len() - 2]).unwrap();
        assert!(open().is_err(), "cut short: {path:?}");
        fs::write(&path, &good).unwrap();
        kinds += 1;
    }
    assert_eq!(kinds, 4, "index, tokenizer, one shard a side");
}

#[test]
fn a_shard_cut_or_spoilt_under_a_reader_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let out = make(dir.path(), TokenizerChoice::Bytes);
    let samples = Samples::new(Arc::new(Dataset::open(&out, Verify::Sizes).unwrap()), 64, 1).unwrap();
    let shard = out.join("train-00000.tokens");
    let good = fs::read(&shard).unwrap();
    let bad = vec![0xFF; good.len()];
    fs::write(&shard, &bad).unwrap();
    let e = samples.get(0).unwrap_err();
    assert!(matches!(&e, DataError::Damaged { .. }), "{e}");
    let (right, wrong) = (blake3::hash(&good), blake3::hash(&bad));
    for word in
        ["train-00000.tokens", "below 258", "restore", "data verify", right.to_hex().as_str(), wrong.to_hex().as_str()]
    {
        assert!(e.to_string().contains(word), "{word:?} is missing in: {e}");
    }
    // Comparing with the digests leaves no trace in the open file: it says the same again.
    let dataset = Dataset::open(&out, Verify::Sizes).unwrap();
    fs::write(&shard, &good).unwrap();
    dataset.verify().unwrap();
    dataset.verify().unwrap();
    fs::write(&shard, []).unwrap();
    let e = samples.get(0).unwrap_err();
    assert!(matches!(&e, DataError::Damaged { .. }), "{e}");
    let e = Dataset::open(&out, Verify::Sizes).unwrap_err();
    assert!(e.to_string().contains("train-00000.tokens"), "{e}");
}

#[test]
fn what_is_no_dataset_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let e = Dataset::open(dir.path(), Verify::Small).unwrap_err();
    assert!(e.to_string().contains("data prepare") && e.exit_code() == 65, "{e}");
    let index = dir.path().join("dataset.json");
    for (text, part) in [
        ("{", "EOF"),
        ("{}", "format"),
        (r#"{"format":"coalition-dataset","version":2}"#, "version"),
        (r#"{"format":"coalition-dataset","version":1}"#, "missing field"),
    ] {
        fs::write(&index, text).unwrap();
        let e = Dataset::open(dir.path(), Verify::Small).unwrap_err();
        assert!(e.to_string().contains(part), "{e}");
    }
    let out = make(dir.path(), TokenizerChoice::Bytes);
    let data = Arc::new(Dataset::open(&out, Verify::Small).unwrap());
    let e = Samples::new(data.clone(), 1 << 20, 1).unwrap_err();
    assert!(matches!(e, DataError::TooSmall { .. }), "{e}");
    assert_eq!(Samples::new(data, 0, 1).unwrap_err().exit_code(), 64);
}

/// On a small file system of its own: nothing is left, and the message names the full disk. Needs root.
#[test]
fn a_full_disk_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k", "none"])
        .arg(&disk)
        .status()
        .is_ok_and(|s| s.success());
    if !mounted {
        eprintln!("SKIPPED: a tmpfs could not be mounted (needs root)");
        return;
    }
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    for n in 0..8 {
        fs::write(source.join(format!("{n}")), format!("{n}").repeat(50_000)).unwrap();
    }
    let result = prepare(&PrepareOptions::new(vec![source], disk.join("out")), &Silent);
    let left = fs::read_dir(&disk).unwrap().count();
    let unmounted = Command::new("umount").arg(&disk).status().unwrap().success();
    let e = result.unwrap_err();
    assert!(matches!(&e, DataError::Full { .. }) && e.exit_code() == 65, "{e}");
    assert_eq!(left, 0);
    assert!(unmounted);
}
