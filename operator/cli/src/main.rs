//! kubectl-coalition: the command-line tool. Each command is a file; this one only chooses and turns errors into messages
//! and exit codes.
mod args;
mod find;
mod local;
mod logs;
mod out;
mod show;
mod status;
mod style;
mod validate;
mod view;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use coalition_local::control::{self, Command as Order};
use coalition_local::lock::RunnerLock;
use coalition_local::stop::Stop;
use coalition_local::{LocalError, exit_code};
use coalition_planner::status::Phase;

use args::{Cli, Command, FaultKind};
use out::note;

fn main() -> ExitCode {
    let cli = Cli::parse();
    style::set(cli.color);
    let done = match cli.command {
        Command::Local(l) => local::local(l),
        Command::Resume(r) => local::resume(r),
        Command::Status(s) => status::status(&s),
        Command::Why(d) => status::why(&d.dir),
        Command::Logs(l) => logs::logs(&l),
        Command::Stop(d) => stop(&d.dir),
        Command::Fault(f) => fault(&f),
        Command::Validate(v) => validate::validate(&v),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "kubectl-coalition", &mut script);
            out::bytes(&script);
            Ok(exit_code::OK)
        }
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            note!("{} {e}", style::error("error:"));
            ExitCode::from(e.exit_code())
        }
    }
}

fn stop(dir: &std::path::Path) -> Result<u8, LocalError> {
    let layout = find::layout(dir)?;
    let asked = Stop::ask(&layout)?;
    note!("Sites save and stop …");
    while asked.is_pending() {
        std::thread::sleep(control::POLL);
    }
    let last = asked.outcome()?;
    if last.status.phase == Phase::Suspended {
        note!("Stopped. `kubectl coalition resume {}` goes on exactly from here.", layout.dir().display());
    } else {
        note!("The run has ended: {}.", last.status.message);
    }
    Ok(exit_code::OK)
}

fn fault(f: &args::Fault) -> Result<u8, LocalError> {
    let layout = find::layout(&f.dir)?;
    let no_site = || LocalError::NoSite { site: f.site.clone(), sites: logs::sites(&layout).join(", ") };
    let site: coalition_protocol::SiteId = f.site.parse().map_err(|_| no_site())?;
    if !layout.site(&site).is_dir() {
        return Err(no_site());
    }
    let order = match f.kind {
        FaultKind::Kill => Order::Kill { site },
        FaultKind::Return => Order::Return { site },
        FaultKind::LoseStore => Order::LoseStore { site },
    };
    let path = control::send(&layout, &order)?;
    // A runner looks five times a second; one that dies takes nothing any more.
    while path.exists() && RunnerLock::is_held(&layout) {
        std::thread::sleep(control::POLL);
    }
    if std::fs::remove_file(&path).is_ok() {
        return Err(LocalError::NotRunning { dir: layout.dir().to_owned() });
    }
    let site = &f.site;
    let done = match f.kind {
        FaultKind::Kill => {
            format!("{site}: all its processes are killed and stay down; `fault return {site}` starts it")
        }
        FaultKind::Return => format!("{site}: is started again"),
        FaultKind::LoseStore => format!("{site}: its store is removed, with all it held"),
    };
    note!("{done}. The runner took the order; `kubectl coalition why {}` shows what follows.", layout.dir().display());
    Ok(exit_code::OK)
}
