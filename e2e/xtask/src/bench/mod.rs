//! `cargo xtask bench NAME`: ours and a peer's program side by side, alternating, in one run; medians, the ratio, and a
//! result file. Benchmarks are not tests: they need a quiet machine and, most of them, the Python peers.

mod learning;
mod restart;
mod train_step;

use crate::build::Builder;
use crate::cache::Cache;
use crate::results::{self, Row};
use crate::stats;
use crate::trials::Trials;
use crate::{proc, say};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Options of `bench`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask bench --list\n  \
    cargo xtask bench train-step              20 paired rounds, result in e2e/bench/results/train-step.json\n  \
    cargo xtask bench train-step --rounds 3   a quick look: prints, writes no result file\n\n\
    An interrupted bench goes on where it stopped. Peers are installed on first use (about 5 GB).")]
pub struct Args {
    /// Which bench
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// Name all benches and stop
    #[arg(long)]
    list: bool,
    /// Paired rounds, instead of those that a result file needs
    #[arg(long)]
    rounds: Option<u32>,
    /// Forget the rounds an interrupted run has kept
    #[arg(long)]
    restart: bool,
}

/// Paired rounds of a result that is kept (the project's rule for timings).
const ROUNDS: u32 = 20;

/// One bench.
struct Bench {
    name: &'static str,
    what: &'static str,
    /// Rounds from which a result file is written.
    rounds: u32,
    run: fn(&mut Lab) -> Result<Vec<Row>>,
}

/// All benches, by name; each says in its module where its numbers come from.
const BENCHES: &[Bench] = &[
    Bench { name: "train-step", what: train_step::WHAT, rounds: ROUNDS, run: train_step::run },
    Bench { name: "restart", what: restart::WHAT, rounds: restart::ROUNDS, run: restart::run },
    Bench { name: "learning", what: learning::WHAT, rounds: learning::SEEDS, run: learning::run },
];

/// What a bench works with.
pub struct Lab {
    /// How ours is built.
    pub builder: Builder,
    /// Where the peers lie.
    pub cache: Cache,
    /// Paired rounds.
    pub rounds: u32,
    /// Rounds measured so far.
    pub trials: Trials,
    /// Versions of what takes part, for the result file.
    pub versions: BTreeMap<String, String>,
}

/// Runs a bench, prints its rows, and writes the result file if it had enough rounds.
pub fn run(args: &Args) -> Result<()> {
    if args.list {
        for bench in BENCHES {
            say::line(&format!("{:<12} {}", bench.name, bench.what));
        }
        return Ok(());
    }
    let name = args.name.as_deref().unwrap_or_default();
    let Some(bench) = BENCHES.iter().find(|bench| bench.name == name) else {
        bail!("there is no bench `{name}`; `cargo xtask bench --list` names them all");
    };
    let rounds = args.rounds.unwrap_or(bench.rounds);
    if rounds == 0 {
        bail!("--rounds 0 measures nothing; {} is the default of this bench", bench.rounds);
    }
    let cache = Cache::open()?;
    let builder = Builder::prepare(&cache)?;
    let trials = Trials::open(bench.name, &results::commit()?, args.restart)?;
    let mut lab = Lab { builder, cache, rounds, trials, versions: BTreeMap::new() };
    lab.versions.insert("libtorch".to_owned(), crate::setup::libtorch::VERSION.to_owned());
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    if load.split(' ').next().and_then(|l| l.parse::<f64>().ok()).is_some_and(|l| l > 0.5) {
        say::warn(&format!("the machine is busy (load {}): figures will scatter", load.trim()));
    }
    let rows = (bench.run)(&mut lab)?;
    for row in &rows {
        say::line(&format!("{}: {} {} ({})", row.name, row.ours, row.unit, row.spread));
    }
    if rounds < bench.rounds {
        say::line(&format!("{rounds} rounds: no result file (from {} on)", bench.rounds));
        return Ok(());
    }
    let path = results::write(bench.name, lab.versions, rows)?;
    say::good(&format!("wrote {}; `cargo xtask report {}` shows it", path.display(), bench.name));
    Ok(())
}

impl Lab {
    /// Runs the programs one after the other, round by round, changing who goes first, and returns each one's outcomes
    /// in the order of rounds.
    pub fn alternate(&mut self, programs: &[(&str, &dyn Fn() -> Command)]) -> Result<BTreeMap<String, Vec<Value>>> {
        let mut outcomes: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for round in 0..self.rounds {
            let mut order: Vec<_> = programs.iter().collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for (name, program) in order {
                let value = self.trials.get(&format!("{round:04} {name}"), || json_line(&mut program()))?;
                outcomes.entry((*name).to_owned()).or_default().push(value);
            }
            say::line(&format!("round {} of {}", round + 1, self.rounds));
        }
        Ok(outcomes)
    }
}

/// The harness and the folder of the programs, built.
pub fn harness(builder: &Builder) -> Result<(PathBuf, PathBuf)> {
    let programs = builder.programs()?;
    Ok((programs.join("coalition-e2e"), programs))
}

/// The version of PyTorch that the peers run on.
fn torch(python: &Path) -> Result<String> {
    let ask = ["-c", "import torch; print(torch.__version__)"];
    Ok(proc::capture(Command::new(python).args(ask), "ask the peer's version")?.trim().to_owned())
}

/// Runs a program and reads the JSON object it prints on its last line.
fn json_line(command: &mut Command) -> Result<Value> {
    let out = proc::capture(command, "measure")?;
    let last = out.lines().rev().find(|line| line.trim_start().starts_with('{'));
    let last = last.with_context(|| format!("`{}` printed no JSON line", proc::show(command)))?;
    serde_json::from_str(last).with_context(|| format!("`{}` printed broken JSON: {last}", proc::show(command)))
}

/// The number `field` of every outcome.
fn numbers(outcomes: &BTreeMap<String, Vec<Value>>, program: &str, field: &str) -> Result<Vec<f64>> {
    outcomes
        .get(program)
        .with_context(|| format!("{program} was not measured"))?
        .iter()
        .map(|value| value[field].as_f64().with_context(|| format!("{program} printed no number `{field}`: {value}")))
        .collect()
}

/// A row from paired rounds: medians, the median of the paired ratios, and how they scatter.
fn paired(name: &str, unit: &str, ours: &[f64], peer_name: &str, peer: &[f64]) -> Result<Row> {
    let (Some(a), Some(b), Some(ratio)) = (stats::median(ours), stats::median(peer), stats::paired_ratio(ours, peer))
    else {
        bail!("{name}: ours has {} rounds and the peer {}", ours.len(), peer.len());
    };
    let (ia, ib) = (stats::iqr(ours).unwrap_or(0.0), stats::iqr(peer).unwrap_or(0.0));
    let pairs = ours.iter().zip(peer).map(|(a, b)| a / b).collect();
    Ok(Row::alone(name, unit, a).beside(peer_name, b, ratio.median).pairs(pairs).spread(&format!(
        "{} paired rounds; quartile distance {ia:.4} ours, {ib:.4} peer; ratio 95 % interval {:.4} to {:.4}",
        ours.len(),
        ratio.low,
        ratio.high
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_read_by_its_last_json_line() {
        let value = json_line(Command::new("sh").args(["-c", "echo warming up; echo '{\"a\": 1.5}'"])).unwrap();
        assert_eq!(value["a"], 1.5);
        let wrong = json_line(Command::new("sh").args(["-c", "echo nothing"])).unwrap_err().to_string();
        assert!(wrong.contains("printed no JSON line"), "{wrong}");
    }

    #[test]
    fn a_paired_row_states_medians_ratio_and_interval() {
        let row = paired("speed", "tokens/s", &[90.0, 91.0, 89.0], "eager", &[100.0, 100.0, 100.0]).unwrap();
        assert_eq!((row.ours, row.peer, row.ratio), (90.0, Some(100.0), Some(0.9)));
        assert_eq!(row.pairs, [0.9, 0.91, 0.89], "in the order they were measured");
        assert!(row.spread.contains("3 paired rounds"));
    }
}
