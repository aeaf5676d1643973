//! `cargo xtask`: set up, try, test and measure the project.
//!
//! Each verb is one module. This crate must never learn libtorch, Kubernetes or any crate of the project: it starts
//! programs and reads what they write, so that it builds in seconds on a machine that has nothing else yet.

mod bench;
mod build;
mod build_folder;
mod cache;
mod campaign;
mod campaigns;
mod cluster;
mod crds;
mod images;
mod need;
mod proc;
mod quickstart;
mod report;
mod results;
mod say;
mod setup;
mod stats;
mod test;
mod trials;

use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

/// The whole command line.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Set up, try, test and measure Coalition",
    after_help = "New here? `cargo xtask quickstart` trains a small model and shows you everything in a few minutes.\n\
                  Downloads and built tools live in one cache folder outside the clone ($COALITION_CACHE, else ~/.cache/coalition)."
)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// What can be asked for.
#[derive(Subcommand)]
enum Verb {
    /// Install what the build and the tests need, pinned, into the cache folder
    Setup(setup::Args),
    /// Train a small model on this machine, lose a site on the way, and show what it learnt
    Quickstart(quickstart::Args),
    /// The gate: every check and test, as CI runs them
    Test(test::Args),
    /// One bar in full (hundreds of kills, …): resumable, hours are fine
    Campaign(campaign::Args),
    /// Measure ours and a peer side by side, alternating, and write the result file
    Bench(bench::Args),
    /// Print every row of every committed result file
    Report(report::Args),
    /// A real Kubernetes cluster on this machine, by hand: up, shell, down
    Cluster(cluster::Args),
    /// Write (or check) the generated Kubernetes CRDs
    Crds(crds::Args),
    /// Build the container images, without Docker
    Images(images::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let Some(verb) = cli.verb else {
        // Without a verb: say what there is. A closed pipe is the reader's choice, not an error.
        let _ = Cli::command().print_help();
        return ExitCode::SUCCESS;
    };
    let done = match verb {
        Verb::Setup(args) => setup::run(&args),
        Verb::Quickstart(args) => quickstart::run(&args),
        Verb::Test(args) => match test::run(&args) {
            // The gate has said what failed; its count stays the last line.
            Ok(false) => return ExitCode::FAILURE,
            other => other.map(drop),
        },
        Verb::Campaign(args) => campaign::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Report(args) => report::run(&args),
        Verb::Cluster(args) => cluster::run(&args),
        Verb::Crds(args) => crds::run(&args),
        Verb::Images(args) => images::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_explains_itself_with_an_example() {
        for verb in Cli::command().get_subcommands() {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("cargo xtask"), "`{}` has no example in its --help", verb.get_name());
            for below in verb.get_subcommands() {
                let help = below.get_after_help().map(ToString::to_string).unwrap_or_default();
                let name = format!("cargo xtask {} {}", verb.get_name(), below.get_name());
                assert!(help.contains(&name), "`{name}` has no example in its --help");
            }
        }
    }
}
