//! `coalition-suites trial NAME SEED`: one trial on clusters of its own, printed as one JSON object. What campaigns call.

use anyhow::{Context, Result};
use coalition_suites::trials;
use std::process::ExitCode;

const USAGE: &str = "\
Tries one bar of Coalition on real clusters of its own, and prints one JSON object.

Usage:
  coalition-suites trial NAME SEED

Names: cluster-start, cluster-kills, cluster-away, cluster-histories, cluster-stale-worker, cluster-cost, cluster-many.
Needs root, the programs of clusters in $COALITION_CLUSTER_TOOLS (a path list) and the images in $COALITION_IMAGES, else in
target/images; `cargo xtask campaign NAME` sees to all of that.

Example:
  coalition-suites trial cluster-kills 0";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["trial", name, seed] => trial(name, seed),
        ["--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn trial(name: &str, seed: &str) -> Result<()> {
    let seed = seed.parse().with_context(|| format!("SEED is a number, not `{seed}`"))?;
    println!("{}", trials::run(name, seed)?);
    Ok(())
}
