//! The training step against PyTorch: the tiny Llama (6 layers, width 256, 4 heads, SwiGLU 704, 256 tokens, vocabulary
//! 4096, batch 8, AdamW, f32, two threads), eager against ours without recomputation, eager with checkpointing against ours
//! with it. Tokens a second and peak memory.

use super::{Lab, numbers, paired};
use crate::build::{root, target_dir};
use crate::results::Row;
use crate::setup::peers;
use crate::{proc, say};
use anyhow::Result;
use std::process::Command;

/// One line for `--list`.
pub const WHAT: &str =
    "tokens/s and memory of a training step on CPU, against PyTorch eager with and without checkpointing";

/// Timed steps of one program run; two more before them are dropped by the programs.
const STEPS: &str = "6";

/// (row, our mode, the peer's mode, the peer's name)
const PAIRS: [(&str, &str, &str, &str); 2] = [
    ("without recomputation", "keep", "eager", "PyTorch eager"),
    ("with recomputation", "recompute", "checkpoint", "PyTorch eager, checkpointed"),
];

/// Builds ours, finds the peer, alternates them.
pub fn run(lab: &mut Lab) -> Result<Vec<Row>> {
    let python = peers::install(&lab.cache)?;
    say::line("building our side with optimisation");
    let mut build = lab.builder.cargo();
    build.args(["build", "--locked", "--release", "-p", "coalition-engine", "--example", "bench_step"]);
    proc::run(&mut build, "build our side of the bench")?;
    let program = target_dir().join("release/examples/bench_step");
    let torch = proc::capture(
        Command::new(&python).args(["-c", "import torch; print(torch.__version__)"]),
        "ask the peer's version",
    )?;
    lab.versions.insert("PyTorch".to_owned(), torch.trim().to_owned());

    let mut rows = Vec::new();
    for (name, ours, theirs, peer_name) in PAIRS {
        let our_side = || {
            let mut command = Command::new(&program);
            command.args(["--mode", ours, "--steps", STEPS]).current_dir(root());
            command
        };
        let their_side = || {
            let mut command = Command::new(&python);
            command.arg(root().join("e2e/bench/peers/train_step.py")).args(["--mode", theirs, "--steps", STEPS]);
            command
        };
        let (a, b) = (format!("ours {ours}"), format!("peer {theirs}"));
        let outcomes = lab.alternate(&[(&a, &our_side), (&b, &their_side)])?;
        for (what, field, unit, bar) in [
            ("tokens/s", "tokens_per_second", "tokens/s", ">= 0.95 peer"),
            ("peak memory", "peak_rss_mb", "MB", "<= 1.0 peer"),
        ] {
            let (ours, peer) = (numbers(&outcomes, &a, field)?, numbers(&outcomes, &b, field)?);
            rows.push(paired(&format!("{what} {name}"), unit, &ours, peer_name, &peer)?.bar(bar)?);
        }
    }
    Ok(rows)
}
