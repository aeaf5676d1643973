//! A program that is kept running in a set of namespaces: started, watched, killed, started again, with its log.
//! Must not know which program it is.

use crate::namespaces::{Namespaces, forked_by};
use crate::process::{self, Process};
use crate::wait;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

/// Lines of the log that an error shows: enough for a stack of causes, short enough to be read.
const TAIL: usize = 15;
/// How long a killed process may stay: the kernel needs microseconds unless it waits for a disk.
const END: Duration = Duration::from_secs(20);

/// How long `nsenter` may take to halt after its program did: a signal's way, on a busy machine.
const FOLLOWS: Duration = Duration::from_secs(5);

/// What to run, and the process if it runs.
#[derive(Debug)]
pub struct Program {
    name: String,
    path: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    log: PathBuf,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    /// `nsenter`, which waits for the program and ends as it does.
    starter: Child,
    process: Process,
}

impl Program {
    /// The program at `path`, called `name`, that writes to `logs/NAME.log`. It does not run yet.
    pub fn new(name: &str, path: &Path, args: Vec<String>, logs: &Path) -> Self {
        Self {
            name: name.to_owned(),
            path: path.to_owned(),
            args,
            env: Vec::new(),
            log: logs.join(format!("{name}.log")),
            running: None,
        }
    }

    /// The same with an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts it inside `at`; the log is continued. An error if it runs already.
    pub fn start(&mut self, at: &Namespaces) -> Result<()> {
        if self.is_running() {
            bail!("{} runs already", self.name);
        }
        // If it ended by itself, nobody has asked how yet.
        self.kill()?;
        let open = || File::options().create(true).append(true).open(&self.log);
        let log = open().with_context(|| format!("cannot write {}", self.log.display()))?;
        let mut command = at.command(&self.path);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share a log")?)
            .stderr(log)
            // A group of its own: a terminal's Ctrl-C is ours alone to answer, and should we be killed while it is halted,
            // the kernel hangs up on a stopped group that nobody is left to wake.
            .process_group(0);
        let mut starter = command.spawn().with_context(|| format!("{} did not start", self.name))?;
        match forked_by(&mut starter, &self.name) {
            Ok(process) => {
                self.running = Some(Running { starter, process });
                Ok(())
            }
            Err(error) => Err(error.context(self.said())),
        }
    }

    /// Whether it runs (stopped counts as running).
    pub fn is_running(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !running.process.ends_within(Duration::ZERO))
    }

    /// An error with the last lines of the log if it is not running: what a wait asks at each look.
    pub fn check(&self) -> Result<()> {
        if self.is_running() { Ok(()) } else { bail!("{} is not running; {}", self.name, self.said()) }
    }

    /// Kills it, as nothing can prevent, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        running.process.kill(END).with_context(|| format!("{} does not end", self.name))?;
        wake(&running.starter);
        running.starter.wait().with_context(|| format!("cannot wait for {}", self.name))?;
        Ok(())
    }

    /// Makes sure that its end is noticed, whatever ends it: a halted program has halted `nsenter` too, and the kernel does not
    /// finish a process namespace while somebody outside has not asked how one of its processes ended.
    pub fn wake(&self) {
        let Some(running) = &self.running else { return };
        let halted = |pid: i32| process::seen(pid).is_some_and(|seen| seen.halted);
        let follows = || !halted(running.process.pid()) || halted(running.starter.id().cast_signed());
        // Woken before it has followed its program it would halt afterwards, and nobody would wake it again.
        if wait::until("nsenter to halt as its program did", FOLLOWS, || Ok(follows().then_some(()))).is_err() {
            eprintln!("warning: {} is halted, and nsenter did not notice", self.name);
        }
        wake(&running.starter);
    }

    /// The last lines of its log, as the end of an error.
    pub fn said(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL)..];
        if tail.is_empty() {
            return format!("{} wrote nothing to {}", self.name, self.log.display());
        }
        format!("the last lines of {}:\n  {}", self.log.display(), tail.join("\n  "))
    }
}

/// Wakes `nsenter`, which stops itself when its program is stopped.
fn wake(starter: &Child) {
    if let Some(pid) = Pid::from_raw(starter.id().cast_signed()) {
        // It is our child and not waited for yet, so the number is still its own; the only error left is that it ended.
        let _ = kill_process(pid, Signal::CONT);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("warning: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A set inside a set, as machines are in worlds; none without root.
    fn places() -> Option<(Namespaces, Namespaces)> {
        if !rustix::process::geteuid().is_root() {
            println!("SKIPPED: namespaces need root");
            return None;
        }
        let outer = Namespaces::start("outer", None, "").unwrap();
        let inner = Namespaces::start("inner", Some(&outer), "echo inner > /proc/sys/kernel/hostname").unwrap();
        Some((outer, inner))
    }

    fn sleeper(logs: &Path) -> Program {
        let line = "echo begun; exec sleep 1000".to_owned();
        Program::new("sleeper", Path::new("/bin/sh"), vec!["-c".to_owned(), line], logs)
    }

    #[test]
    fn a_program_ends_with_its_place_even_if_it_is_halted() {
        let Some((mut outer, mut inner)) = places() else { return };
        assert_eq!(inner.run("/bin/cat", &["/proc/sys/kernel/hostname"]).unwrap(), "inner\n");
        let error = inner.run("/bin/sh", &["-c", "echo why >&2; exit 3"]).unwrap_err().to_string();
        assert!(error.contains("why") && error.contains("inner") && error.contains('3'), "{error}");

        let logs = tempfile::tempdir().unwrap();
        let mut program = sleeper(logs.path());
        assert!(program.check().is_err());
        program.start(&inner).unwrap();
        assert!(program.start(&inner).is_err(), "it runs already");
        let begun = || Ok(program.said().contains("begun").then_some(()));
        wait::until("the program to begin", FOLLOWS, begun).unwrap();
        let process = &program.running.as_ref().unwrap().process;
        process.signal(Signal::STOP).unwrap();
        // A signal is sent before it is felt: woken in between, nsenter would halt afterwards.
        let halted = || Ok(process::seen(process.pid()).filter(|seen| seen.halted));
        wait::until("the program to halt", FOLLOWS, halted).unwrap();
        assert!(program.is_running());
        program.wake();
        inner.end().unwrap();
        assert!(!program.is_running());
        assert!(program.check().unwrap_err().to_string().contains("begun"), "an error shows the log");
        outer.end().unwrap();
        assert!(Namespaces::start("lost", Some(&outer), "").is_err(), "nothing starts in what has ended");
    }

    #[test]
    fn a_program_is_killed_and_started_again() {
        let Some((outer, inner)) = places() else { return };
        let logs = tempfile::tempdir().unwrap();
        let mut program = sleeper(logs.path());
        program.start(&inner).unwrap();
        let first = program.running.as_ref().unwrap().process.pid();
        program.kill().unwrap();
        assert!(!program.is_running());
        program.start(&inner).unwrap();
        assert_ne!(program.running.as_ref().unwrap().process.pid(), first);
        drop((inner, outer));
        assert!(!program.is_running(), "the outer set ends what is in the inner one");
    }
}
