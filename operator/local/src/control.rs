//! How another process speaks to a runner: a file for each command in `DIR/control`, carried out and removed within a
//! quarter of a second. Who may write the folder may command; no port is open, no secret needed.
use std::path::PathBuf;
use std::time::Duration;

use coalition_planner::status::Phase;
use coalition_protocol::SiteId;
use serde::{Deserialize, Serialize};

use crate::LocalError;
use crate::durable::{self, Mode};
use crate::hub::snapshot::{Snapshot, Told};
use crate::layout::Layout;
use crate::lock::RunnerLock;

/// How often the runner looks.
pub const POLL: Duration = Duration::from_millis(200);

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Command {
    /// Save everything and end the runner; `resume` goes on.
    Stop,
    /// Take a site's power.
    Kill {
        /// The site.
        site: SiteId,
    },
    /// Give it back.
    Return {
        /// The site.
        site: SiteId,
    },
    /// Remove a site's store, whether it runs or not.
    LoseStore {
        /// The site.
        site: SiteId,
    },
}

/// Leaves a command for the runner in this folder, in the file named: it is gone once the runner took it. An error if none
/// is at work.
pub fn send(layout: &Layout, command: &Command) -> Result<PathBuf, LocalError> {
    if !RunnerLock::is_held(layout) {
        return Err(nobody(layout));
    }
    durable::folder(&layout.control())?;
    let path = layout.control().join(format!("{}.json", crate::site::random_hex()?));
    durable::replace_json(&path, command, Mode::Plain)?;
    Ok(path)
}

/// Why nobody takes a command, where no runner is at work: the run is over, or it waits for one.
pub fn nobody(layout: &Layout) -> LocalError {
    let dir = layout.dir().to_owned();
    // A status that cannot be read says nothing.
    let last = durable::read_json::<Snapshot>(&layout.status()).ok().flatten();
    match last.map(|s| s.status.phase) {
        Some(phase @ (Phase::Complete | Phase::Failed)) => LocalError::Over { dir, complete: phase == Phase::Complete },
        _ => LocalError::NotRunning { dir },
    }
}

/// The newest event of this kind at a site that the runner has told.
pub fn told(layout: &Layout, site: &SiteId, reason: &str) -> Option<Told> {
    let last = durable::read_json::<Snapshot>(&layout.status()).ok().flatten()?;
    last.events.into_iter().rfind(|t| t.event.reason == reason && t.event.site.as_ref() == Some(site))
}

/// Takes the commands that wait, oldest first. What is no command is removed with a warning.
pub fn take(layout: &Layout) -> Vec<Command> {
    let Ok(entries) = std::fs::read_dir(layout.control()) else { return Vec::new() };
    let mut waiting: Vec<_> = entries
        .flatten()
        .filter(|e| e.path().extension().is_some_and(|x| x == "json"))
        .map(|e| (e.metadata().and_then(|m| m.modified()).ok(), e.path()))
        .collect();
    waiting.sort();
    let mut out = Vec::new();
    for (_, path) in waiting {
        match durable::read_json::<Command>(&path) {
            Ok(c) => out.extend(c),
            Err(e) => tracing::warn!(error = %e, "a command could not be read"),
        }
        let _ = std::fs::remove_file(&path);
    }
    out
}
