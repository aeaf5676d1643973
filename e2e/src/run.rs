//! A run as a person starts it: the command-line tool, a manifest, a folder. It can be killed and continued.
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use coalition_protocol::history::View;

use crate::manifest::Small;
use crate::rundir::RunDir;
use crate::{processes, programs, text, wait};

/// A run in a folder of its own.
pub struct Run {
    root: PathBuf,
    manifest: PathBuf,
    data: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Run {
    /// Prepares data and manifest below `root`. Nothing runs yet.
    pub fn prepare(root: &Path, small: &Small) -> Result<Self> {
        fs::create_dir_all(root)?;
        let data = text::dataset(root, 400_000, 7)?;
        Ok(Self { root: root.to_owned(), manifest: small.write(root)?, data, arguments: Vec::new(), child: None })
    }

    /// More arguments for the command.
    #[must_use]
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|a| (*a).to_owned()));
        self
    }

    /// The run's state folder.
    pub fn dir(&self) -> PathBuf {
        self.root.join("run")
    }

    /// The data set's folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What the tool has written so far.
    pub fn output(&self) -> String {
        fs::read_to_string(self.root.join("output.log")).unwrap_or_default()
    }

    /// Starts, or continues after a kill.
    pub fn start(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.root.join("output.log"))?;
        let mut command = Command::new(programs::cli()?);
        command.arg("local").arg(&self.manifest).arg("--dir").arg(self.dir());
        command.arg("--data").arg(format!("text={}", self.data.display()));
        command.arg("--trainer").arg(programs::trainer()?).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().context("start kubectl-coalition")?);
        Ok(())
    }

    /// Process id of the runner.
    pub fn pid(&self) -> Option<i32> {
        self.child.as_ref().and_then(|c| i32::try_from(c.id()).ok())
    }

    /// How the runner ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?),
            None => bail!("the run was not started"),
        }
    }

    /// Waits for the runner to end by itself.
    pub fn wait(&mut self, bound: Duration) -> Result<ExitStatus> {
        let waited = wait::until("the run to end", bound, || self.ended());
        waited.with_context(|| format!("{}\nthe end of its output:\n{}", self.place(), self.tail()))
    }

    /// Waits for the run to end well.
    pub fn finish(&mut self, bound: Duration) -> Result<()> {
        let status = self.wait(bound)?;
        if !status.success() {
            bail!("the run ended with {status}; the end of its output:\n{}", self.tail());
        }
        Ok(())
    }

    /// The folder, read from outside.
    pub fn folder(&self) -> RunDir {
        RunDir::new(&self.dir())
    }

    /// Waits until the history satisfies `test`.
    pub fn until(&mut self, what: &str, bound: Duration, mut test: impl FnMut(&View) -> bool) -> Result<()> {
        let folder = self.folder();
        let waited = wait::until(what, bound, || {
            if folder.records()?.is_empty() {
                return Ok(None);
            }
            Ok(test(&folder.view()?).then_some(()))
        });
        waited.with_context(|| format!("{}\nthe end of its output:\n{}", self.place(), self.tail()))
    }

    /// Live processes of the run.
    pub fn processes(&self) -> Result<Vec<processes::Process>> {
        processes::of(&self.dir())
    }

    /// kill -9 of the runner, reaped.
    pub fn kill_runner(&mut self) -> Result<()> {
        if let Some(child) = &mut self.child {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    fn place(&self) -> String {
        let head = self.folder().view().map_or_else(
            |e| e.to_string(),
            |v| format!("head {}, round {}, {} tokens", v.head().seq, v.last_round(), v.tokens()),
        );
        format!("the history stands at: {head}")
    }

    /// The last lines of the output.
    pub fn tail(&self) -> String {
        let all = self.output();
        let lines: Vec<&str> = all.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Supervisors and workers leave when their standard input closes.
        let _ = self.kill_runner();
    }
}
