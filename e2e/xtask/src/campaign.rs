//! `cargo xtask campaign NAME`: a bar in full. Hundreds of trials with printed seeds, resumable, the outcome written beside
//! the benchmarks' results.
//!
//! A trial is one run of a harness program, such as `coalition-e2e trial NAME SEED`: it prints one JSON object with `ok`, `detail`
//! and numbers, or lists of numbers, by name. The gate runs the same trials, a few of them; only the count differs. Which
//! campaigns there are is told in `campaigns.rs`.

use crate::build::Builder;
use crate::cache::Cache;
use crate::campaigns::{ALL, Campaign, Figure, Harness, Of};
use crate::results::{self, Row};
use crate::trials::Trials;
use crate::{images, proc, say, setup, stats};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Options of `campaign`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask campaign --list\n  \
    cargo xtask campaign kills               all trials; interrupt and run again as you like\n  \
    cargo xtask campaign kills --trials 5    a quick look: prints, writes no result file\n\n\
    A failed trial prints its seed and the command that repeats it alone.")]
pub struct Args {
    /// Which campaign
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// Name all campaigns and stop
    #[arg(long)]
    list: bool,
    /// So many trials instead of all
    #[arg(long)]
    trials: Option<u64>,
    /// Forget the trials an interrupted run has kept
    #[arg(long)]
    restart: bool,
}

/// Runs a campaign to its end and writes the result file.
pub fn run(args: &Args) -> Result<()> {
    if args.list {
        for campaign in ALL {
            say::line(&format!("{:<20} {} trials: {}", campaign.name, campaign.trials, campaign.what));
        }
        return Ok(());
    }
    let name = args.name.as_deref().unwrap_or_default();
    let Some(campaign) = ALL.iter().find(|campaign| campaign.name == name) else {
        bail!("there is no campaign `{name}`; `cargo xtask campaign --list` names them all");
    };
    let wanted = args.trials.unwrap_or(campaign.trials).min(campaign.trials);
    let harness = Program::prepare(campaign.harness)?;
    let mut trials = Trials::open(campaign.name, &results::commit()?, args.restart)?;
    let mut outcomes = Vec::new();
    let start = Instant::now();
    let mut ran = 0_u32;
    for seed in 0..wanted {
        let key = format!("{seed:06}");
        let known = trials.has(&key);
        let outcome = trials.get(&key, || trial(&harness, campaign.name, seed))?;
        ran += u32::from(!known);
        let ok = outcome["ok"] == true;
        if !known || !ok {
            let left = start.elapsed().checked_div(ran.max(1)).unwrap_or_default() * (wanted - seed - 1) as u32;
            say::line(&format!(
                "{}/{wanted} seed {seed}: {} {} (about {} left)",
                seed + 1,
                if ok { "ok" } else { "FAILED" },
                outcome["detail"].as_str().unwrap_or(""),
                say::time(left)
            ));
        }
        outcomes.push(outcome);
    }
    let rows = rows(campaign, &outcomes)?;
    for row in &rows {
        say::line(&format!("{}: {} {} ({})", row.name, row.ours, row.unit, row.bar));
    }
    if wanted < campaign.trials {
        say::line(&format!("{wanted} of {} trials: no result file", campaign.trials));
    } else {
        let path = results::write(campaign.name, BTreeMap::new(), rows.clone())?;
        say::good(&format!("wrote {}", path.display()));
    }
    if rows.iter().any(|row| row.holds == Some(false)) {
        let again = outcomes.iter().position(|o| o["ok"] != true).map(|seed| again(&harness.path, campaign.name, seed));
        bail!("a bar of the campaign `{}` does not hold{}", campaign.name, again.unwrap_or_default());
    }
    Ok(())
}

/// The program that does the trials, and what it is told by its environment.
struct Program {
    path: PathBuf,
    environment: Vec<(&'static str, OsString)>,
}

impl Program {
    fn prepare(harness: Harness) -> Result<Self> {
        let cache = Cache::open()?;
        let folder = Builder::prepare(&cache)?.programs()?;
        match harness {
            Harness::Laptop => {
                let environment = vec![("COALITION_BIN_DIR", folder.clone().into_os_string())];
                Ok(Self { path: folder.join("coalition-e2e"), environment })
            }
            Harness::Clusters => {
                if let Some(why) = setup::cluster::impossible() {
                    bail!("{why}");
                }
                images::dev()?;
                let tools = setup::cluster::value(&setup::cluster::install(&cache)?)?;
                Ok(Self { path: folder.join("coalition-suites"), environment: vec![(setup::cluster::VARIABLE, tools)] })
            }
        }
    }
}

/// How a person repeats one trial alone. With the program's whole path, as the harness is on nobody's PATH; it finds the others
/// beside itself.
fn again(program: &Path, name: &str, seed: usize) -> String {
    format!("; `{} trial {name} {seed}` repeats its first failed trial alone", program.display())
}

/// One trial. A trial that fails is an outcome; a harness that cannot say how it went is an error.
fn trial(program: &Program, name: &str, seed: u64) -> Result<Value> {
    let start = Instant::now();
    let mut command = Command::new(&program.path);
    command.args(["trial", name, &seed.to_string()]);
    command.envs(program.environment.iter().map(|(name, value)| (name, value)));
    let out = proc::capture(&mut command, "run a trial")?;
    let line = out.lines().rev().find(|line| line.starts_with('{')).context("the trial printed no outcome")?;
    let mut outcome: Value =
        serde_json::from_str(line).with_context(|| format!("the trial's outcome is broken: {line}"))?;
    if !outcome["ok"].is_boolean() {
        bail!("the trial's outcome does not say whether it went well: {line}");
    }
    outcome["seconds"] = json!(start.elapsed().as_secs_f64());
    Ok(outcome)
}

/// The rows: failures first (the bar is none), then the times and the campaign's own numbers.
fn rows(campaign: &Campaign, outcomes: &[Value]) -> Result<Vec<Row>> {
    let failed: Vec<String> = outcomes
        .iter()
        .enumerate()
        .filter(|(_, outcome)| outcome["ok"] != true)
        .map(|(seed, outcome)| format!("seed {seed}: {}", outcome["detail"].as_str().unwrap_or("no detail")))
        .collect();
    let failures = if failed.is_empty() { String::new() } else { format!("{}. ", failed.join("; ")) };
    let count = Row::alone("failed trials", &format!("of {}", outcomes.len()), failed.len() as f64)
        .note(&format!("{failures}{}; {}; {}", campaign.what, campaign.harness.audit(), campaign.checks))
        .bar("= 0")?;
    let mut rows = vec![count];
    for figure in [Figure::TIME].iter().chain(campaign.figures) {
        let Some(row) = row(figure, &series(outcomes, figure.field))? else { continue };
        rows.push(row);
    }
    Ok(rows)
}

/// All values of a field: a trial gives one, or a list.
fn series(outcomes: &[Value], field: &str) -> Vec<f64> {
    let values = outcomes.iter().flat_map(|outcome| match &outcome[field] {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    });
    values.filter_map(|value| value.as_f64()).collect()
}

fn row(figure: &Figure, values: &[f64]) -> Result<Option<Row>> {
    let Some(median) = stats::median(values) else { return Ok(None) };
    let ours = match figure.of {
        Of::Median => median,
        Of::Worst => values.iter().copied().fold(median, f64::max),
        Of::Sum => values.iter().sum(),
    };
    let count = values.len();
    let spread = match (figure.of, stats::iqr(values)) {
        (Of::Median, Some(iqr)) => format!("{count} values, quartile distance {iqr:.3}"),
        (Of::Worst, _) => format!("{count} values, median {median:.3}"),
        _ => format!("{count} values"),
    };
    let row = Row::alone(figure.name, figure.unit, ours).spread(&spread);
    Ok(Some(if figure.bar.is_empty() { row } else { row.bar(figure.bar)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_trial_misses_the_bar_and_names_its_seed() {
        let good = json!({"ok": true, "seconds": 2.0});
        let bad = json!({"ok": false, "detail": "tokens differ", "seconds": 4.0});
        let all_good = rows(&ALL[2], &[good.clone(), good.clone()]).unwrap();
        assert_eq!((all_good[0].holds, all_good[1].ours), (Some(true), 2.0));
        let one_bad = rows(&ALL[2], &[good, bad]).unwrap();
        assert_eq!(one_bad[0].holds, Some(false));
        assert!(one_bad[0].note.contains("seed 1: tokens differ"));
        for row in [&all_good[0], &one_bad[0]] {
            assert!(
                row.note.contains("recomputed from the data") && row.note.contains("new incarnation"),
                "{}",
                row.note
            );
        }
    }

    #[test]
    fn kills_are_added_up_against_the_bar() {
        let trial = |kills: u64| json!({"ok": true, "seconds": 2.0, "kills": kills});
        let sum = |n: usize| rows(&ALL[0], &vec![trial(10); n]).unwrap().last().cloned().unwrap();
        assert_eq!((sum(20).ours, sum(20).holds, sum(19).holds), (200.0, Some(true), Some(false)));
    }

    #[test]
    fn a_worst_value_is_that_of_all_trials_and_lists_count_in_full() {
        let figure = Figure { field: "t", name: "t, worst", unit: "s", bar: "<= 2", of: Of::Worst };
        let outcomes = [json!({"t": [1.0, 2.5]}), json!({"t": 0.5}), json!({})];
        let found = row(&figure, &series(&outcomes, "t")).unwrap().unwrap();
        assert_eq!((found.ours, found.holds), (2.5, Some(false)));
        assert!(found.spread.contains("3 values, median 1.000"), "{}", found.spread);
    }

    #[test]
    fn a_failed_trial_is_repeated_by_a_command_that_can_be_pasted() {
        let told = again(Path::new("/b/coalition-e2e"), "kills", 7);
        assert!(told.contains("`/b/coalition-e2e trial kills 7`"), "{told}");
    }

    #[test]
    fn a_harness_that_says_nothing_is_an_error() {
        assert!(
            trial(&Program { path: "true".into(), environment: Vec::new() }, "kills", 1)
                .unwrap_err()
                .to_string()
                .contains("printed no outcome")
        );
    }
}
