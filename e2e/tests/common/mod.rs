//! What the tests of bad input and of a bad environment share: a place with data and a manifest, the programs run to their
//! end, what a refusal must say, a disk of its own. Must not know what is wrong in a test.
#![allow(dead_code, reason = "each test uses a part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use coalition_e2e::manifest::Small;
use coalition_e2e::{programs, text, wait};
use tempfile::TempDir;

/// Longest time a refusal may take: reading a small data set, on a machine that is busy with other tests.
pub const REFUSED: Duration = Duration::from_secs(20);
/// Longest time from the wish to stop to the end of the runner: half a minute to save, twenty seconds to leave.
pub const STOPPED: Duration = Duration::from_secs(55);

/// A folder with a prepared data set and a manifest.
pub struct Place {
    pub folder: TempDir,
    pub data: PathBuf,
    pub manifest: PathBuf,
}

impl Place {
    /// With text of 100 kB and a run of four rounds.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = text::dataset(folder.path(), 100_000, 7).unwrap();
        let manifest = Small { rounds: 4, ..Small::default() }.write(folder.path()).unwrap();
        Self { folder, data, manifest }
    }

    /// A place in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `kubectl-coalition local` on the manifest, with the state in `dir`.
    pub fn local(&self, dir: &Path) -> Command {
        let mut command = Command::new(programs::cli().unwrap());
        command.arg("local").arg(&self.manifest).arg("--plain").arg("--dir").arg(dir);
        command.arg("--data").arg(format!("text={}", self.data.display()));
        command.arg("--trainer").arg(programs::trainer().unwrap());
        command
    }

    /// Everything in the folder, by name.
    pub fn listing(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The manifest with one text replaced by another.
    pub fn edit(&self, from: &str, to: &str) {
        let before = fs::read_to_string(&self.manifest).unwrap();
        assert!(before.contains(from), "the manifest has no {from:?}");
        fs::write(&self.manifest, before.replacen(from, to, 1)).unwrap();
    }
}

/// Runs a program to its end; one that takes too long is killed and fails the test.
pub fn output(command: &mut Command, bound: Duration) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut child = Held(Some(child));
    let ended = wait::until("the program to end", bound, || Ok(child.0.as_mut().unwrap().try_wait()?));
    ended.unwrap_or_else(|e| panic!("{command:?}: {e:#}"));
    child.0.take().unwrap().wait_with_output().unwrap()
}

/// A child that does not outlive its test.
pub struct Held(pub Option<Child>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The exit code is `code`, and the message holds every one of `words`.
pub fn refused(out: &Output, code: i32, words: &[&str]) {
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

/// Turns one bit in the middle of a file.
pub fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// A tmpfs that is unmounted at the end.
pub struct Disk(pub PathBuf);

impl Disk {
    /// None, said aloud, where this user may not mount.
    pub fn mount(at: PathBuf, options: &str) -> Option<Self> {
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
