//! One worker process: started, listened to, signalled, reaped. Must not know when to start another.
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use coalition_protocol::{Attempt, Digest, exit};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use serde::{Deserialize, Serialize};

use super::Happening;
use super::health::Health;
use super::pulse::Shared;
use super::tail::Tail;
use crate::alive::SIGN;
use crate::cli::LogFormat;
use crate::config::WorkerConfig;
use crate::events::{boot_millis, emit, is_in};
use crate::failure::Failure;
use crate::logs::FORMAT_ENV;

/// Environment variable with the name of the process, by which it joins and by which its end is reported.
pub const PROCESS_ENV: &str = "COALITION_PROCESS";
/// How long the log of an ended process is waited for: a grandchild may hold the pipe open for ever.
const LOG_END: Duration = Duration::from_millis(300);
/// Longest line that is passed on whole.
const LONGEST_LINE: u64 = 1 << 16;

/// How the lines begin that say where a worker stands: see `worker`.
const JOINED: &[u8] = br#"{"event":"joined""#;
/// It has lost its gang.
const REJOINING: &[u8] = br#"{"event":"rejoining""#;

/// How to start a worker.
pub(super) struct Start {
    /// The configuration file.
    pub path: PathBuf,
    /// What it and the arguments say.
    pub config: WorkerConfig,
    /// How its log looks.
    pub logs: LogFormat,
    /// Who is told where it stands.
    pub health: Health,
}

/// A running worker.
pub(super) struct Running {
    /// Its name, fresh for every process.
    pub process: String,
    pid: Pid,
    tail: Arc<Mutex<Tail>>,
    /// Its signs of life.
    pub pulse: Shared,
    readers: Mutex<Vec<JoinHandle<()>>>,
    /// Dropped with this value: then the worker ends by itself.
    _stdin: ChildStdin,
}

#[derive(Serialize)]
struct Started<'a> {
    process: &'a str,
    pid: i32,
    number: u64,
}

/// A name that no other process of any machine has: from clock, process id and a counter.
pub(crate) fn fresh_name(number: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let seed = format!("{now} {} {} {number}", boot_millis(), std::process::id());
    Digest::of(seed.as_bytes()).to_string()[..32].to_owned()
}

impl Running {
    /// Starts `coalition-trainer work` with the same configuration.
    pub fn start(start: &Start, number: u64, tell: Sender<Happening>) -> Result<Self, Failure> {
        let config = &start.config;
        let broken = |what: &str| Failure::new(exit::TRY_AGAIN, format!("cannot start the worker process: {what}"));
        let program = std::env::current_exe().map_err(|e| broken(&e.to_string()))?;
        let process = fresh_name(number);
        let threads = config.threads.to_string();
        let mut child = Command::new(program)
            .arg("work")
            .arg("--config")
            .arg(&start.path)
            .args(["--worker", &config.worker.to_string(), "--listen", &config.listen])
            .env(PROCESS_ENV, &process)
            .env(FORMAT_ENV, start.logs.name())
            // Pools of libraries that read the environment once, before anyone can pin them by call.
            .env("OMP_NUM_THREADS", &threads)
            .env("MKL_NUM_THREADS", &threads)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| broken(&e.to_string()))?;
        let pid = Pid::from_child(&child);
        emit("workerStarted", Started { process: &process, pid: pid.as_raw_nonzero().get(), number });
        let tail = Arc::new(Mutex::new(Tail::default()));
        let pulse = Shared::new(config.test.hang_millis.map(Duration::from_millis));
        start.health.started(pulse.clone());
        let mut readers = Vec::new();
        let heard = Heard { tail: tail.clone(), pulse: pulse.clone(), health: start.health.clone() };
        if let Some(out) = child.stdout.take() {
            readers.push(pass_on(out, std::io::stdout(), heard.clone()));
        }
        if let Some(err) = child.stderr.take() {
            readers.push(pass_on(err, std::io::stderr(), heard));
        }
        let stdin = child.stdin.take().ok_or_else(|| broken("it has no standard input"))?;
        // From here on the reaper alone waits, for this process and for orphans that a PID 1 inherits.
        drop(child);
        thread::spawn(move || {
            let code = reap(pid);
            let _ = tell.send(Happening::Ended(code));
        });
        Ok(Self { process, pid, tail, pulse, readers: Mutex::new(readers), _stdin: stdin })
    }

    /// Asks it to save and leave.
    pub fn terminate(&self) {
        let _ = kill_process(self.pid, Signal::TERM);
    }

    /// Ends it.
    pub fn kill(&self) {
        let _ = kill_process(self.pid, Signal::KILL);
    }

    /// Adds a line to its log, as if it had written it.
    pub fn remark(&self, line: &str) {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{line}\n").as_bytes());
    }

    /// After its end: the end of its log, and whether it trained.
    pub fn finish(&self) -> (String, bool) {
        let until = Instant::now() + LOG_END;
        let readers = std::mem::take(&mut *self.readers.lock().unwrap_or_else(PoisonError::into_inner));
        for r in readers {
            // A reader ends with its pipe, nearly always at once.
            while !r.is_finished() && Instant::now() < until {
                thread::sleep(Duration::from_millis(1));
            }
        }
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        (tail.text(), tail.progressed)
    }
}

/// Who hears what a worker writes.
#[derive(Clone)]
struct Heard {
    tail: Arc<Mutex<Tail>>,
    pulse: Shared,
    health: Health,
}

/// The part of a `joined` line that a supervisor reads.
#[derive(Deserialize)]
struct Joined {
    attempt: Attempt,
}

impl Heard {
    /// True if the line is for others too. Signs of life are for this process alone: a log with a line every few seconds says
    /// nothing to a person.
    fn line(&self, line: &[u8]) -> bool {
        if line.starts_with(SIGN) {
            self.pulse.beat();
            return false;
        }
        if line.starts_with(JOINED)
            && let Ok(joined) = serde_json::from_slice::<Joined>(line)
        {
            is_in(joined.attempt);
            self.health.joined(joined.attempt);
        } else if line.starts_with(REJOINING) {
            self.health.parted();
        }
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        true
    }
}

fn pass_on(from: impl Read + Send + 'static, mut to: impl Write + Send + 'static, heard: Heard) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        loop {
            line.clear();
            match from.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
                Ok(n) if n > 0 => {}
                _ => return,
            }
            if heard.line(&line) {
                // Who reads our output may be gone; the worker must not feel it.
                let _ = to.write_all(&line).and_then(|()| to.flush());
            }
        }
    })
}

/// Waits for children until `pid` ends; gives its exit code, 128 + signal when killed.
fn reap(pid: Pid) -> i32 {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended == pid => {
                return match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => code,
                    (None, Some(signal)) => 128 + signal,
                    (None, None) => continue,
                };
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => {
                tracing::error!("cannot wait for the worker process: {e}");
                return i32::from(exit::BUG);
            }
        }
    }
}
