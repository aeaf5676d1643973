//! The training step against PyTorch: the tiny Llama (6 layers, width 256, 4 heads, SwiGLU 704, 256 tokens, vocabulary
//! 4096, batch 8, AdamW, f32, two threads), eager against ours without recomputation, eager with checkpointing against ours
//! with it. Tokens a second and peak memory, from the same initial parameters and the same tokens.

use super::{Lab, numbers, paired, torch};
use crate::build::{root, target_dir};
use crate::results::Row;
use crate::setup::peers;
use crate::{proc, say};
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// One line for `--list`.
pub const WHAT: &str =
    "tokens/s and memory of a training step on CPU, against PyTorch eager with and without checkpointing";

/// Timed steps of one program run; both programs do two more before them.
const STEPS: &str = "6";
/// Threads of both programs.
const THREADS: &str = "2";

/// What was measured, for readers of the result alone: the preset `llama-tiny` of ours, the constants of the peer.
fn note(rounds: u32) -> String {
    format!(
        "Llama of 6 layers, width 256, 4 heads, SwiGLU 704, vocabulary 4096, 8 sequences of 256 tokens a step, AdamW with \
         clipping, f32, {THREADS} threads, on both sides from the same parameters and tokens; median of {STEPS} steps after two of \
         warm-up, in {rounds} rounds that alternate who goes first"
    )
}

/// (row, our option, the peer's option, the peer's name)
const PAIRS: [(&str, Option<&str>, Option<&str>, &str); 2] = [
    ("without recomputation", None, None, "PyTorch eager"),
    ("with recomputation", Some("--recompute"), Some("--checkpoint"), "PyTorch eager, checkpointed"),
];

/// Builds ours, finds the peer, alternates them.
pub fn run(lab: &mut Lab) -> Result<Vec<Row>> {
    let python = peers::install(&lab.cache)?;
    say::line("building our side with optimisation");
    let mut build = lab.builder.cargo();
    build.args(["build", "--locked", "--release", "-p", "coalition-engine", "--example", "bench_step"]);
    proc::run(&mut build, "build our side of the bench")?;
    let program = target_dir().join("release/examples/bench_step");
    lab.versions.insert("PyTorch".to_owned(), torch(&python)?);
    let init = root().join(".coalition/measure/train-step.safetensors");
    let mut write = Command::new(&program);
    write.args(["--steps", "1", "--write-init"]).arg(&init);
    proc::capture(&mut write, "write the initial parameters")?;

    let note = note(lab.rounds);
    let mut rows = Vec::new();
    for (name, ours, theirs, peer_name) in PAIRS {
        let our_side = || {
            let mut command = Command::new(&program);
            command.args(["--steps", STEPS, "--threads", THREADS]).args(ours).current_dir(root());
            command
        };
        let their_side = || {
            let mut command = Command::new(&python);
            command.arg(root().join("e2e/bench/peers/train_step.py")).args(["--steps", STEPS, "--threads", THREADS]);
            command.args(theirs).arg("--init").arg(&init);
            command
        };
        let (a, b) = (format!("ours {name}"), format!("peer {name}"));
        let outcomes = lab.alternate(&[(&a, &our_side), (&b, &their_side)])?;
        for (what, field, unit, bar) in [
            ("tokens/s", "tokens_per_second", "tokens/s", ">= 0.95 peer"),
            ("peak memory", "peak_rss_mb", "MB", "<= 1.0 peer"),
        ] {
            let (ours, peer) = (numbers(&outcomes, &a, field)?, numbers(&outcomes, &b, field)?);
            rows.push(paired(&format!("{what} {name}"), unit, &ours, peer_name, &peer)?.note(&note).bar(bar)?);
        }
        // A quick step that computes something else would be worth nothing.
        let apart = apart(&outcomes, &a, &b)?;
        rows.push(
            Row::alone(&format!("losses {name}: largest relative distance to the peer's"), "", apart)
                .note(&format!("the first round's losses; {note}"))
                .bar("<= 1e-4")?,
        );
    }
    Ok(rows)
}

/// The largest relative distance between the losses of both programs' first rounds.
fn apart(outcomes: &BTreeMap<String, Vec<Value>>, ours: &str, peer: &str) -> Result<f64> {
    let losses = |program: &str| -> Result<Vec<f64>> {
        let list = outcomes.get(program).and_then(|o| o.first()).and_then(|o| o["losses"].as_array());
        let list = list.with_context(|| format!("{program} printed no losses"))?;
        Ok(list.iter().filter_map(Value::as_f64).collect())
    };
    let (a, b) = (losses(ours)?, losses(peer)?);
    anyhow::ensure!(!a.is_empty() && a.len() == b.len(), "{} losses of ours, {} of the peer's", a.len(), b.len());
    Ok(a.iter().zip(&b).map(|(x, y)| ((x - y) / y).abs()).fold(0.0, f64::max))
}
