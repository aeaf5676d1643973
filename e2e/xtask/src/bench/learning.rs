//! What a run with one site learns from as many bytes as plain PyTorch, seed by seed; that both need fewer bits than counting;
//! and that the check sees a model that cannot look back: with attention zeroed it must not pass.

use super::{Lab, harness, paired, torch};
use crate::build::root;
use crate::quickstart::{example, text};
use crate::results::Row;
use crate::setup::peers;
use crate::{proc, say, stats};
use anyhow::{Context, Result};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// One line for `--list`.
pub const WHAT: &str =
    "bits per byte at equal bytes fed: one site against plain PyTorch, by seeds; with attention zeroed it must fail";

/// Paired seeds of a result that is kept: each pair takes some minutes.
pub const SEEDS: u32 = 5;
/// Bytes of text: the quick start's.
const TEXT: u64 = 24_000_000;
/// The budget: the quick start's, `training.tokens` of `crds/examples/quickstart.yaml`.
const TOKENS: &str = "4194304";

/// Prepares the data once, then runs seed by seed.
pub fn run(lab: &mut Lab) -> Result<Vec<Row>> {
    let python = peers::install(&lab.cache)?;
    lab.versions.insert("PyTorch".to_owned(), torch(&python)?);
    let (program, programs) = harness(&lab.builder)?;
    let folder = root().join(".coalition/measure/learning");
    let data = data(&folder, &programs)?;
    let ours = |seed: u32, zeroed: bool| -> Result<Command> {
        let manifest = folder.join(format!("seed-{seed}.yaml"));
        let seeds = (format!("{{seed: {seed}}}"), seed.to_string());
        fs::write(&manifest, example(&[("max", "1"), ("init", &seeds.0), ("seed", &seeds.1), ("tokens", TOKENS)])?)?;
        let mut command = Command::new(&program);
        command.arg("learn").arg(manifest).arg(&data).args(zeroed.then_some("--zero-attention"));
        command.env("COALITION_BIN_DIR", &programs);
        Ok(command)
    };
    let (mut mine, mut theirs, mut third, mut best) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for seed in 1..=lab.rounds {
        let outcome = lab.trials.get(&format!("{seed:04} ours"), || super::json_line(&mut ours(seed, false)?))?;
        let peer = lab.trials.get(&format!("{seed:04} peer"), || {
            let mut command = Command::new(&python);
            command.arg(root().join("e2e/bench/peers/learning.py")).arg(&data).args([&seed.to_string(), TOKENS]);
            super::json_line(&mut command)
        })?;
        mine.push(number(&outcome, "after")?);
        theirs.push(number(&peer, "bits_per_byte")?);
        let orders = orders(&outcome)?;
        third.push(*orders.get(3).context("the harness gave no order 3")?);
        best.push(orders.into_iter().fold(f64::INFINITY, f64::min));
        say::line(&format!("seed {seed} of {}: {:?} against {:?}", lab.rounds, mine.last(), theirs.last()));
    }
    let zeroed = lab.trials.get("0001 zeroed", || super::json_line(&mut ours(1, true)?))?;
    let unit = "bits per byte";
    let counting = |name: &str, peer: &[f64], bar: &str| paired(name, unit, &mine, name, peer)?.bar(bar);
    let blind = number(&zeroed, "after")?;
    let first = *third.first().context("no seed was run")?;
    Ok(vec![
        paired("one site, equal bytes fed", unit, &mine, "plain PyTorch", &theirs)?.bar("<= 1.03 peer")?,
        counting("counting model of order 3 (Witten-Bell)", &third, "< 1 peer")?,
        counting("best counting model up to order 6", &best, "< 1 peer")?,
        Row::alone("attention zeroed: must not pass order 3", unit, blind)
            .beside("counting model of order 3 (Witten-Bell)", first, blind / first)
            .bar("> 1 peer")?,
        Row::alone("median over seeds", unit, stats::median(&mine).context("no seed was run")?),
    ])
}

/// The dataset, prepared once for all seeds.
fn data(folder: &std::path::Path, programs: &std::path::Path) -> Result<PathBuf> {
    let data = folder.join("data");
    if !data.join("dataset.json").is_file() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let text = text::collect(&folder.join("text"), TEXT)?;
        let mut prepare = Command::new(programs.join("coalition-trainer"));
        prepare
            .args(["data", "prepare", "--include", "*.rs", "--held-out", "0.02", "--out"])
            .arg(&data)
            .arg(&text.folder);
        proc::run(&mut prepare, "prepare the text")?;
    }
    Ok(data)
}

fn number(value: &Value, field: &str) -> Result<f64> {
    value[field].as_f64().with_context(|| format!("no number `{field}` in {value}"))
}

fn orders(value: &Value) -> Result<Vec<f64>> {
    let list = value["counted"]["orders"].as_array().with_context(|| format!("no orders in {value}"))?;
    Ok(list.iter().filter_map(Value::as_f64).collect())
}
