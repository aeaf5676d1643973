//! `fault`: gives the runner at work in a folder the order to break something, so that people can watch a run survive it. Must
//! not know what follows: the runner does it, the planner answers.
use coalition_local::control::{self, Command as Order};
use coalition_local::lock::RunnerLock;
use coalition_local::{LocalError, exit_code, paste};

use crate::args::{Fault, FaultKind};
use crate::find;
use crate::out::note;

/// Sends one fault and waits until the runner took it.
pub fn fault(f: &Fault) -> Result<u8, LocalError> {
    let verb = match f.kind {
        FaultKind::Kill => "fault kill",
        FaultKind::Return => "fault return",
        FaultKind::LoseStore => "fault lose-store",
    };
    let (layout, site) = find::site(verb, &f.site, &f.dir)?;
    let order = match f.kind {
        FaultKind::Kill => Order::Kill { site: site.clone() },
        FaultKind::Return => Order::Return { site: site.clone() },
        FaultKind::LoseStore => Order::LoseStore { site: site.clone() },
    };
    let path = control::send(&layout, &order)?;
    // A runner looks five times a second; one that dies takes nothing any more.
    while path.exists() && RunnerLock::is_held(&layout) {
        std::thread::sleep(control::POLL);
    }
    if std::fs::remove_file(&path).is_ok() {
        return Err(LocalError::NotRunning { dir: layout.dir().to_owned() });
    }
    let dir = layout.dir();
    let done = match f.kind {
        FaultKind::Kill => {
            let again = paste::fault_return(&site, dir);
            format!("{site}: all its processes will be killed and stay down; `{again}` starts it again")
        }
        FaultKind::Return => format!("{site}: will be started again"),
        FaultKind::LoseStore => format!("{site}: its store will be removed, with all it held"),
    };
    note!("{done}. The runner took the order; `{}` shows what follows.", paste::command("why", dir));
    Ok(exit_code::OK)
}
