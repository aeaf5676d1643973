//! `cargo xtask crds`: the generated CRDs in `crds/yaml/` and in the chart `coalition-crds`, written or checked by the program
//! `crdgen`.

use crate::build::{cargo_program, root};
use crate::proc;
use anyhow::Result;
use std::process::Command;

/// Options of `crds`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask crds            write crds/yaml/ and charts/coalition-crds from the Rust types\n  \
    cargo xtask crds --check    fail with a difference if they are not what the types say (as the gate does)")]
pub struct Args {
    /// Write nothing; fail if the files differ from the types
    #[arg(long)]
    check: bool,
}

/// Runs `crdgen`, which needs no libtorch.
pub fn run(args: &Args) -> Result<()> {
    let mut cargo = Command::new(cargo_program());
    cargo.args(["run", "--quiet", "--locked", "-p", "coalition-crds", "--bin", "crdgen"]).current_dir(root());
    if args.check {
        cargo.args(["--", "--check"]);
    }
    proc::run(&mut cargo, if args.check { "find the CRDs up to date" } else { "write the CRDs" })
}
