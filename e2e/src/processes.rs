//! The processes of one run, found by what their command lines name, and how to kill them.
use std::fs;
use std::path::Path;

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process};

/// What a process is to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// `kubectl-coalition local` or `resume`.
    Runner,
    /// `coalition-trainer supervise`.
    Supervisor,
    /// `coalition-trainer work`.
    Worker,
}

/// A process of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// What it is.
    pub role: Role,
    /// Its process id.
    pub pid: i32,
    /// Its command line.
    pub line: String,
}

/// All live processes whose command line names `dir`, in order of role and id.
pub fn of(dir: &Path) -> Result<Vec<Process>> {
    let dir = dir.display().to_string();
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        // A process that ends while it is looked at is not one of the run's any more.
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        // The command line ends with a zero byte, which makes an empty last word.
        let words: Vec<String> = line.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
        if !words.iter().any(|w| w.contains(&dir)) || is_zombie(pid) {
            continue;
        }
        let program = words[0].rsplit('/').next().unwrap_or_default();
        let role = match (program, words.get(1).map(String::as_str)) {
            ("kubectl-coalition", Some("local" | "resume")) => Role::Runner,
            ("coalition-trainer", Some("supervise")) => Role::Supervisor,
            ("coalition-trainer", Some("work")) => Role::Worker,
            _ => continue,
        };
        all.push(Process { role, pid, line: words.join(" ").trim_end().to_owned() });
    }
    all.sort();
    Ok(all)
}

fn is_zombie(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|s| s.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

/// kill -9. A process that is gone already is fine.
pub fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // The only error left is that it is gone.
        let _ = kill_process(pid, Signal::KILL);
    }
}
