//! Process killed to training again: a worker of a gang of two is killed with SIGKILL; how long until the gang trains, by
//! phase. Beside it torchrun with checkpoints of torch.distributed.checkpoint, two processes as well.

use super::{Lab, harness, torch};
use crate::build::root;
use crate::results::Row;
use crate::setup::peers;
use crate::stats::{iqr, median};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::process::Command;

/// One line for `--list`.
pub const WHAT: &str = "kill -9 of a worker until its gang trains again, by phase, against torchrun with DCP";

/// Rounds of a result that is kept. What is timed is a kill, and a round has eight: forty in all, twice what the project's
/// rule for timings asks for. A round of the peer takes a minute and a half.
pub const ROUNDS: u32 = 5;
/// Kills of one round: the eighth must be no slower than the first.
const KILLS: &str = "8";
/// The phases as the harness names them, and as a reader does.
const PHASES: [(&str, &str); 4] = [
    ("detected", "kill to seen by the supervisor"),
    ("joined", "kill to one gang again"),
    ("restored", "kill to checkpoint restored"),
    ("firstStep", "kill to first step done"),
];

/// What both sides do, for readers of the result alone.
const SETTING: &str = "two processes on one machine train a small model (each side one of its own), a checkpoint every four \
                       steps, each step with a pause of 10 ms; eight kills a round, half a second of training before each";

/// Runs rounds of eight kills each, ours and the peer's in turn.
pub fn run(lab: &mut Lab) -> Result<Vec<Row>> {
    let python = peers::install(&lab.cache)?;
    lab.versions.insert("PyTorch (torchrun)".to_owned(), torch(&python)?);
    let (program, programs) = harness(&lab.builder)?;
    let our_side = || {
        let mut command = Command::new(&program);
        command.args(["restart", KILLS]).env("COALITION_BIN_DIR", &programs);
        command
    };
    let their_side = || {
        let mut command = Command::new(&python);
        command.arg(root().join("e2e/bench/peers/restart.py")).arg(KILLS);
        command
    };
    let outcomes = lab.alternate(&[("ours", &our_side), ("torchrun", &their_side)])?;
    let ours = outcomes.get("ours").context("ours was not measured")?;
    let theirs = outcomes.get("torchrun").context("torchrun was not measured")?;
    rows(ours, theirs)
}

fn rows(ours: &[Value], theirs: &[Value]) -> Result<Vec<Row>> {
    let restarts: Vec<&Vec<Value>> = ours.iter().filter_map(|o| o["restarts"].as_array()).collect();
    let phase = |name: &str| -> Vec<f64> {
        restarts.iter().flat_map(|r| r.iter()).filter_map(|kill| kill[name].as_f64()).map(|ms| ms / 1000.0).collect()
    };
    let nth = |n: usize| -> Vec<f64> { restarts.iter().filter_map(|r| r.get(n)?["firstStep"].as_f64()).collect() };
    let peer: Vec<f64> = theirs
        .iter()
        .filter_map(|o| o["restarts"].as_array())
        .flatten()
        .filter_map(Value::as_f64)
        .map(|ms| ms / 1000.0)
        .collect();
    let died: Vec<f64> = theirs.iter().filter_map(|o| o["died_at"].as_f64()).collect();
    let survival = format!("the peer did not come back within a minute in {} of {} rounds", died.len(), theirs.len());
    let mut all = Vec::new();
    for (name, what) in PHASES {
        let values = phase(name);
        let Some(middle) = median(&values) else { bail!("the harness gave no `{name}`") };
        let mut row = Row::alone(what, "s", middle).spread(&format!(
            "{} kills, quartile distance {:.3}",
            values.len(),
            iqr(&values).unwrap_or(0.0)
        ));
        if name == "firstStep" {
            if let Some(peer) = median(&peer) {
                row = row.beside("torchrun with DCP", peer, middle / peer);
            }
            row = row
                .note(&format!(
                    "{SETTING}; ratio: the median of our kills over the median of the {} that the peer came back from, \
                     not paired; {survival}",
                    peer.len()
                ))
                .bar("<= 1.0")?;
        } else {
            row = row.note(SETTING);
        }
        all.push(row);
    }
    let (Some(first), Some(eighth)) = (median(&nth(0)), median(&nth(7))) else { bail!("a round has not eight kills") };
    let slower = Row::alone("eighth kill over the first, medians", "ratio", eighth / first)
        .spread(&format!("{} rounds", restarts.len()))
        .note("median over the rounds of the eighth kill's time to the first step, over the same median of the first kill");
    // A tenth is within what the first kill itself scatters by.
    all.push(slower.bar("<= 1.1")?);
    all.push(Row::alone("rounds the peer did not finish", &format!("of {}", theirs.len()), died.len() as f64));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn round(first: u64, eighth: u64) -> Value {
        let kill = |ms: u64| json!({"detected": 1, "joined": ms / 2, "restored": ms / 2 + 1, "firstStep": ms});
        let mut kills = vec![kill(first); 7];
        kills.push(kill(eighth));
        json!({ "restarts": kills })
    }

    #[test]
    fn a_slower_eighth_kill_and_a_slow_median_miss_their_bars() {
        let peer = json!({"restarts": [6000.0, 9000.0, null], "died_at": 3});
        let good = rows(&[round(800, 800)], std::slice::from_ref(&peer)).unwrap();
        assert!(good.iter().all(|row| row.holds != Some(false)));
        let first_step = &good[3];
        assert_eq!((first_step.ours, first_step.peer), (0.8, Some(7.5)));
        assert_eq!(good.last().unwrap().ours, 1.0, "the peer did not finish its round");
        let slow = rows(&[round(1200, 2400)], &[peer]).unwrap();
        assert_eq!(slow.iter().filter(|row| row.holds == Some(false)).count(), 2);
    }
}
