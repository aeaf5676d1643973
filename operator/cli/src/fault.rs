//! `fault`: gives the runner at work in a folder the order to break something, so that people can watch a run survive it. Must
//! not know what follows: the runner does it, the planner answers.
use coalition_local::control::{self, Command as Order};
use coalition_local::lock::RunnerLock;
use coalition_local::{LocalError, exit_code, paste};

use crate::args::{Fault, FaultKind};
use crate::find;
use crate::out::note;

/// How often, with [`control::POLL`] in between, the runner's word of a command is looked for once it took it: a few seconds, in
/// which it ends some processes.
const TRIES: u32 = 25;

/// Sends one fault, waits until the runner took it, and says what the runner says of it.
pub fn fault(f: &Fault) -> Result<u8, LocalError> {
    let (verb, reason) = match f.kind {
        FaultKind::Kill => ("fault kill", "SiteKilled"),
        FaultKind::Return => ("fault return", "SiteStarted"),
        FaultKind::LoseStore => ("fault lose-store", "StoreRemoved"),
    };
    let (layout, site) = find::site(verb, &f.site, &f.dir)?;
    let order = match f.kind {
        FaultKind::Kill => Order::Kill { site: site.clone() },
        FaultKind::Return => Order::Return { site: site.clone() },
        FaultKind::LoseStore => Order::LoseStore { site: site.clone() },
    };
    let before = control::told(&layout, &site, reason);
    let path = control::send(&layout, &order)?;
    // A runner looks five times a second; one that dies takes nothing any more.
    while path.exists() && RunnerLock::is_held(&layout) {
        std::thread::sleep(control::POLL);
    }
    if std::fs::remove_file(&path).is_ok() {
        return Err(control::nobody(&layout));
    }
    let mut said = None;
    for _ in 0..TRIES {
        said = control::told(&layout, &site, reason).filter(|told| before.as_ref() != Some(told));
        if said.is_some() || !RunnerLock::is_held(&layout) {
            break;
        }
        std::thread::sleep(control::POLL);
    }
    let dir = layout.dir();
    let done = match said {
        Some(told) => told.event.message,
        None => format!("the runner took the order for {site}, and has not said yet that it is done"),
    };
    let back = match f.kind {
        FaultKind::Kill => format!("; `{}` starts it again", paste::fault_return(&site, dir)),
        FaultKind::Return | FaultKind::LoseStore => String::new(),
    };
    note!("{done}{back}. `{}` shows what follows.", paste::command("why", dir));
    Ok(exit_code::OK)
}
