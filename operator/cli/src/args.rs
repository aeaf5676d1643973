//! The command line, as clap reads it. Says what there is; does nothing.
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use coalition_local::KillPlan;

/// What scripts may rely on: the numbers of `coalition_local::exit_code`.
const CODES: &str = "Exit codes:
  0    done
  1    the run ended, and not as complete
  2    the command line is wrong
  64   the manifest is wrong, or does not fit the state folder
  65   a data set is missing, damaged, or does not fit the model
  66   a file or folder that should be there is not
  69   another runner is at work in the folder, or none where one is needed
  70   a bug
  71   a program that is needed cannot be started
  73   the disk is full, read-only, or does not let us write
  130  interrupted at once (a second Ctrl-C), or stopped before every site saved; `resume` goes on";

/// Trains one model on many sites, and keeps training when some of them go away.
#[derive(Debug, Parser)]
#[command(name = "kubectl-coalition", version, after_help = CODES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Colours: on terminals only, always, or never.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On terminals, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What the tool does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a manifest on this machine, with pretended sites.
    #[command(after_help = "Examples:
  kubectl-coalition local run.yaml --data rust=./data
  kubectl-coalition local run.yaml --dir ./state --kill south@60+15
  kubectl-coalition local run.yaml --kill-every 5

Ctrl-C once saves and stops, twice stops at once. Either way `resume` goes on, as after a kill of this process.
What is wrong with the manifest or these arguments is told before anything is written. A run that reached its budget has \
ended: a larger one is refused with code 64; start a new run under another name.")]
    Local(Local),
    /// Go on with the run in a state folder.
    #[command(after_help = "Example:\n  kubectl-coalition resume ./state")]
    Resume(Resume),
    /// Show what a local run is doing.
    #[command(after_help = "Examples:
  kubectl-coalition status ./state
  kubectl-coalition status my-run -o wide
  kubectl-coalition status ./state -o json")]
    Status(Status),
    /// Say what is happening, why, and what it will do next.
    #[command(after_help = "Examples:\n  kubectl-coalition why ./state\n  kubectl-coalition why my-run")]
    Why(Dir),
    /// Show what the workers of a site wrote.
    #[command(after_help = "Examples:
  kubectl-coalition logs north ./state
  kubectl-coalition logs north ./state --worker 1 --follow
  kubectl-coalition logs north ./state -o json")]
    Logs(Logs),
    /// Save everything and stop the runner; `resume` goes on.
    #[command(after_help = "Example:\n  kubectl-coalition stop ./state")]
    Stop(Dir),
    /// Kill a pretended site, start it again, or remove its store: faults to watch a run survive.
    #[command(after_help = "Examples:
  kubectl-coalition fault kill south ./state
  kubectl-coalition fault return south ./state
  kubectl-coalition fault lose-store south ./state")]
    Fault(Fault),
    /// Check a manifest without applying it, and show everything that is wrong with it.
    #[command(after_help = "Examples:
  kubectl-coalition validate run.yaml
  kubectl-coalition validate -f run.yaml -o wide
  cat run.yaml | kubectl-coalition validate -f - -o json

Exits with 0 if nothing is wrong, 64 if something is, 66 if the file cannot be read.")]
    Validate(Validate),
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  kubectl-coalition completion bash > /etc/bash_completion.d/kubectl-coalition")]
    Completion {
        /// The shell.
        shell: Shell,
    },
}

/// `local`.
#[derive(Debug, Args)]
pub struct Local {
    /// The manifest: one TrainingRun and the CheckpointPolicy it names.
    #[arg(value_name = "RUN.yaml")]
    pub manifest: PathBuf,
    /// The state folder; absent: .coalition/NAME in the current one, by the name of the run.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// How to run it.
    #[command(flatten)]
    pub how: How,
}

/// `resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// The state folder, or the name of a run below .coalition here. The current folder also means the only run below it.
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// How to run it.
    #[command(flatten)]
    pub how: How,
}

/// How a local run is run.
#[derive(Debug, Args)]
pub struct How {
    /// Where a data set of the mixture lies; may be repeated. Absent: below $COALITION_DATA, or next to the manifest.
    #[arg(long, value_name = "NAME=DIR", value_parser = data)]
    pub data: Vec<(String, PathBuf)>,
    /// The trainer; absent: beside this program, or on the PATH.
    #[arg(long, value_name = "PATH", env = "COALITION_TRAINER", hide_env_values = true)]
    pub trainer: Option<PathBuf>,
    /// Kill all processes of a site at that step of it, and start it again so many seconds later; may be repeated.
    #[arg(long, value_name = "SITE@STEP[+SECONDS]")]
    pub kill: Vec<KillPlan>,
    /// Kill a process chosen at random every so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub kill_every: Option<u64>,
    /// Plain lines instead of a live view, as when the output is no terminal.
    #[arg(long)]
    pub plain: bool,
    /// Milliseconds that every inner step pauses, so that tests can kill a tiny model at a chosen step.
    #[arg(long, value_name = "MILLIS", hide = true)]
    pub step_pause: Option<u64>,
    /// Every attention layer puts out zeros: checks of learning must fail then.
    #[arg(long, hide = true)]
    pub zero_attention: bool,
}

/// A state folder.
#[derive(Debug, Args)]
pub struct Dir {
    /// The state folder, or the name of a run below .coalition here. The current folder also means the only run below it.
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
}

/// `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// The state folder, or the name of a run below .coalition here. The current folder also means the only run below it.
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// How to show it.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

/// How to show something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For people with wide terminals.
    Wide,
    /// For machines.
    Json,
    /// For machines and people.
    Yaml,
}

/// `logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// The site.
    pub site: String,
    /// The state folder, or the name of a run below .coalition here. The current folder also means the only run below it.
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// The worker; absent: all, one after the other.
    #[arg(long, value_name = "N")]
    pub worker: Option<u32>,
    /// Keep writing what comes.
    #[arg(long, short)]
    pub follow: bool,
    /// Begin with so many of the last lines.
    #[arg(long, value_name = "LINES", default_value_t = 200)]
    pub tail: usize,
    /// How to show the events that trainers write as JSON.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: LogOutput,
}

/// How to show lines of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogOutput {
    /// Time, event, key=value; other lines as they are.
    Text,
    /// Every line as it was written.
    Json,
}

/// `fault`.
#[derive(Debug, Args)]
pub struct Fault {
    /// Which.
    pub kind: FaultKind,
    /// The site.
    pub site: String,
    /// The state folder, or the name of a run below .coalition here. The current folder also means the only run below it.
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
}

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FaultKind {
    /// Kill all its processes and keep them down.
    Kill,
    /// Start it again.
    Return,
    /// Remove its store with all it holds.
    LoseStore,
}

/// `validate`.
#[derive(Debug, Args)]
pub struct Validate {
    /// The manifest; - reads standard input.
    #[arg(value_name = "FILE", required_unless_present = "file", conflicts_with = "file")]
    pub manifest: Option<PathBuf>,
    /// The manifest, as `kubectl apply` takes it.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// How to show it; wide adds the object of each problem, or what the numbers come to: steps, rounds, memory.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

fn data(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, dir)) if !name.is_empty() && !dir.is_empty() => Ok((name.to_owned(), PathBuf::from(dir))),
        _ => Err("must be NAME=DIR, such as rust=./data".to_owned()),
    }
}
