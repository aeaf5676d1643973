//! coalition-trainer: supervisor, worker, data preparation and generation. Each command is a file; this one only chooses.
mod alive;
mod cli;
mod config;
mod events;
mod failure;
mod gateway;
mod generate;
mod once;
mod out;
mod prepare;
mod signals;
mod stores;
mod supervisor;
mod worker;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command, Data};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("COALITION_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Colours are for people; in a file they stand in the way.
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    let done = match cli.command {
        Command::Supervise(c) => supervisor::supervise(&c.config),
        Command::Work(c) => worker::work(&c.config),
        Command::Data(Data::Prepare(p)) => prepare::prepare(p),
        Command::Data(Data::Verify { folder }) => prepare::verify(&folder),
        Command::Generate(g) => generate::generate(g),
        Command::Completion { shell } => {
            out::bytes(completion(shell).as_bytes());
            Ok(0)
        }
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(f) => {
            out::note!("error: {f}");
            ExitCode::from(f.code)
        }
    }
}

/// The completion script. For a program with `-` in its name clap_complete 4.6 writes bash branches that are never taken: their
/// names have `__subcmd__` where the names that lead to them have `__`.
fn completion(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "coalition-trainer", &mut script);
    String::from_utf8_lossy(&script).replace("coalition__subcmd__trainer", "coalition__trainer")
}
