//! kubectl-coalition: the command-line tool. Each command is a file; this one only chooses, by what the run is that was named, and
//! turns errors into messages and exit codes.
mod args;
mod cluster;
mod complete;
mod fault;
mod find;
mod local;
mod logs;
mod out;
mod show;
mod status;
mod stop;
mod style;
mod table;
mod validate;
mod view;
mod which;

use std::process::ExitCode;

use clap::Parser;
use coalition_local::LocalError;

use args::{Cli, Command};
use cluster::ClusterError;
use out::note;
use which::Place;

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Of a run on this machine, or of a file.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// Of a cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

fn main() -> ExitCode {
    complete::if_asked();
    let cli = Cli::parse();
    style::set(cli.color);
    match run(cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            note!("{} {e}", style::error("error:"));
            ExitCode::from(match e {
                Failure::Local(e) => e.exit_code(),
                Failure::Cluster(e) => e.exit_code(),
            })
        }
    }
}

fn run(command: Command) -> Result<u8, Failure> {
    Ok(match command {
        Command::Local(l) => local::local(l)?,
        Command::Status(s) => match which::status(&s)? {
            Place::Local(dir) => status::status(&dir, s.output)?,
            Place::Cluster(name) => cluster::status::status(name.as_deref(), &s)?,
        },
        Command::Why(w) => match which::run(w.run.as_deref(), &w.reach)? {
            Place::Local(dir) => status::why(&dir)?,
            Place::Cluster(name) => cluster::why(name.as_deref(), &w.reach)?,
        },
        Command::Logs(l) => match which::logs(&l)? {
            (Place::Local(dir), site) => logs::logs(&dir, site.as_deref(), &l)?,
            (Place::Cluster(name), site) => cluster::logs::logs(&name.unwrap_or_default(), site.as_deref(), &l)?,
        },
        Command::History(h) => cluster::history::history(&h)?,
        Command::Checkpoint(c) => cluster::checkpoint::checkpoint(&c)?,
        Command::Stop(s) => match which::run(s.run.as_deref(), &s.reach)? {
            Place::Local(dir) => stop::stop(&dir, s.why.as_deref())?,
            Place::Cluster(name) => cluster::stop::stop(name.as_deref(), s.why.as_deref(), &s.reach)?,
        },
        Command::Resume(r) => match which::run(r.run.as_deref(), &r.reach)? {
            Place::Local(dir) => local::resume(dir, r.how)?,
            Place::Cluster(name) => cluster::stop::resume(name.as_deref(), &r.how, &r.reach)?,
        },
        Command::Fault(f) => fault::fault(&f)?,
        Command::Validate(v) => validate::validate(&v)?,
        Command::Completion { shell } => complete::script(shell)?,
        Command::Complete { words } => complete::for_kubectl(&words),
    })
}
