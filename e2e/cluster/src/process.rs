//! One process, held by a descriptor: a signal never reaches whoever got its number later. Must not know what it runs.

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// A process of this machine.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    fd: OwnedFd,
}

impl Process {
    /// Takes hold of the process with the number `pid`. An error if there is none.
    pub fn of(pid: i32) -> Result<Self> {
        let id = Pid::from_raw(pid).with_context(|| format!("{pid} is no process id"))?;
        let fd = pidfd_open(id, PidfdFlags::empty()).with_context(|| format!("process {pid} cannot be held"))?;
        Ok(Self { pid, fd })
    }

    /// Its number, as seen from outside of every namespace.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends `signal`. A process that is gone already is fine.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match pidfd_send_signal(&self.fd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("process {} takes no signal {signal:?}", self.pid)),
        }
    }

    /// Whether it has ended, waiting for that at most `bound`.
    pub fn ends_within(&self, bound: Duration) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        let bound = Timespec { tv_sec: bound.as_secs().cast_signed(), tv_nsec: bound.subsec_nanos().into() };
        // An interrupted wait counts as "not yet"; whoever asks asks again or reports it.
        poll(&mut fds, Some(&bound)).is_ok_and(|ready| ready > 0)
    }

    /// Kills it and waits until it is gone, at most `bound`.
    pub fn kill(&self, bound: Duration) -> Result<()> {
        self.signal(Signal::KILL)?;
        if !self.ends_within(bound) {
            bail!("process {} did not end within {:.0} s of SIGKILL", self.pid, bound.as_secs_f64());
        }
        Ok(())
    }
}

/// What `/proc` says of a process that other code needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Whether it ended and nobody has asked how.
    pub zombie: bool,
    /// It is halted by a signal.
    pub halted: bool,
    /// When it started, in ticks since the machine did: with the number this names a process for good.
    pub started: u64,
}

/// The fields of `/proc/PID/stat` after the program's name, which may itself hold blanks and brackets.
fn parse(pid: i32, stat: &str) -> Option<Seen> {
    let rest: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    // proc_pid_stat(5): state is field 3, ppid 4, starttime 22; `rest` begins with field 3.
    let (state, parent, started) = (rest.first()?, rest.get(1)?, rest.get(19)?);
    Some(Seen {
        pid,
        parent: parent.parse().ok()?,
        zombie: *state == "Z",
        halted: *state == "T",
        started: started.parse().ok()?,
    })
}

/// What is known of `pid`, if it is there.
pub fn seen(pid: i32) -> Option<Seen> {
    parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Every process that can be seen from here.
pub fn all() -> Result<Vec<Seen>> {
    let entries = fs::read_dir("/proc").context("cannot list /proc")?;
    // One that ends while it is looked at is none any more.
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter_map(seen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_name_with_blanks_and_brackets_is_no_hindrance() {
        let stat = format!("7 (a) b) S 3 {} 99 0", ["0"; 17].join(" "));
        assert_eq!(parse(7, &stat), Some(Seen { pid: 7, parent: 3, zombie: false, halted: false, started: 99 }));
        assert_eq!(parse(7, "7 (a"), None);
    }

    #[test]
    fn a_process_is_found_and_killed_once() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = child.id().cast_signed();
        let process = Process::of(pid).unwrap();
        assert!(!process.ends_within(Duration::ZERO));
        let me = std::process::id().cast_signed();
        assert!(all().unwrap().iter().any(|seen| seen.pid == pid && seen.parent == me));
        process.kill(Duration::from_secs(10)).unwrap();
        child.wait().unwrap();
        process.signal(Signal::KILL).unwrap();
        assert!(Process::of(pid).is_err() || seen(pid).is_none());
    }
}
