//! coalition-trainer: supervisor, worker, data preparation and generation. Each command is a file; this one only chooses.
mod alive;
mod cli;
mod config;
mod dataset;
mod events;
mod failure;
mod gateway;
mod generate;
mod logs;
mod once;
mod out;
mod prepare;
mod ready;
mod signals;
mod stores;
mod supervisor;
mod worker;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::Shell;

use cli::{Cli, Command, Data, LogFormat};

fn main() -> ExitCode {
    let cli = Cli::parse();
    logs::start(cli.log_format);
    let done = match cli.command {
        Command::Supervise(a) => supervisor::supervise(&a, cli.log_format),
        Command::Work(a) => worker::work(&a),
        Command::Ready(a) => ready::ready(&a),
        Command::Data(Data::Prepare(p)) => prepare::prepare(p),
        Command::Data(Data::Verify { folder }) => prepare::verify(&folder),
        Command::Data(Data::Push { folder, to }) => dataset::push(&folder, &to),
        Command::Generate(g) => generate::generate(g),
        Command::Completion { shell } => {
            out::bytes(completion(shell).as_bytes());
            Ok(0)
        }
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(f) => {
            match cli.log_format {
                LogFormat::Text => out::note!("error: {f}"),
                LogFormat::Json => tracing::error!("{f}"),
            }
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
