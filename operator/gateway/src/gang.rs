//! The formation of a gang, as pure functions on one durable object (D8: the attempt is raised by the site alone, by
//! compare-and-swap, at every formation).
//!
//! A worker process joins; when all workers have, the attempt rises by one and everybody is told their peers. Whoever joins
//! as a new process, or says that it saw the current attempt fail, opens a new formation: from then on the attempt in force
//! is the next one, so that survivors leave and join again. Nothing here knows HTTP, files or time.
use std::collections::BTreeMap;

use coalition_protocol::messages::{ExitReport, Failure, GangReport, JoinReply, JoinRequest, Orders};
use coalition_protocol::{Attempt, Digest, Incarnation, exit};
use serde::{Deserialize, Serialize};

/// Most failures kept; the planner reads them by number, so what it has charged may leave.
const MAX_FAILURES: usize = 32;
/// Bytes of log kept of the newest failure (the bound that `messages::Failure` states).
const MAX_LOG: usize = 8 * 1024;
/// Bytes of log kept of older failures: 31 of these and one of the above stay well within the 64 KiB of a site report.
const MAX_OLD_LOG: usize = 512;

/// Bytes of a process's name and of its address: any HOST:PORT of a DNS label, or of an address of IP version 6, with room to
/// spare. A Gang object has the same bound, for a thousand workers in one object.
const MAX_NAME: usize = 80;

/// Stands for the exit code of a process whose end nobody saw.
pub const UNKNOWN_EXIT: i32 = -1;

/// A worker process that asked to join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Joined {
    /// The process.
    pub process: String,
    /// Where its collective listens.
    pub listen: String,
    /// Its class (D1).
    pub class: Digest,
}

/// The last end of a worker's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gone {
    /// The process.
    pub process: String,
    /// Its exit code.
    pub exit_code: i32,
    /// True if it was told to leave, so that none follows it.
    pub left: bool,
}

/// The durable state of one site's gang. Every change is one compare-and-swap of the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GangState {
    /// The newest attempt that was formed; 0 before the first.
    pub attempt: Attempt,
    /// Secret of that attempt's collective.
    pub token: String,
    /// Its processes, by worker index; empty before the first formation.
    pub members: Vec<Joined>,
    /// Processes that joined the formation that is open, by worker index.
    pub joining: BTreeMap<u32, Joined>,
    /// True while a formation is open: the attempt in force is then the next one.
    pub forming: bool,
    /// Workers whose process ended and that have no new one yet.
    pub gone: BTreeMap<u32, Gone>,
    /// The process whose end each worker reported last: a repeated report of it changes nothing.
    pub last_exit: BTreeMap<u32, String>,
    /// The newest failures, oldest first.
    pub failures: Vec<Failure>,
    /// Failures ever: the number of the newest.
    pub failed: u64,
    /// Processes restarted in place, ever.
    pub process_restarts: u64,
    /// The incarnation whose store a worker found damaged, with nothing else to go on from, if one did: as good as lost (D8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<Incarnation>,
}

/// What a join leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The gang stands and this process is part of it.
    Answer(JoinReply),
    /// The state must become this first.
    Swap(Box<GangState>),
    /// This process has joined; others have not.
    Wait,
}

/// A join that can never succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJoin {
    /// There is no such worker.
    #[error("worker {worker} does not exist: this site's gang has {workers} workers, numbered from 0")]
    Worker {
        /// What was asked for.
        worker: u32,
        /// How many there are.
        workers: u32,
    },
    /// A name or address that is empty or too long.
    #[error("{field} has {length} bytes, allowed are 1 to {bound}")]
    Length {
        /// Which field.
        field: &'static str,
        /// Its length.
        length: usize,
        /// The bound.
        bound: usize,
    },
}

impl GangState {
    /// A gang without processes that goes on from what it last reported: for a site that lost its note of the gang. The
    /// note may have been one attempt ahead of the report, so the next attempt is two above it.
    pub fn recovered(report: &GangReport) -> Self {
        Self {
            attempt: report.attempt.next(),
            failures: report.failures.clone(),
            failed: report.failures.iter().chain(&report.last_failure).map(|f| f.number).max().unwrap_or(0),
            process_restarts: report.process_restarts,
            ..Self::default()
        }
    }

    /// The attempt that workers must belong to: the newest formed, or the next while a formation is open.
    pub fn in_force(&self) -> Attempt {
        if self.forming { self.attempt.next() } else { self.attempt }
    }

    /// What the join of one process leads to. `token` is the secret the attempt gets if this join completes it.
    pub fn join(&self, request: &JoinRequest, workers: u32, token: &str) -> Result<Step, BadJoin> {
        check(request, workers)?;
        let seated = self.seat(request.worker, &request.process);
        // A repeated join (its answer was lost) asks for an attempt newer than one that is older than this.
        if seated && request.after.is_none_or(|a| a < self.attempt) {
            return Ok(Step::Answer(self.reply()));
        }
        let joined = Joined { process: request.process.clone(), listen: request.listen.clone(), class: request.class };
        if self.joining.get(&request.worker) == Some(&joined) && self.joining.len() < workers as usize {
            return Ok(Step::Wait);
        }
        let mut next = self.clone();
        next.forming = true;
        next.gone.remove(&request.worker);
        next.joining.insert(request.worker, joined);
        if next.joining.len() == workers as usize {
            // A process may have seen a higher attempt than this state knows if the state was restored from an older copy.
            next.attempt = self.attempt.max(request.after.unwrap_or_default()).next();
            next.members = std::mem::take(&mut next.joining).into_values().collect();
            token.clone_into(&mut next.token);
            next.forming = false;
        }
        Ok(Step::Swap(Box::new(next)))
    }

    /// The state after a worker's process ended, or none if that end is known already (a repeated report).
    pub fn exited(&self, report: &ExitReport, orders: Orders) -> Option<Self> {
        let mut next = self.ended(report.worker, &report.process, report.exit_code, orders)?;
        if is_failure(report.exit_code) {
            for old in &mut next.failures {
                old.log = tail(&old.log, MAX_OLD_LOG);
            }
            next.failed += 1;
            next.failures.push(Failure {
                number: next.failed,
                worker: report.worker,
                exit_code: report.exit_code,
                log: tail(&report.log, MAX_LOG),
            });
            let extra = next.failures.len().saturating_sub(MAX_FAILURES);
            next.failures.drain(..extra);
        }
        Some(next)
    }

    /// The same for a process that was lost with what it ran on: nobody's failure, and how it ended is unknown.
    pub fn lost(&self, worker: u32, process: &str, orders: Orders) -> Option<Self> {
        self.ended(worker, process, UNKNOWN_EXIT, orders)
    }

    fn ended(&self, worker: u32, process: &str, exit_code: i32, orders: Orders) -> Option<Self> {
        if self.last_exit.get(&worker).is_some_and(|p| p == process) {
            return None;
        }
        let mut next = self.clone();
        next.last_exit.insert(worker, process.to_owned());
        if next.joining.get(&worker).is_some_and(|j| j.process == process) {
            next.joining.remove(&worker);
        }
        let superseded = next.joining.contains_key(&worker)
            || (!self.members.is_empty() && !self.seat(worker, process) && !self.forming);
        if !superseded {
            let left = orders == Orders::Leave && has_left(exit_code);
            next.gone.insert(worker, Gone { process: process.to_owned(), exit_code, left });
        }
        if orders == Orders::Restart {
            next.process_restarts += 1;
            // The survivors need not wait for the new process to learn that this attempt is over.
            next.forming |= self.seat(worker, process);
        }
        Some(next)
    }

    /// The same, where a worker of `incarnation` said that its store is damaged and it can go on from nothing there.
    #[must_use]
    pub fn damaged_by(mut self, report: &ExitReport, incarnation: Option<Incarnation>) -> Self {
        if report.exit_code == i32::from(exit::CHECKPOINT) {
            self.damaged = incarnation.or(self.damaged);
        }
        self
    }

    /// The gang as the site reports it.
    pub fn report(&self, workers: u32) -> GangReport {
        let present = |w: u32| !self.gone.contains_key(&w);
        let ready = if self.forming {
            self.joining.len() as u32
        } else {
            (0..self.members.len() as u32).filter(|w| present(*w)).count() as u32
        };
        GangReport {
            attempt: self.attempt,
            workers_ready: ready,
            workers,
            process_restarts: self.process_restarts,
            last_failure: self.failures.last().cloned(),
            failures: self.failures.clone(),
            stopped: workers > 0 && (0..workers).all(|w| self.gone.get(&w).is_some_and(|g| g.left)),
            // Of the moment: the site adds it.
            still_seconds: 0,
        }
    }

    /// True if `process` is worker `worker` of the newest attempt.
    pub fn seat(&self, worker: u32, process: &str) -> bool {
        self.members.get(worker as usize).is_some_and(|m| m.process == process)
    }

    fn reply(&self) -> JoinReply {
        JoinReply {
            attempt: self.attempt,
            peers: self.members.iter().map(|m| m.listen.clone()).collect(),
            token: self.token.clone(),
        }
    }
}

/// True unless a process ended as it should: finished, saved and stopped, or told that it is not wanted.
pub fn is_failure(exit_code: i32) -> bool {
    ![i32::from(exit::FINISHED), i32::from(exit::STOPPED), i32::from(exit::GATEWAY)].contains(&exit_code)
}

/// True if a process that was to leave did so by itself, with all saved. One that was killed meanwhile, or failed, has not.
fn has_left(exit_code: i32) -> bool {
    [i32::from(exit::FINISHED), i32::from(exit::STOPPED)].contains(&exit_code)
}

fn check(r: &JoinRequest, workers: u32) -> Result<(), BadJoin> {
    if r.worker >= workers {
        return Err(BadJoin::Worker { worker: r.worker, workers });
    }
    for (field, value) in [("process", &r.process), ("listen", &r.listen)] {
        if value.is_empty() || value.len() > MAX_NAME {
            return Err(BadJoin::Length { field, length: value.len(), bound: MAX_NAME });
        }
    }
    Ok(())
}

/// The last `bytes` bytes of `text`, from a character boundary on.
fn tail(text: &str, bytes: usize) -> String {
    let mut start = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text[start..].to_owned()
}
