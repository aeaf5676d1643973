//! How long from the kill of a process until its gang trains again, by phase, read from what supervisors and workers log with
//! the machine's boot-time clock.

use crate::manifest::Small;
use crate::processes::{self, Role};
use crate::run::Run;
use crate::wait;
use anyhow::{Context, Result, bail};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One kill, in milliseconds after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restart {
    /// Until the supervisor has seen the end of its worker.
    pub detected: u64,
    /// Until the new process and the survivor are one gang.
    pub joined: u64,
    /// Until the newest site checkpoint is restored.
    pub restored: u64,
    /// Until the new process has done its first step.
    pub first_step: u64,
}

/// No restart takes longer, or something is broken.
const BOUND: Duration = Duration::from_mins(1);
/// Pause of each step, so that the run outlasts its kills. It is part of the first step's time.
const STEP_PAUSE_MILLIS: &str = "10";

/// Runs one site with two workers below `folder` and kills a worker `kills` times, each after the gang trains again.
pub fn measure(folder: &Path, kills: usize) -> Result<Vec<Restart>> {
    let small = Small { sites: 1, rounds: 2000, checkpoint_steps: 4, ..Small::default() };
    let mut run = Run::prepare(folder, &small)?.with(&["--step-pause", STEP_PAUSE_MILLIS]);
    run.start()?;
    let log = |worker: usize| run.dir().join(format!("sites/north/logs/worker-{worker}.log"));
    let logs = [log(0), log(1)];
    for path in &logs {
        after(path, "firstStep", 0).with_context(|| run.tail())?;
    }
    let mut all = Vec::new();
    for n in 0..kills {
        // Some steps and a checkpoint lie between two kills.
        let calm = boot_millis() + 500;
        wait::until("half a second of training", BOUND, || Ok((boot_millis() >= calm).then_some(())))?;
        let victim = n % 2;
        let config = format!("worker-{victim}.json");
        let workers = run.processes()?;
        let worker = workers.iter().find(|p| p.role == Role::Worker && p.line.ends_with(&config));
        let worker = worker.with_context(|| format!("no worker {victim} runs; the output ends:\n{}", run.tail()))?;
        let killed = boot_millis();
        processes::kill(worker.pid);
        let since = |path: &PathBuf, event: &str| Ok::<u64, anyhow::Error>(after(path, event, killed)? - killed);
        let restart = Restart {
            detected: since(&logs[victim], "workerEnded")?,
            joined: since(&logs[victim], "joined")?.max(since(&logs[1 - victim], "joined")?),
            restored: since(&logs[0], "restored")?,
            first_step: since(&logs[victim], "firstStep")?,
        };
        all.push(restart);
    }
    Ok(all)
}

/// Milliseconds since the machine started, the clock of the events.
fn boot_millis() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// When the first `event` at or after `from` was logged in `path`; waits for it.
fn after(path: &Path, event: &str, from: u64) -> Result<u64> {
    wait::until(&format!("`{event}` in {}", path.display()), BOUND, || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        Ok(find(&text, event, from))
    })
}

fn find(log: &str, event: &str, from: u64) -> Option<u64> {
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["event"] == event)
        .filter_map(|line| line["ms"].as_u64())
        .find(|ms| *ms >= from)
}

/// The number of kills on a command line.
pub fn kills(text: &str) -> Result<usize> {
    match text.parse() {
        Ok(n @ 1..=1000) => Ok(n),
        _ => bail!("KILLS is a number from 1 to 1000, not `{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_after_a_moment_is_found() {
        let log = "{\"event\":\"joined\",\"ms\":5}\nplain words\n{\"event\":\"joined\",\"ms\":9}\n{\"event\":\"step\",\"ms\":10}\n{\"ev";
        assert_eq!(find(log, "joined", 0), Some(5));
        assert_eq!(find(log, "joined", 6), Some(9));
        assert_eq!(find(log, "joined", 10), None);
    }

    #[test]
    fn a_senseless_number_of_kills_is_refused() {
        assert_eq!(kills("8").unwrap(), 8);
        assert!(kills("0").is_err() && kills("many").is_err());
    }
}
