//! kubectl-coalition: the command-line tool. Each command is a file; this one only chooses and turns errors into messages
//! and exit codes.
mod args;
mod local;
mod logs;
mod show;
mod status;
mod style;
mod validate;
mod view;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use coalition_local::control::{self, Command as Order};
use coalition_local::lock::RunnerLock;
use coalition_local::{Layout, LocalError, exit_code};

use args::{Cli, Command, FaultKind};

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
            clap_complete::generate(shell, &mut Cli::command(), "kubectl-coalition", &mut std::io::stdout());
            Ok(exit_code::OK)
        }
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            eprintln!("{} {e}", style::error("error:"));
            ExitCode::from(e.exit_code())
        }
    }
}

/// The layout of a state folder that must be one.
fn layout(dir: &std::path::Path) -> Result<Layout, LocalError> {
    let layout = Layout::new(dir).map_err(|e| LocalError::read(dir, &e))?;
    if layout.resolved().is_file() {
        Ok(layout)
    } else {
        Err(LocalError::Input {
            path: layout.dir().to_owned(),
            what:
                "it is not the state folder of a local run: name the one that `kubectl coalition local` was given with \
                   --dir (by default .coalition/NAME)"
                    .to_owned(),
        })
    }
}

fn stop(dir: &std::path::Path) -> Result<u8, LocalError> {
    let layout = layout(dir)?;
    control::send(&layout, &Order::Stop)?;
    eprintln!("Sites save and stop …");
    while RunnerLock::is_held(&layout) {
        std::thread::sleep(control::POLL);
    }
    eprintln!("Stopped. `kubectl coalition resume {}` goes on exactly from here.", dir.display());
    Ok(exit_code::OK)
}

fn fault(f: &args::Fault) -> Result<u8, LocalError> {
    let layout = layout(&f.dir)?;
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
    control::send(&layout, &order)?;
    Ok(exit_code::OK)
}
