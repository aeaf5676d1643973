//! `cargo xtask setup`: everything the build and the tests need, pinned, in the cache folder.
//!
//! Other verbs call the same functions for the parts they need, so nobody has to remember to run this first.

pub mod cluster;
mod debian;
pub mod go;
pub mod libtorch;
pub mod peers;
pub mod tools;

use crate::cache::Cache;
use crate::{need, say};
use anyhow::Result;
use std::time::Instant;

/// Options of `setup`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask setup            what the build and the gate need (about 2 GB to fetch, once; as root also what real\n  \
    \x20                            clusters need: Debian packages, Kubernetes built from source in 10 minutes)\n  \
    cargo xtask setup --build    only what `cargo build` needs: libtorch\n  \
    cargo xtask setup --peers    also the Python side of the benchmarks (about 5 GB)\n\n\
    Everything goes to $COALITION_CACHE (else ~/.cache/coalition); the clone gets one link, .libtorch.")]
pub struct Args {
    /// Only what a build needs (libtorch), not the tools of the tests
    #[arg(long)]
    build: bool,
    /// Also the Python environment the benchmarks compare with (PyTorch, transformers)
    #[arg(long, conflicts_with = "build")]
    peers: bool,
}

/// Installs what is missing and says what was there.
pub fn run(args: &Args) -> Result<()> {
    let start = Instant::now();
    let needs = [&need::CC, &need::CXX, &need::PYTHON, &need::GO];
    need::all(if args.build { &needs[..3] } else { &needs })?;
    let cache = Cache::open()?;
    let torch = libtorch::install(&cache)?;
    libtorch::link(&torch)?;
    say::good(&format!("libtorch {} in {}", libtorch::VERSION, torch.display()));
    if !args.build {
        for tool in tools::CARGO_TOOLS {
            let at = tools::cargo_tool(&cache, tool)?;
            say::good(&format!("{} {} in {}", tool.package, tool.version, at.display()));
        }
        let at = go::install(&cache, &go::S3)?;
        say::good(&format!("versitygw in {}", at.display()));
        if let Some(why) = cluster::impossible() {
            say::warn(&format!("SKIPPED: what real clusters need is not installed: {why}"));
        } else {
            let folders = cluster::install(&cache)?;
            let shown: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
            say::good(&format!("Kubernetes, etcd, kwok and helm in {}", shown.join(", ")));
        }
    }
    if args.peers {
        let at = peers::install(&cache)?;
        say::good(&format!("Python peers in {}", at.display()));
    }
    say::line(&format!("set up in {}", say::time(start.elapsed())));
    Ok(())
}
