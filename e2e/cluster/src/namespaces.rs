//! A set of Linux namespaces (network, mounts, processes, host name, IPC) with a first process that ends with its parent.
//!
//! The first process reads its standard input, whose other end is held here: when this program ends, however it ends, the
//! input closes, the first process returns, and the kernel kills whatever else lives in its process namespace, nested ones
//! included. Must not know what is put inside.

use crate::process::{self, Process};
use crate::wait;
use anyhow::{Context, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

/// How long the kernel may take to end everything in a process namespace: it waits for every process, and a machine that
/// builds beside us is slow. Half a second was seen with 60 pods.
const END: Duration = Duration::from_secs(30);
/// How long `nsenter` may take to fork: milliseconds, and seconds on a machine that is busy.
const FORK: Duration = Duration::from_secs(20);

/// What the first process does: tell its number (the `/proc` that it sees at first is still ours), set up, wait for its end.
/// The shell stays the first process and reaps while it waits for `cat`.
const INIT: &str = "read -r pid rest < /proc/self/stat\n\
    mount -t proc proc /proc\n\
    ip link set lo up\n\
    SETUP\n\
    echo \"$pid\"\n\
    cat > /dev/null\n\
    exit 0\n";

/// A running set of namespaces.
#[derive(Debug)]
pub struct Namespaces {
    name: String,
    init: Process,
    /// `unshare`, or `nsenter` that became it.
    starter: Child,
    /// Closing this ends everything inside.
    _held: ChildStdin,
}

impl Namespaces {
    /// Makes a set called `name`, inside `outer` if there is one (it then ends with that too), and runs the shell lines
    /// `setup` in it. Mounts are those of this program, private from here on.
    pub fn start(name: &str, outer: Option<&Self>, setup: &str) -> Result<Self> {
        let mut command = match outer {
            None => Command::new("unshare"),
            Some(outer) => {
                let mut nsenter = Command::new("nsenter");
                // Not its mounts: the new set copies ours, whose /proc tells numbers as we see them.
                nsenter.args(["--target", &outer.init.pid().to_string(), "--net", "--pid", "--uts", "--ipc"]);
                nsenter.args(["--", "unshare"]);
                nsenter
            }
        };
        command
            .args(["--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--", "sh", "-euc"])
            .arg(INIT.replace("SETUP", setup))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut starter = command.spawn().context("unshare and nsenter come with the package util-linux")?;
        let held = starter.stdin.take().context("the first process has no standard input")?;
        let mut line = String::new();
        if let Some(out) = starter.stdout.take() {
            // Ends with a line or with the process: nothing in `setup` may wait.
            BufReader::new(out).read_line(&mut line).with_context(|| format!("{name} says nothing"))?;
        }
        let Ok(pid) = line.trim().parse() else {
            let mut said = String::new();
            if let Some(mut error) = starter.stderr.take() {
                error.read_to_string(&mut said).with_context(|| format!("{name} says nothing"))?;
            }
            let status = starter.wait().context("cannot wait for unshare")?;
            bail!("the namespaces of {name} could not be set up ({status}; this needs root): {}", said.trim());
        };
        Ok(Self { name: name.to_owned(), init: Process::of(pid)?, starter, _held: held })
    }

    /// The number of the first process, as seen from outside.
    pub fn pid(&self) -> i32 {
        self.init.pid()
    }

    /// The first process.
    pub fn init(&self) -> &Process {
        &self.init
    }

    /// A command that runs `program` inside: it ends with the set. Paths must be absolute.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.pid().to_string(), "--net", "--mount", "--pid", "--uts", "--ipc", "--"])
            .arg(program);
        // Nothing inside reaches a proxy, and clients that believe in one ask it for their own neighbours.
        for name in ["http_proxy", "https_proxy", "no_proxy", "all_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command
    }

    /// Runs `program` inside and returns what it wrote; an error holds what it wrote to standard error.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        let mut command = self.command(program);
        let shown = format!("`{program} {}` in {}", args.join(" "), self.name);
        let out = command.args(args).stdin(Stdio::null()).output().with_context(|| format!("{shown} did not start"))?;
        if !out.status.success() {
            bail!("{shown} ended with {}: {}", out.status, String::from_utf8_lossy(&out.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// Moves the calling thread into the network inside. Threads and processes that it starts from now on are there too.
    pub fn enter_network(&self) -> Result<()> {
        enter_network(self.pid())
    }

    /// Runs `work` on a thread of its own that sees the network inside.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        inside(self.pid(), work)
    }

    /// Ends everything inside, as a power cut would, and waits until it is gone.
    pub fn end(&mut self) -> Result<()> {
        self.init.kill(END).with_context(|| format!("{} does not end", self.name))?;
        let name = &self.name;
        wait::until(&format!("the starter of {name} to end"), END, || {
            self.starter.try_wait().with_context(|| format!("cannot wait for the starter of {name}"))
        })?;
        Ok(())
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("warning: {error:#}");
        }
    }
}

/// Moves the calling thread into the network of the process `pid`.
pub fn enter_network(pid: i32) -> Result<()> {
    let path = format!("/proc/{pid}/ns/net");
    let net = File::open(&path).with_context(|| format!("cannot open {path}: has the process ended?"))?;
    move_into_link_name_space(net.as_fd(), Some(LinkNameSpaceType::Network))
        .with_context(|| format!("cannot enter {path}: this needs root"))
}

/// Runs `work` on a thread of its own that sees the network of the process `pid`.
pub fn inside<T: Send>(pid: i32, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            enter_network(pid)?;
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The process that `nsenter` (started as `starter`) forked for the program it was told to run.
pub fn forked_by(starter: &mut Child, what: &str) -> Result<Process> {
    let parent = starter.id().cast_signed();
    wait::until(&format!("{what} to start"), FORK, || {
        if let Some(status) = starter.try_wait().with_context(|| format!("cannot watch {what}"))? {
            bail!("{what} ended at once with {status}");
        }
        let child = process::all()?.into_iter().find(|seen| seen.parent == parent && !seen.zombie);
        // It may end between the two looks: the next round tells.
        Ok(child.and_then(|seen| Process::of(seen.pid).ok()))
    })
}
