//! `stop` of a local run: asks the runner at work in a folder to save and end, and waits until it has. Must not know how sites save.
use std::path::Path;

use coalition_local::stop::Stop;
use coalition_local::{LocalError, control, exit_code, paste};
use coalition_planner::status::Phase;

use crate::find;
use crate::out::note;

/// Stops the run in a folder and says what came of it.
pub fn stop(dir: &Path, why: Option<&str>) -> Result<u8, LocalError> {
    if why.is_some() {
        let what =
            "is for a cluster's run, where others find it stopped; a local run has no place for it: leave it out";
        return Err(LocalError::Argument { argument: "--why".to_owned(), what: what.to_owned() });
    }
    let layout = find::layout(dir)?;
    let asked = Stop::ask(&layout)?;
    note!("Sites save and stop …");
    while asked.is_pending() {
        std::thread::sleep(control::POLL);
    }
    let last = asked.outcome()?;
    if last.status.phase == Phase::Suspended {
        note!("Stopped. `{}` goes on exactly from here.", paste::command("resume", layout.dir()));
    } else {
        note!("The run has ended: {}.", last.status.message);
    }
    Ok(exit_code::OK)
}
