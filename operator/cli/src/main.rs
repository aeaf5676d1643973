//! kubectl-coalition: the command-line tool. Each command is a file (but `completion`, which clap writes); this one only
//! chooses and turns errors into messages and exit codes.
mod args;
mod fault;
mod find;
mod local;
mod logs;
mod out;
mod show;
mod status;
mod stop;
mod style;
mod validate;
mod view;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use coalition_local::exit_code;

use args::{Cli, Command};
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
        Command::Stop(d) => stop::stop(&d.dir),
        Command::Fault(f) => fault::fault(&f),
        Command::Validate(v) => validate::validate(&v),
        Command::Completion { shell } => {
            out::bytes(completion(shell).as_bytes());
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

/// The completion script. For a program with `-` in its name clap_complete 4.6 writes bash branches that are never taken: their
/// names have `__subcmd__` where the names that lead to them have `__`.
fn completion(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kubectl-coalition", &mut script);
    String::from_utf8_lossy(&script).replace("kubectl__subcmd__coalition", "kubectl__coalition")
}
