//! PID 1 of a worker: starts the worker process, restarts it in place at once, watches the run permit, passes SIGTERM on,
//! and leaves with the code that says why. Must not know what the worker does.
//!
//! The worker holds the other end of a pipe as its standard input, and so does this process towards whoever started it:
//! a kill -9 anywhere leaves nothing running.
mod child;
mod health;
mod permit;
mod pulse;
mod rules;
mod tail;

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use coalition_protocol::messages::{ExitReport, Orders};
use coalition_protocol::{exit, leave};
use serde::Serialize;

use crate::cli::{LogFormat, WorkerArgs};
use crate::config::WorkerConfig;
use crate::events::{emit, is_rank};
use crate::failure::Failure;
use crate::gateway::{Gateway, retry};
use crate::signals;
pub(crate) use child::{PROCESS_ENV, fresh_name};
use child::{Running, Start};
use health::Health;
pub(crate) use health::PATH as READY_PATH;
use rules::{After, Streak, after_exit};

/// How long a worker may go on after the hub no longer wants it, before it is told by signal: it hears of it by itself. Not part
/// of the times of [`leave`]: nobody waits for it with a clock.
const UNWANTED: Duration = Duration::from_secs(20);
/// How long the gateway is asked to confirm the end of the run.
const CONFIRM: Duration = Duration::from_mins(10);

/// What can happen to a supervisor.
#[derive(Debug)]
pub(crate) enum Happening {
    /// The worker process ended with this code (128 + signal when killed).
    Ended(i32),
    /// SIGTERM or SIGINT.
    Terminate,
    /// The permit ran out without renewal.
    PermitLost,
    /// The worker has shown no sign of life for so long.
    Hung(Duration),
    /// The hub wants this worker to leave, or wants it again.
    Wanted(bool),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ended<'a> {
    process: &'a str,
    exit_code: i32,
    meaning: &'a str,
}

/// Runs until the worker shall not run any more; gives the exit code.
pub fn supervise(args: &WorkerArgs, logs: LogFormat) -> Result<u8, Failure> {
    let config = WorkerConfig::read(args)?;
    is_rank(config.worker);
    let gateway = Gateway::new(&config)?;
    let health = Health::default();
    if let Some(address) = &config.health {
        health.serve(address)?;
    }
    let (tell, happenings) = channel();
    let to = tell.clone();
    signals::on_terminate(move || {
        let _ = to.send(Happening::Terminate);
    })?;
    // The worker holds the other end of a pipe of ours, so it sees our end by itself.
    signals::on_orphaned(signals::vanish);
    let start = Start { path: args.config.clone(), config: config.clone(), logs, health: health.clone() };
    Supervisor { config, start, health, gateway, tell, happenings, terminating: false, stopped: false }.run()
}

struct Supervisor {
    config: WorkerConfig,
    start: Start,
    health: Health,
    gateway: Gateway,
    tell: Sender<Happening>,
    happenings: Receiver<Happening>,
    terminating: bool,
    stopped: bool,
}

impl Supervisor {
    fn run(&mut self) -> Result<u8, Failure> {
        let mut streak = Streak::default();
        for number in 0u64.. {
            let running = Running::start(&self.start, number, self.tell.clone())?;
            let watch = permit::Watch::start(
                self.gateway.clone(),
                self.config.worker,
                running.process.clone(),
                running.pulse.clone(),
                self.tell.clone(),
            );
            let code = self.wait(&running);
            drop(watch);
            self.health.ended();
            let (log, progressed) = running.finish();
            emit("workerEnded", Ended { process: &running.process, exit_code: code, meaning: exit::meaning(code) });
            let report =
                ExitReport { worker: self.config.worker, process: running.process.clone(), exit_code: code, log };
            // Without an answer the worker is started again, or this process leaves, all the same.
            let patience = if code == i32::from(exit::FINISHED) { CONFIRM } else { leave::EXIT_REPORT };
            let orders =
                retry(Instant::now() + patience, || self.gateway.exit(&report, leave::EXIT_REPORT)).map(|p| p.orders);
            if let Err(e) = &orders {
                tracing::warn!("{e}");
            }
            match after_exit(code, self.terminating, self.stopped, orders.ok()) {
                After::Exit(code) => return Ok(code),
                After::Restart => {
                    let pause = streak.pause(progressed);
                    if self.pause(pause) {
                        return Ok(exit::STOPPED);
                    }
                }
            }
        }
        Err(Failure::bug("more restarts than numbers"))
    }

    /// Waits for the worker's end, passing on what happens meanwhile.
    fn wait(&mut self, running: &Running) -> i32 {
        let mut kill_at: Option<Instant> = None;
        let mut signal_at: Option<Instant> = None;
        loop {
            let next = [kill_at, signal_at].into_iter().flatten().min();
            // Without anything due, an hour is as good as any other bound: it only wakes up to wait again.
            let left = next.map_or(Duration::from_hours(1), |t| t.saturating_duration_since(Instant::now()));
            match self.happenings.recv_timeout(left) {
                Ok(Happening::Ended(code)) => return code,
                Ok(Happening::Terminate) => {
                    self.terminating = true;
                    self.health.leaving();
                    running.terminate();
                    kill_at = kill_at.or(Some(Instant::now() + leave::WORKER));
                }
                Ok(Happening::PermitLost) => {
                    tracing::warn!("the run permit ran out: the gateway did not renew it in time; stopping the worker");
                    self.stopped = true;
                    running.terminate();
                    kill_at = kill_at.or(Some(Instant::now() + leave::WORKER));
                }
                Ok(Happening::Hung(time)) => {
                    let what = format!(
                        "the worker has shown no sign of life for {} s (stopped, or behind a disk that does not answer): it is killed \
                         and started again",
                        time.as_secs()
                    );
                    tracing::error!("{what}");
                    running.remark(&what);
                    running.kill();
                }
                Ok(Happening::Wanted(false)) => signal_at = signal_at.or(Some(Instant::now() + UNWANTED)),
                Ok(Happening::Wanted(true)) => signal_at = None,
                Err(RecvTimeoutError::Timeout) => {
                    let now = Instant::now();
                    if kill_at.is_some_and(|t| t <= now) {
                        tracing::warn!("the worker did not leave in time and is killed");
                        running.kill();
                        kill_at = None;
                    }
                    if signal_at.is_some_and(|t| t <= now) {
                        running.terminate();
                        signal_at = None;
                        kill_at = kill_at.or(Some(now + leave::WORKER));
                    }
                }
                // The sender lives in `self`.
                Err(RecvTimeoutError::Disconnected) => return i32::from(exit::BUG),
            }
        }
    }

    /// Waits before a restart; true if SIGTERM came meanwhile.
    fn pause(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            match self.happenings.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Happening::Terminate) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
}

/// Whether orders allow going on; absent means the gateway did not say.
pub(crate) fn wanted(orders: Option<Orders>) -> bool {
    orders != Some(Orders::Leave)
}
