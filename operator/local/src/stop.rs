//! Stopping a runner from another process, and what may be said of it afterwards: only what the folder shows. An order that
//! is gone was taken; that sites saved is true once the status that this very runner wrote says so.
//!
//! It must never take silence for success: a runner can die at any instant, before it took the order and after.
use std::path::PathBuf;
use std::time::Duration;

use coalition_planner::status::Phase;
use coalition_protocol::SiteId;

use crate::LocalError;
use crate::control::{self, Command};
use crate::durable;
use crate::hub::snapshot::Snapshot;
use crate::layout::Layout;
use crate::lock::RunnerLock;

/// How often the number of a runner that starts is looked for, and the pause in between: it follows the lock by microseconds.
const TRIES: (u32, Duration) = (50, Duration::from_millis(20));

/// A runner that was asked to save and stop.
#[derive(Debug)]
pub struct Stop {
    layout: Layout,
    order: PathBuf,
    runner: Option<u32>,
}

impl Stop {
    /// Asks the runner at work in the folder; an error if there is none.
    pub fn ask(layout: &Layout) -> Result<Self, LocalError> {
        let runner = runner(layout);
        let order = control::send(layout, &Command::Stop)?;
        Ok(Self { layout: layout.clone(), order, runner })
    }

    /// True while the runner that was asked is at work.
    pub fn is_pending(&self) -> bool {
        RunnerLock::is_held(&self.layout) && RunnerLock::holder(&self.layout) == self.runner
    }

    /// What came of it, once that runner is gone: the last status, of a run that is saved or over; else an error that says
    /// what is known.
    pub fn outcome(self) -> Result<Snapshot, LocalError> {
        let dir = self.layout.dir().to_owned();
        // What a later runner would take for its own.
        let waits = std::fs::remove_file(&self.order).is_ok();
        let last: Option<Snapshot> = durable::read_json(&self.layout.status())?;
        if waits {
            return Err(LocalError::NotTaken { dir, known: known(&self.layout, last.as_ref()) });
        }
        match last {
            Some(s) if Some(s.runner) == self.runner && s.unsaved.is_empty() && is_at_rest(s.status.phase) => Ok(s),
            Some(s) if Some(s.runner) == self.runner && !s.unsaved.is_empty() => {
                Err(LocalError::NotSaved { dir, known: unsaved(&s.unsaved) })
            }
            last => {
                let known = known(&self.layout, last.as_ref());
                let known = format!("the runner took the order and was gone before it said that sites saved; {known}");
                Err(LocalError::NotSaved { dir, known })
            }
        }
    }
}

/// The runner at work. One that just took the lock writes its number the next moment; until then a dead one's stands there.
fn runner(layout: &Layout) -> Option<u32> {
    let mut tries = 0;
    loop {
        let holder = RunnerLock::holder(layout);
        let lives = holder.is_some_and(|pid| PathBuf::from(format!("/proc/{pid}")).exists());
        if lives || tries == TRIES.0 || !RunnerLock::is_held(layout) {
            return holder;
        }
        tries += 1;
        std::thread::sleep(TRIES.1);
    }
}

const fn is_at_rest(phase: Phase) -> bool {
    matches!(phase, Phase::Suspended | Phase::Complete | Phase::Failed)
}

/// That these sites did not save, and what their next start goes on from.
pub fn unsaved(sites: &[SiteId]) -> String {
    let names: Vec<&str> = sites.iter().map(SiteId::as_str).collect();
    let (whose, theirs) = if sites.len() == 1 { ("its", "its") } else { ("their", "their") };
    format!(
        "{} had not saved when the time for it was over: {whose} next start goes on from {theirs} last site checkpoint, and \
         does the steps since then again",
        names.join(", ")
    )
}

/// What the folder says of a run whose runner is gone.
fn known(layout: &Layout, last: Option<&Snapshot>) -> String {
    let Some(s) = last else { return "the run has written no status yet".to_owned() };
    let written = std::fs::metadata(layout.status()).and_then(|m| m.modified()).ok();
    let written = written.and_then(|t| jiff::Timestamp::try_from(t).ok());
    let at = written.map_or_else(String::new, |t| format!(", written at {t:.0}"));
    format!(
        "what is on disk is from round {} with {} of {} tokens committed{at}",
        s.status.round, s.status.tokens, s.status.budget
    )
}
