//! One worker's supervisor as a child process, and the task that keeps it as it should be. A supervisor leads a process group
//! of its own, so that Ctrl-C at the terminal reaches the runner alone, and holds the reading end of a pipe from us: when we
//! die, however we die, it ends (and its worker with it).
use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use coalition_protocol::{Incarnation, leave};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::LocalError;

/// First and longest pause before a supervisor that failed is started again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// One that lived so long counts as having worked: the pause begins anew.
const WORKED: Duration = Duration::from_secs(10);
/// Bytes of log kept of a failed supervisor (the bound of a failure in a site's report).
const LOG_TAIL: u64 = 8 * 1024;

/// What a supervisor shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Not running, without haste: SIGTERM, so that the worker saves.
    Stopped,
    /// Running, for this incarnation.
    Running(Incarnation),
    /// Not running, now: SIGKILL.
    Killed,
}

/// How to start a supervisor.
#[derive(Clone, Debug)]
pub struct Program {
    /// The trainer.
    pub trainer: PathBuf,
    /// Configuration file of the worker.
    pub config: PathBuf,
    /// Its log.
    pub log: PathBuf,
}

/// A supervisor that ended by itself, or was killed by somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Exit code; 128 + signal when killed.
    pub code: i32,
    /// The last lines of the log.
    pub log: String,
}

/// Keeps one supervisor as `wanted` until that channel closes. `pid` shows the process; `ended` is told of each end that
/// nobody here asked for, and answers whether another shall be started for this incarnation.
pub async fn keep(
    program: Program,
    mut wanted: watch::Receiver<Wanted>,
    pid: watch::Sender<Option<u32>>,
    ended: impl AsyncFn(Ended) -> bool,
    failed: Arc<watch::Sender<Option<String>>>,
) {
    let mut pause = AGAIN.0;
    let mut done: Option<Incarnation> = None;
    loop {
        let now = *wanted.borrow_and_update();
        let Wanted::Running(incarnation) = now else {
            done = None;
            if wanted.changed().await.is_err() {
                return;
            }
            continue;
        };
        if done == Some(incarnation) {
            if wanted.changed().await.is_err() {
                return;
            }
            continue;
        }
        let mut child = match start(&program) {
            Ok(c) => c,
            Err(e) => {
                failed.send_replace(Some(e.to_string()));
                let _ = timeout(AGAIN.1, wanted.changed()).await;
                continue;
            }
        };
        failed.send_replace(None);
        pid.send_replace(child.id());
        // Held here: `Child::wait` closes a standard input that it still owns, and the supervisor would take that for our
        // death.
        let _held = child.stdin.take();
        let started = Instant::now();
        let asked = loop {
            tokio::select! {
                _ = child.wait() => break false,
                changed = wanted.changed() => {
                    let now = *wanted.borrow_and_update();
                    match now {
                        Wanted::Running(same) if same == incarnation && changed.is_ok() => {}
                        Wanted::Stopped if changed.is_ok() => {
                            terminate(&mut child, &mut wanted).await;
                            break true;
                        }
                        // Of a retired incarnation nothing counts any more: no time is given to it.
                        _ => {
                            signal(&child, Signal::KILL);
                            break true;
                        }
                    }
                }
            }
        };
        let status = child.wait().await;
        pid.send_replace(None);
        if asked {
            continue;
        }
        let code = status.map_or(-1, |s| s.code().unwrap_or_else(|| 128 + s.signal().unwrap_or(0)));
        if !ended(Ended { code, log: tail(&program.log) }).await {
            done = Some(incarnation);
            continue;
        }
        pause = if started.elapsed() >= WORKED { AGAIN.0 } else { pause };
        let _ = timeout(pause, wanted.changed()).await;
        pause = (pause * 2).min(AGAIN.1);
    }
}

fn start(program: &Program) -> Result<Child, LocalError> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&program.log)
        .map_err(|e| LocalError::write(&program.log, &e))?;
    let second = log.try_clone().map_err(|e| LocalError::write(&program.log, &e))?;
    Command::new(&program.trainer)
        .arg("supervise")
        .arg("--config")
        .arg(&program.config)
        .stdin(Stdio::piped())
        .stdout(log)
        .stderr(second)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| LocalError::Program {
            program: program.trainer.clone(),
            what: format!("{e}: build it with `cargo build -p coalition-trainer`, or name it with --trainer"),
        })
}

/// SIGTERM, and SIGKILL to the whole group if it does not leave in time or is to be killed meanwhile.
async fn terminate(child: &mut Child, wanted: &mut watch::Receiver<Wanted>) {
    if let Some(pid) = id(child) {
        let _ = kill_process(pid, Signal::TERM);
    }
    let deadline = Instant::now() + leave::GRACE;
    loop {
        tokio::select! {
            _ = child.wait() => return,
            () = tokio::time::sleep_until(deadline) => break,
            changed = wanted.changed() => {
                if changed.is_err() || *wanted.borrow_and_update() == Wanted::Killed {
                    break;
                }
            }
        }
    }
    signal(child, Signal::KILL);
}

fn id(child: &Child) -> Option<Pid> {
    child.id().and_then(|p| i32::try_from(p).ok()).and_then(Pid::from_raw)
}

fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = id(child) {
        let _ = kill_process_group(pid, signal);
    }
}

/// Kills the group of a supervisor at once. The process may be gone already.
pub fn kill_group(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// Processes whose parent is `pid`, from /proc.
pub fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|p| p.parse().ok()).collect()
}

fn tail(path: &std::path::Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = std::fs::File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(LOG_TAIL)))?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, LOG_TAIL), &mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}
