//! Arguments of the verbs that are about this machine alone: `local`, `fault`, and how a local run is run. Does nothing.
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use coalition_local::KillPlan;

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

impl How {
    /// The first of these options that was given, for a run where none of them means anything. The trainer's path is none:
    /// it may stand in the environment for other runs.
    pub fn given(&self) -> Option<&'static str> {
        let all = [
            ("--data", !self.data.is_empty()),
            ("--kill", !self.kill.is_empty()),
            ("--kill-every", self.kill_every.is_some()),
            ("--plain", self.plain),
            ("--step-pause", self.step_pause.is_some()),
            ("--zero-attention", self.zero_attention),
        ];
        all.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }
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

fn data(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, dir)) if !name.is_empty() && !dir.is_empty() => Ok((name.to_owned(), PathBuf::from(dir))),
        _ => Err("must be NAME=DIR, such as rust=./data".to_owned()),
    }
}
