//! Arguments of the verbs about a run, wherever it is: here or in a cluster. Does nothing.
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;

use super::local::How;
use crate::complete;

/// Which cluster, and where in it. Any of these means that a cluster's run is meant, not a local one.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "In a cluster")]
pub struct Reach {
    /// The namespace of the run, at the hub; absent: that of the context.
    #[arg(short, long, add = ArgValueCompleter::new(complete::namespaces))]
    pub namespace: Option<String>,
    /// The context of the kubeconfig that leads to the hub; absent: the current one.
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(complete::contexts))]
    pub context: Option<String>,
    /// The kubeconfig; absent: $KUBECONFIG, else ~/.kube/config, else the pod this runs in.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

impl Reach {
    /// True if somebody said which cluster: then no local run is meant.
    pub const fn is_given(&self) -> bool {
        self.namespace.is_some() || self.context.is_some() || self.kubeconfig.is_some()
    }
}

/// `why`, and others that need no more than a run.
#[derive(Debug, Args)]
pub struct Why {
    /// The run: a state folder, a run below .coalition here, else a TrainingRun of the cluster; absent: the only one.
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    pub run: Option<String>,
    /// Where.
    #[command(flatten)]
    pub reach: Reach,
}

/// `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// The run: a state folder, a run below .coalition here, else a TrainingRun of the cluster; absent: the only run here, or
    /// all of the namespace.
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    pub run: Option<String>,
    /// How to show it.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
    /// Where.
    #[command(flatten)]
    pub reach: Reach,
    /// Runs of all namespaces.
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "run"])]
    pub all_namespaces: bool,
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
    /// The site, before the run; absent: all of them.
    #[arg(value_name = "SITE", add = ArgValueCompleter::new(complete::runs))]
    pub first: String,
    /// The run: a state folder, a run below .coalition here, else a TrainingRun of the cluster.
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    pub second: Option<String>,
    /// The worker; absent: all of them.
    #[arg(long, value_name = "N")]
    pub worker: Option<u32>,
    /// Keep writing what comes.
    #[arg(long, short)]
    pub follow: bool,
    /// Begin with so many of the last lines of each worker.
    #[arg(long, value_name = "LINES", default_value_t = 200)]
    pub tail: usize,
    /// How to show the events that trainers write as JSON.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: LogOutput,
    /// Where.
    #[command(flatten)]
    pub reach: Reach,
    /// The context that leads to the site's own cluster, where the workers' pods are; absent: the hub's.
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(complete::contexts))]
    pub site_context: Option<String>,
    /// The namespace of the workers' pods; absent: looked for in all of the site's cluster.
    #[arg(long, value_name = "NAMESPACE")]
    pub site_namespace: Option<String>,
    /// One worker after the other instead of by time.
    #[arg(long, conflicts_with = "follow")]
    pub by_rank: bool,
}

/// How to show lines of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogOutput {
    /// Time, event, key=value; other lines as they are.
    Text,
    /// Every line as it was written; of a cluster's run, in an object with site and worker.
    Json,
}

/// `stop`.
#[derive(Debug, Args)]
pub struct Stop {
    /// The run: a state folder, a run below .coalition here, else a TrainingRun of the cluster.
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    pub run: Option<String>,
    /// Why, for whoever asks `why`: of a cluster's run it must be said.
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// Where.
    #[command(flatten)]
    pub reach: Reach,
}

/// `resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// The run: a state folder, a run below .coalition here, else a TrainingRun of the cluster.
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    pub run: Option<String>,
    /// Where.
    #[command(flatten)]
    pub reach: Reach,
    /// How to run it.
    #[command(flatten, next_help_heading = "Of a local run")]
    pub how: How,
}

/// `history`.
#[derive(Debug, Args)]
pub struct History {
    /// The run: a TrainingRun of the cluster, or the identity that its history has; absent: the only one of the namespace.
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::cluster_runs))]
    pub run: Option<String>,
    /// Only so many of the newest records.
    #[arg(long, value_name = "RECORDS")]
    pub tail: Option<usize>,
    /// How to show it; wide adds epoch and digest, json and yaml hold the whole records.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
    /// Where.
    #[command(flatten)]
    pub reach: Reach,
}

/// `checkpoint`.
#[derive(Debug, Subcommand)]
pub enum Checkpoint {
    /// List the kept checkpoints.
    #[command(after_help = "Examples:
  kubectl coalition checkpoint list
  kubectl coalition checkpoint list --run mine -o wide")]
    List(CheckpointList),
    /// Show one, and how a new run begins from it.
    #[command(after_help = "Example:\n  kubectl coalition checkpoint show mine-0123456789-40")]
    Show(CheckpointOne),
    /// Keep one whatever the retention of its policy says.
    #[command(after_help = "Example:\n  kubectl coalition checkpoint pin mine-0123456789-40")]
    Pin(CheckpointOne),
    /// Leave one to the retention of its policy again.
    #[command(after_help = "Example:\n  kubectl coalition checkpoint unpin mine-0123456789-40")]
    Unpin(CheckpointOne),
}

/// `checkpoint list`.
#[derive(Debug, Args)]
pub struct CheckpointList {
    /// Only those of this run.
    #[arg(long, value_name = "RUN", add = ArgValueCompleter::new(complete::cluster_runs))]
    pub run: Option<String>,
    /// How to show them.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
    /// Where.
    #[command(flatten)]
    pub reach: Reach,
}

/// One checkpoint.
#[derive(Debug, Args)]
pub struct CheckpointOne {
    /// The Checkpoint.
    #[arg(value_name = "CHECKPOINT", add = ArgValueCompleter::new(complete::checkpoints))]
    pub name: String,
    /// How to show it.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
    /// Where.
    #[command(flatten)]
    pub reach: Reach,
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
    /// Ask the API server too, which changes nothing: it knows what stands there already, and its own rules.
    #[arg(long)]
    pub server: bool,
    /// Where.
    #[command(flatten)]
    pub reach: Reach,
}
