//! `cargo xtask quickstart`: from a fresh clone to a trained model, with a site lost on the way, on this one machine.
//!
//! It only calls programs: the two people use, the way a person would, printing each command first, and the harness
//! `coalition-e2e`, whose judgement of the run it reads.

mod closing;
mod demands;
pub mod text;

use crate::build::{Builder, root};
use crate::cache::Cache;
use crate::{proc, say};
use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Options of `quickstart`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask quickstart                  everything below .coalition/demo in the clone\n  \
    cargo xtask quickstart --dir /tmp/try   somewhere else\n  \
    cargo xtask quickstart --short          two minutes less training, as the gate does it\n\n\
    Two pretended sites train one small model on the Rust sources cargo has fetched. One site is killed in the middle and\n\
    comes back. A first run on a new machine fetches about 600 MB and compiles for some minutes; it says so as it goes.")]
pub struct Args {
    /// Where text, data, run and checkpoint go; a quick start found there is replaced
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Less text and less training
    #[arg(long)]
    short: bool,
}

impl Args {
    /// The command with these options, to be pasted.
    fn again(&self) -> String {
        let mut words = vec!["cargo xtask quickstart".to_owned()];
        words.extend(self.short.then(|| "--short".to_owned()));
        words.extend(self.dir.as_ref().map(|d| format!("--dir {}", proc::quoted(&d.display().to_string()))));
        words.join(" ")
    }
}

/// How much of everything.
struct Size {
    /// Bytes of text at most.
    text: u64,
    /// Lines of the manifest with another value than the example's.
    changes: &'static [(&'static str, &'static str)],
    /// When the site is lost and how long it stays away: `STEP+SECONDS`.
    lost: &'static str,
    /// Whether enough is fed for the model to be held against counting: the short form feeds too little.
    learns: bool,
}

/// The manifest as it is (1024 steps a site) over 24 MB of text: several times what is fed, so nothing is seen twice.
const FULL: Size = Size { text: 24_000_000, changes: &[], lost: "400+20", learns: true };
/// Eight rounds of sixteen steps.
const SHORT: Size = Size {
    text: 3_000_000,
    changes: &[("tokens", "\"524288\""), ("tokensPerRound", "\"32768\""), ("grace", "2")],
    lost: "48+4",
    learns: false,
};

/// The example everybody starts with.
const MANIFEST: &str = "crds/examples/quickstart.yaml";
/// The site that is lost on the way.
const LOST_SITE: &str = "south";
/// Where it goes in the clone. Not where a run called like the example's would keep its state: that is somebody's work.
const DIR: &str = ".coalition/demo";
/// File that marks a folder as ours to replace.
const MARK: &str = ".coalition-quickstart";

/// Runs the quick start.
pub fn run(args: &Args) -> Result<()> {
    let start = Instant::now();
    say::title("1 of 5: setup and build");
    let builder = Builder::prepare(&Cache::open()?)?;
    let dir = args.dir.clone().unwrap_or_else(|| root().join(DIR));
    whole(&builder, &dir, if args.short { &SHORT } else { &FULL }, &args.again())?;
    say::line(&format!("\nthe quick start took {}", say::time(start.elapsed())));
    Ok(())
}

/// The short form in a temporary folder, as a stage of the gate.
pub fn short(builder: &Builder) -> Result<()> {
    let dir = std::env::temp_dir().join(format!("coalition-quickstart-{}", std::process::id()));
    let done = whole(builder, &dir, &SHORT, "cargo xtask quickstart --short");
    if done.is_ok() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    } else {
        say::line(&format!("what it left lies in {}", dir.display()));
    }
    done
}

/// All of it; `again` is the command that does the same once more.
fn whole(builder: &Builder, dir: &Path, size: &Size, again: &str) -> Result<()> {
    let programs = builder.programs()?;
    let dir = fresh(dir)?;
    let tool = |name: &str| programs.join(name);

    say::title("2 of 5: text");
    let text = text::collect(&dir.join("text"), size.text)?;
    say::line(&format!(
        "{} of Rust in {} files, from the packages of this build (digest {})",
        say::bytes(text.bytes),
        text.files,
        text.key
    ));
    let data = dir.join("data");
    let mut prepare = Command::new(tool("coalition-trainer"));
    prepare.args(["data", "prepare", "--include", "*.rs", "--held-out", "0.02", "--out"]);
    prepare.arg(&data).arg(&text.folder).current_dir(root());
    shown(&mut prepare, "prepare the text")?;

    say::title("3 of 5: train, lose a site, go on");
    let manifest = manifest(&dir, size)?;
    let run = dir.join("run");
    let mut local = Command::new(tool("kubectl-coalition"));
    local.arg("local").arg(&manifest).arg("--dir").arg(&run).arg("--data").arg(format!("rust={}", data.display()));
    let (step, away) = size.lost.split_once('+').unwrap_or((size.lost, "some"));
    say::line(&format!(
        "two sites; at its step {step} all processes of {LOST_SITE} are killed, and it stays away for {away} seconds"
    ));
    local.args(["--kill", &format!("{LOST_SITE}@{}", size.lost)]).current_dir(root());
    shown(&mut local, "train")?;

    let said = closing::show(&programs, &run, &data)?;
    demands::met(&said, LOST_SITE, size.learns, grace(&manifest)?, again)?;
    closing::lies(&said, &programs, &run, &data);
    Ok(())
}

/// The seconds that one site waits for the other.
fn grace(manifest: &Path) -> Result<f64> {
    let text = fs::read_to_string(manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("grace:"));
    let value = line.and_then(|rest| rest.split_whitespace().next()).and_then(|v| v.parse().ok());
    value.with_context(|| format!("{} has no line `grace: SECONDS`", manifest.display()))
}

/// Shows a command and runs it.
fn shown(command: &mut Command, why: &str) -> Result<()> {
    say::line(&format!("$ {}", proc::show(command)));
    proc::run(command, why)
}

/// An empty folder at `dir`: a former quick start there is replaced, anything else is left alone and refused.
fn fresh(dir: &Path) -> Result<PathBuf> {
    let dir = std::path::absolute(dir).with_context(|| format!("{} has no absolute path", dir.display()))?;
    let empty = fs::read_dir(&dir).map_or(true, |mut entries| entries.next().is_none());
    if !empty && !dir.join(MARK).is_file() {
        bail!("{} holds something that is not a quick start: choose another folder with --dir", dir.display());
    }
    let run = dir.join("run/runner.lock");
    if File::open(&run).is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockShared).is_err()) {
        bail!("the quick start in {} is running: stop it first, or choose another folder with --dir", dir.display());
    }
    if !empty {
        say::line(&format!("replacing the quick start in {}", dir.display()));
        fs::remove_dir_all(&dir).with_context(|| format!("cannot replace {}", dir.display()))?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    fs::write(dir.join(MARK), "Made by `cargo xtask quickstart`; replaced by the next one.\n")
        .with_context(|| format!("cannot write into {}", dir.display()))?;
    Ok(dir)
}

/// The manifest to run: the example itself, or a copy with some values changed.
fn manifest(dir: &Path, size: &Size) -> Result<PathBuf> {
    if size.changes.is_empty() {
        return Ok(root().join(MANIFEST));
    }
    let path = dir.join("quickstart.yaml");
    fs::write(&path, example(size.changes)?).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// The example's text with some values changed.
pub fn example(changes: &[(&str, &str)]) -> Result<String> {
    let text = fs::read_to_string(root().join(MANIFEST)).with_context(|| format!("cannot read {MANIFEST}"))?;
    changes.iter().try_fold(text, |text, (key, value)| with_value(&text, key, value))
}

/// `text` with its one line `key: …` changed.
fn with_value(text: &str, key: &str, value: &str) -> Result<String> {
    let is_it = |line: &&str| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.starts_with(':'));
    if text.lines().filter(is_it).count() != 1 {
        bail!("{MANIFEST} has not exactly one line `{key}:`");
    }
    let lines = text.lines().map(|line| {
        let indent = line.len() - line.trim_start().len();
        if is_it(&line) { format!("{}{key}: {value}\n", &line[..indent]) } else { format!("{line}\n") }
    });
    Ok(lines.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_elses_folder_is_refused_and_our_own_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
        assert!(fresh(dir.path()).unwrap_err().to_string().contains("--dir"));
        assert!(dir.path().join("thesis.txt").exists());

        let ours = dir.path().join("try");
        fresh(&ours).unwrap();
        fs::write(ours.join("old"), "").unwrap();
        fresh(&ours).unwrap();
        assert!(!ours.join("old").exists());
        // A run is at work in it.
        fs::create_dir(ours.join("run")).unwrap();
        let lock = File::create(ours.join("run/runner.lock")).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert!(fresh(&ours).unwrap_err().to_string().contains("is running"));
        drop(lock);
        fresh(&ours).unwrap();
    }

    #[test]
    fn a_value_is_changed_in_place() {
        let text = "spec:\n  training:\n    tokens: 4M   # all\n    tokensPerRound: 4k\n";
        let expected = "spec:\n  training:\n    tokens: 7\n    tokensPerRound: 4k\n";
        assert_eq!(with_value(text, "tokens", "7").unwrap(), expected);
        assert!(with_value("spec: {}\n", "tokens", "7").is_err());
    }

    #[test]
    fn the_short_form_changes_lines_that_the_example_has() {
        let text = example(SHORT.changes).unwrap();
        assert!(SHORT.changes.iter().all(|(_, value)| text.contains(value)));
        // What the bench of learning changes stands there once, too.
        example(&[("max", "1"), ("init", "{seed: 2}"), ("seed", "2")]).unwrap();
    }
}
