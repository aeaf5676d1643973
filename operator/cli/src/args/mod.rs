//! The command line, as clap reads it. Says what there is; does nothing.
mod local;
mod run;

use clap::{Parser, Subcommand, ValueEnum};

pub use local::{Fault, FaultKind, How, Local};
pub use run::{
    Checkpoint, CheckpointList, CheckpointOne, History, LogOutput, Logs, Output, Reach, Resume, Status, Stop, Validate,
    Why,
};

/// What scripts may rely on: the numbers of `coalition_local::exit_code`; and which run a word means.
const NOTES: &str = "Which run is meant:
  ./state, /srv/run    a path: the state folder of a local run
  mine                 the local run of that name below .coalition here, if there is one; else TrainingRun mine in the cluster
  mine -n research     -n, --context and --kubeconfig always mean the cluster

Exit codes:
  0    done
  1    the run ended, and not as complete
  2    the command line is wrong
  64   the manifest is wrong, or does not fit the state folder
  65   a data set is missing, damaged, or does not fit the model
  66   a file, a folder or an object that should be there is not
  69   another runner is at work in the folder, or none where one is needed; or a cluster does not answer, or has not our kinds
  70   a bug
  71   a program that is needed cannot be started
  73   the disk is full, read-only, or does not let us write; or the API server refuses the change
  77   the API server does not let you
  130  interrupted at once (a second Ctrl-C), or stopped before every site saved; `resume` goes on";

/// Trains one model on many sites, and keeps training when some of them go away.
#[derive(Debug, Parser)]
#[command(name = "kubectl-coalition", version, after_help = NOTES, max_term_width = 100)]
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
    /// Show what runs are doing, here or in a cluster.
    #[command(after_help = "Examples:
  kubectl coalition status                       the only run here; else all of the namespace
  kubectl coalition status my-run -o wide
  kubectl coalition status my-run -n research    the cluster's, whatever lies here
  kubectl coalition status -A
  kubectl coalition status ./state -o json       a local run, by its folder")]
    Status(Status),
    /// Say what is happening, why, and what it will do next.
    #[command(after_help = "Examples:
  kubectl coalition why my-run
  kubectl coalition why my-run -n research
  kubectl coalition why ./state")]
    Why(Why),
    /// Show what the workers wrote: all of them by time, or one site's, or one worker's.
    #[command(
        override_usage = "kubectl-coalition logs [OPTIONS] [SITE] <RUN>",
        after_help = "Examples:
  kubectl coalition logs my-run --follow
  kubectl coalition logs north my-run --worker 1
  kubectl coalition logs north my-run -n research --site-context north-admin
  kubectl coalition logs north ./state -o json

A cluster's run has its pods in the sites' own clusters: --site-context leads to one of them. Where the pods are gone, what the \
site reported of the last failure is shown."
    )]
    Logs(Logs),
    /// Show the records of a cluster's run: what is written there exists.
    #[command(after_help = "Examples:
  kubectl coalition history my-run
  kubectl coalition history my-run --tail 20 -o wide
  kubectl coalition history my-run -o json

Every record is compared with its digest, with the one before, and with the hub's signature where the first record is there \
to name its key. A local run has its records in hub/history of the state folder.")]
    History(History),
    /// List, show, pin and unpin the checkpoints that a cluster's runs keep.
    #[command(subcommand)]
    Checkpoint(Checkpoint),
    /// Save everything and stop; `resume` goes on.
    #[command(after_help = "Examples:
  kubectl coalition stop my-run --why 'the loss looks wrong'
  kubectl coalition stop ./state

A local run's runner ends. A cluster's run gets the annotation coalition.training/stop, which tools that apply manifests leave \
alone: it stays stopped until `resume`.")]
    Stop(Stop),
    /// Go on with a run that was stopped.
    #[command(after_help = "Examples:
  kubectl coalition resume my-run
  kubectl coalition resume ./state")]
    Resume(Resume),
    /// Kill a pretended site of a local run, start it again, or remove its store: faults to watch a run survive.
    #[command(after_help = "Examples:
  kubectl-coalition fault kill south ./state
  kubectl-coalition fault return south ./state
  kubectl-coalition fault lose-store south ./state")]
    Fault(Fault),
    /// Check a manifest without applying it, and show everything that is wrong with it.
    #[command(after_help = "Examples:
  kubectl coalition validate run.yaml
  kubectl coalition validate -f run.yaml -o wide
  kubectl coalition validate -f run.yaml --server -n research
  cat run.yaml | kubectl coalition validate -f - -o json

Exits with 0 if nothing is wrong, 64 if something is, 66 if the file cannot be read.")]
    Validate(Validate),
    /// Print a completion script for a shell, or for `kubectl coalition`.
    #[command(after_help = "Examples:
  source <(kubectl-coalition completion bash)             in ~/.bashrc: completes kubectl-coalition, names of runs too
  kubectl-coalition completion kubectl > ~/bin/kubectl_complete-coalition && chmod +x ~/bin/kubectl_complete-coalition
                                                          kubectl finds it on the PATH and completes `kubectl coalition`")]
    Completion {
        /// What for.
        shell: CompletionFor,
    },
    /// What kubectl's own completion asks: words so far, the last one to be completed.
    #[command(name = "__complete", hide = true)]
    Complete {
        /// The words after `kubectl coalition`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

/// Who completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompletionFor {
    /// bash.
    Bash,
    /// elvish.
    Elvish,
    /// fish.
    Fish,
    /// powershell.
    Powershell,
    /// zsh.
    Zsh,
    /// kubectl: a program that it starts.
    Kubectl,
}
