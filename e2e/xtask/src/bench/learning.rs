//! What a run with one site learns from the same bytes as plain PyTorch, seed by seed; that both need fewer bits than counting;
//! and that the check sees a model that cannot look back: with attention zeroed it must not pass.
//!
//! Both are fed the same windows in the same order: which part of the text a seed happens to draw moves the result by more than
//! the bar allows (up to 7 % between two orders of one seed, seen with PyTorch alone). Both models are judged by one program,
//! PyTorch and transformers, on every window of the held-out text.

use super::{Lab, harness, paired, torch};
use crate::build::root;
use crate::quickstart::{example, text};
use crate::results::Row;
use crate::setup::peers;
use crate::{proc, say};
use anyhow::{Context, Result};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One line for `--list`.
pub const WHAT: &str =
    "bits per byte after the same bytes: one site against plain PyTorch, by seeds; with attention zeroed it must fail";

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
    let script = root().join("e2e/bench/peers/learning.py");
    let peer = |verb: &str| {
        let mut command = Command::new(&python);
        command.arg(&script).arg(verb).arg(&data);
        command
    };
    let harness = || {
        let mut command = Command::new(&program);
        command.env("COALITION_BIN_DIR", &programs);
        command
    };
    let run = |seed: u32| folder.join(format!("run-{seed}"));
    let ours = |seed: u32, zeroed: bool| -> Result<Value> {
        let manifest = folder.join(format!("seed-{seed}.yaml"));
        let seeds = (format!("{{seed: {seed}}}"), seed.to_string());
        fs::write(&manifest, example(&[("max", "1"), ("init", &seeds.0), ("seed", &seeds.1), ("tokens", TOKENS)])?)?;
        clear(&run(seed))?;
        let mut learn = harness();
        learn.arg("learn").arg(manifest).arg(&data).arg(run(seed)).args(zeroed.then_some("--zero-attention"));
        super::json_line(&mut learn)
    };
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    let (mut measured, mut third, mut best) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 1..=lab.rounds {
        let outcome = lab.trials.get(&format!("{seed:04} ours"), || {
            let mut outcome = ours(seed, false)?;
            let checkpoint = outcome["checkpoint"].as_str().context("the harness named no checkpoint")?.to_owned();
            outcome["judged"] = super::json_line(peer("judge").arg(checkpoint))?;
            outcome["fed"] = super::json_line(harness().arg("fed").arg(run(seed)).arg(&data))?;
            clear(&run(seed))?;
            Ok(outcome)
        })?;
        let peer = lab.trials.get(&format!("{seed:04} peer"), || {
            let fed = folder.join(format!("fed-{seed}.json"));
            fs::write(&fed, outcome["fed"].to_string()).with_context(|| format!("cannot write {}", fed.display()))?;
            super::json_line(peer("train").args([&seed.to_string(), TOKENS]).arg(fed))
        })?;
        mine.push(number(&outcome["judged"], "bits_per_byte")?);
        theirs.push(number(&peer, "bits_per_byte")?);
        measured.push(number(&outcome, "after")?);
        let orders = orders(&outcome)?;
        third.push(*orders.get(3).context("the harness gave no order 3")?);
        best.push(orders.into_iter().fold(f64::INFINITY, f64::min));
        say::line(&format!("seed {seed} of {}: {:?} against {:?}", lab.rounds, mine.last(), theirs.last()));
    }
    let zeroed = lab.trials.get("0001 zeroed", || ours(1, true))?;
    clear(&run(1))?;
    let unit = "bits per byte";
    let counting = |row: &str, name: &str, peer: &[f64]| paired(row, unit, &measured, name, peer)?.bar("< 1 peer");
    let blind = number(&zeroed, "after")?;
    let first = *third.first().context("no seed was run")?;
    let fed = format!("{TOKENS} tokens, one a byte, of the Rust sources that cargo has fetched; a pair is a seed");
    Ok(vec![
        paired("one site, the same bytes, all held-out text", unit, &mine, "plain PyTorch", &theirs)?
            .note(&format!("{fed}; both fed the same windows in the same order, both judged by one PyTorch program"))
            .bar("<= 1.03 peer")?,
        counting("one site, as the trainer measures", "counting model of order 3 (Witten-Bell)", &third)?.note(
            &format!(
                "{fed}; on the held-out windows that the trainer reads, the counting model fitted on what it was fed"
            ),
        ),
        counting("the same, best order up to 6", "best counting model", &best)?
            .note(&format!("{fed}; the best order is chosen after the fact, on the held-out text itself")),
        Row::alone("attention zeroed: must not pass order 3", unit, blind)
            .beside("counting model of order 3 (Witten-Bell)", first, blind / first)
            .note(&format!("one run, seed 1: the check of learning must see a model that cannot look back; {fed}"))
            .bar("> 1 peer")?,
    ])
}

/// The data set, prepared once for all seeds.
fn data(folder: &Path, programs: &Path) -> Result<PathBuf> {
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

/// Removes a run's folder, if it is there.
fn clear(run: &Path) -> Result<()> {
    match fs::remove_dir_all(run) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", run.display()))
        }
        _ => Ok(()),
    }
}

fn number(value: &Value, field: &str) -> Result<f64> {
    value[field].as_f64().with_context(|| format!("no number `{field}` in {value}"))
}

fn orders(value: &Value) -> Result<Vec<f64>> {
    let list = value["counted"]["orders"].as_array().with_context(|| format!("no orders in {value}"))?;
    Ok(list.iter().filter_map(Value::as_f64).collect())
}
