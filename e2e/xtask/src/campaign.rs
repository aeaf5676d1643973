//! `cargo xtask campaign NAME`: a bar in full. Hundreds of trials with printed seeds, resumable, the outcome written beside
//! the benchmarks' results.
//!
//! A trial is one run of the harness program: `coalition-e2e trial NAME SEED` prints one JSON object with `ok`, `detail`
//! and numbers by name. The gate runs the same trials, a few of them; only the count differs.

use crate::bench::harness;
use crate::build::Builder;
use crate::cache::Cache;
use crate::results::{self, Row};
use crate::trials::Trials;
use crate::{proc, say, stats};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
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

/// One campaign.
struct Campaign {
    name: &'static str,
    what: &'static str,
    /// What every trial checks beyond [`AUDIT`].
    checks: &'static str,
    /// Trials of the bar in full.
    trials: u64,
    /// Numbers of the trials that get a row of their own: (field, name, unit, bar on the median).
    numbers: &'static [(&'static str, &'static str, &'static str, &'static str)],
    /// The same for numbers that are added up over the trials.
    sums: &'static [(&'static str, &'static str, &'static str, &'static str)],
}

/// What every trial checks of its run, from the history and the data alone (`verdict::complete` of the harness). A result
/// says it, as "0 failed" means no more than what was looked at.
const AUDIT: &str = "checked after each trial: the run ended complete at an agreed state; the records form one signed chain; \
                     each position of the data was used at most once, and the used ones make exactly the committed tokens; \
                     every committed batch hash equals the one recomputed from the data";
/// What the trials of a lost site or store check besides.
const LOSS_CHECKS: &str = "the others committed again after the loss; no commit was held by the victim alone; a victim that came \
                           back has a new incarnation or is retired";

/// The bar is on all kills together: two hundred in a campaign.
const KILLS: &[(&str, &str, &str, &str)] = &[("kills", "kills in all", "kills", ">= 200")];

/// All campaigns. A bar says what must hold after any disturbance: no trial fails, and enough of them really were disturbed.
const CAMPAIGNS: &[Campaign] = &[
    Campaign {
        name: "kills",
        what: "ten kill -9 of random processes (worker, supervisor, runner) at random moments a trial; the run ends as if undisturbed",
        checks: "the token count is that of the undisturbed run, and no process is left",
        // Some trials end before their tenth kill: four more than 200 kills would need.
        trials: 24,
        numbers: &[("kills", "kills a trial, median", "kills", ">= 10")],
        sums: KILLS,
    },
    Campaign {
        name: "kills-one-site",
        what: "the same with one site: the final parameters are bit-equal to those of the undisturbed run",
        checks: "token count and digest of the final outer state equal those of an undisturbed run that each trial makes beside \
                 it, and no process is left",
        // Some trials end before their tenth kill: four more than 200 kills would need.
        trials: 24,
        numbers: &[("kills", "kills a trial, median", "kills", ">= 10")],
        sums: KILLS,
    },
    Campaign {
        name: "site-loss-offered",
        what: "a site and its store are lost right after it offered a contribution; the survivors go on",
        checks: LOSS_CHECKS,
        trials: 100,
        numbers: &[("went_on_seconds", "from the loss to the survivor's next commit, median", "s", "")],
        sums: &[],
    },
    Campaign {
        name: "site-loss-held",
        what: "a site and its store are lost right after its contribution was held; the survivors go on",
        checks: LOSS_CHECKS,
        trials: 100,
        numbers: &[("went_on_seconds", "from the loss to the survivor's next commit, median", "s", "")],
        sums: &[],
    },
    Campaign {
        name: "site-loss-committed",
        what: "a site and its store are lost right after a commit; the survivors go on",
        checks: LOSS_CHECKS,
        trials: 100,
        numbers: &[("went_on_seconds", "from the loss to the survivor's next commit, median", "s", "")],
        sums: &[],
    },
    Campaign {
        name: "store-loss",
        what: "a site loses its store under its living processes, right after a commit; the others go on and it comes back empty",
        checks: LOSS_CHECKS,
        trials: 100,
        numbers: &[("went_on_seconds", "from the loss to the survivor's next commit, median", "s", "")],
        sums: &[],
    },
];

/// Runs a campaign to its end and writes the result file.
pub fn run(args: &Args) -> Result<()> {
    if args.list {
        for campaign in CAMPAIGNS {
            say::line(&format!("{:<20} {} trials: {}", campaign.name, campaign.trials, campaign.what));
        }
        return Ok(());
    }
    let name = args.name.as_deref().unwrap_or_default();
    let Some(campaign) = CAMPAIGNS.iter().find(|campaign| campaign.name == name) else {
        bail!("there is no campaign `{name}`; `cargo xtask campaign --list` names them all");
    };
    let wanted = args.trials.unwrap_or(campaign.trials).min(campaign.trials);
    let harness = harness(&Builder::prepare(&Cache::open()?)?)?;
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
        let again = outcomes.iter().position(|o| o["ok"] != true).map(|seed| again(&harness.0, campaign.name, seed));
        bail!("a bar of the campaign `{}` does not hold{}", campaign.name, again.unwrap_or_default());
    }
    Ok(())
}

/// How a person repeats one trial alone. With the program's whole path, as the harness is on nobody's PATH; it finds the others
/// beside itself.
fn again(program: &Path, name: &str, seed: usize) -> String {
    format!("; `{} trial {name} {seed}` repeats its first failed trial alone", program.display())
}

/// One trial. A trial that fails is an outcome; a harness that cannot say how it went is an error.
fn trial((program, programs): &(PathBuf, PathBuf), name: &str, seed: u64) -> Result<Value> {
    let start = Instant::now();
    let mut command = Command::new(program);
    command.args(["trial", name, &seed.to_string()]).env("COALITION_BIN_DIR", programs);
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
        .note(&format!("{failures}{}; {AUDIT}; {}", campaign.what, campaign.checks))
        .bar("= 0")?;
    let mut rows = vec![count];
    let series = |field: &str| -> Vec<f64> { outcomes.iter().filter_map(|o| o[field].as_f64()).collect() };
    for (field, name, unit, bar) in [("seconds", "time of a trial, median", "s", "")].iter().chain(campaign.numbers) {
        let values = series(field);
        let Some(median) = stats::median(&values) else { continue };
        let spread = stats::iqr(&values)
            .map_or_else(String::new, |iqr| format!("{} values, quartile distance {iqr:.3}", values.len()));
        let row = Row::alone(name, unit, median).spread(&spread);
        rows.push(if bar.is_empty() { row } else { row.bar(bar)? });
    }
    for (field, name, unit, bar) in campaign.sums {
        let values = series(field);
        rows.push(Row::alone(name, unit, values.iter().sum()).spread(&format!("{} values", values.len())).bar(bar)?);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_trial_misses_the_bar_and_names_its_seed() {
        let good = json!({"ok": true, "seconds": 2.0});
        let bad = json!({"ok": false, "detail": "tokens differ", "seconds": 4.0});
        let all_good = rows(&CAMPAIGNS[2], &[good.clone(), good.clone()]).unwrap();
        assert_eq!((all_good[0].holds, all_good[1].ours), (Some(true), 2.0));
        let one_bad = rows(&CAMPAIGNS[2], &[good, bad]).unwrap();
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
        let sum = |n: usize| rows(&CAMPAIGNS[0], &vec![trial(10); n]).unwrap().last().cloned().unwrap();
        assert_eq!((sum(20).ours, sum(20).holds, sum(19).holds), (200.0, Some(true), Some(false)));
    }

    #[test]
    fn a_failed_trial_is_repeated_by_a_command_that_can_be_pasted() {
        let told = again(Path::new("/b/coalition-e2e"), "kills", 7);
        assert!(told.contains("`/b/coalition-e2e trial kills 7`"), "{told}");
    }

    #[test]
    fn a_harness_that_says_nothing_is_an_error() {
        assert!(
            trial(&("true".into(), PathBuf::new()), "kills", 1).unwrap_err().to_string().contains("printed no outcome")
        );
    }
}
