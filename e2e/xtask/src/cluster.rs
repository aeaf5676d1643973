//! `cargo xtask cluster`: the clusters of the tests, by hand. Installs what is missing, builds the program
//! `coalition-cluster` and calls it.

use crate::build::{cargo_program, root, target_dir};
use crate::cache::Cache;
use crate::setup::cluster;
use crate::{proc, say};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// What can be done with a cluster.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask cluster up --nodes 2              a real cluster with two real nodes, in the background\n  \
    cargo xtask cluster up --nodes 0 --kwok 100   one whose nodes, of 8 GPUs each, are played\n  \
    cargo xtask cluster shell                     a shell in its network, with kubectl and helm\n  \
    cargo xtask cluster shell kubectl get nodes   one command there\n  \
    cargo xtask cluster down                      end it; nothing is left\n\n\
    It needs root, and builds Kubernetes the first time (10 minutes on two cores). No packet leaves the machine: images come\n\
    from tarballs (`ctr -n k8s.io images import`), never from a registry.")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

/// The verbs.
#[derive(Subcommand)]
enum Verb {
    /// Build what is missing, start a cluster in the background, say how to reach it
    #[command(after_help = "Example:\n  cargo xtask cluster up --nodes 2 --kwok 10")]
    Up {
        /// Real nodes: containerd and kubelet
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=8))]
        nodes: u8,
        /// Played nodes of 8 GPUs each (their taint is coalition.training/fake)
        #[arg(long, default_value_t = 0)]
        kwok: u32,
    },
    /// Open a shell in its network with KUBECONFIG, kubectl and helm, or run one command there
    #[command(after_help = "Example:\n  cargo xtask cluster shell kubectl get pods -A")]
    Shell {
        /// The command; a shell without one
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// End it
    #[command(after_help = "Example:\n  cargo xtask cluster down")]
    Down,
    /// Print the variable by which `cargo test -p coalition-cluster` finds the programs
    #[command(after_help = "Example:\n  export \"$(cargo xtask cluster env)\"")]
    Env,
}

/// Does it.
pub fn run(args: &Args) -> Result<()> {
    if let Some(why) = cluster::impossible() {
        bail!("{why}: run this as root on Linux");
    }
    let state = root().join(".coalition/cluster");
    let mut words: Vec<String> = Vec::new();
    match &args.verb {
        Verb::Env => {
            let value = cluster::value(&cluster::install(&Cache::open()?)?)?;
            say::line(&format!("{}={}", cluster::VARIABLE, value.display()));
            return Ok(());
        }
        Verb::Up { nodes, kwok } => {
            words.extend(["up".into(), format!("--nodes={nodes}"), format!("--kwok={kwok}")]);
        }
        Verb::Shell { command } => {
            words.push("shell".into());
            if !command.is_empty() {
                words.push("--".into());
                words.extend(command.iter().cloned());
            }
        }
        Verb::Down => words.push("down".into()),
    }
    let value = cluster::value(&cluster::install(&Cache::open()?)?)?;
    let mut program = Command::new(build()?);
    program.arg("--state").arg(state).args(words).env(cluster::VARIABLE, value);
    // It takes this one's place: what it says, its exit code and the signals of the terminal are its own. Only returns if it could not.
    Err(program.exec()).with_context(|| format!("`{}` did not start", proc::show(&program)))
}

/// Builds the program, which needs no libtorch, and returns its path.
fn build() -> Result<std::path::PathBuf> {
    let mut cargo = Command::new(cargo_program());
    cargo.args(["build", "--quiet", "--locked", "-p", "coalition-cluster", "--bin", "coalition-cluster"]);
    proc::run(cargo.current_dir(root()), "build coalition-cluster")?;
    Ok(target_dir().join("debug/coalition-cluster"))
}
