//! kill -9 of any process at random: worker, supervisor or runner. Afterwards the run has the same token count, every
//! position was used once, and with one site the parameters are bit-equal to those of the undisturbed run.
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Dice;
use crate::manifest::Small;
use crate::processes::{self, Role};
use crate::run::Run;
use crate::{verdict, wait};

/// Kills of one trial: enough that some hit a process that has just come back.
pub const KILLS: u64 = 10;
/// Fewer mean that the run was over before it was disturbed, and proves nothing.
const FEWEST: usize = 5;
/// A whole small run takes seconds; with ten kills and two cores shared with other tests, a minute. This is well beyond.
const BOUND: Duration = Duration::from_mins(5);

/// Two sites, one of them two workers.
pub fn several_sites(seed: u64, folder: &Path) -> Result<Value> {
    let small = Small { rounds: 30, ..Small::default() };
    let mut run = Run::prepare(folder, &small)?;
    let kills = disturb(&mut run, &mut Dice::new(seed))?;
    run.finish(BOUND).with_context(|| format!("after {kills:?}"))?;
    nothing_left(&run)?;
    let found = verdict::complete(&run.dir(), run.data())?;
    ensure!(found.tokens == small.tokens(), "{} tokens, undisturbed it is {}", found.tokens, small.tokens());
    Ok(json!({
        "detail": format!("{} kills, {} tokens, {} rounds", kills.len(), found.tokens, found.rounds),
        "kills": kills.len(), "confirmed_by_two": found.confirmed_by_two,
    }))
}

/// One site with two workers: bit-equal to the undisturbed run.
pub fn one_site(seed: u64, folder: &Path) -> Result<Value> {
    let small = Small { sites: 1, rounds: 40, ..Small::default() };
    let mut calm = Run::prepare(&folder.join("calm"), &small)?;
    calm.start()?;
    calm.finish(BOUND).context("the undisturbed run")?;
    let expected = verdict::complete(&calm.dir(), calm.data()).context("the undisturbed run")?;

    let mut run = Run::prepare(&folder.join("killed"), &small)?;
    let kills = disturb(&mut run, &mut Dice::new(seed))?;
    run.finish(BOUND).with_context(|| format!("after {kills:?}"))?;
    nothing_left(&run)?;
    let found = verdict::complete(&run.dir(), run.data())?;
    ensure!(found.tokens == expected.tokens, "{} tokens, undisturbed {}", found.tokens, expected.tokens);
    ensure!(
        found.state == expected.state,
        "state {:?}, undisturbed {:?}, after {kills:?}",
        found.state,
        expected.state
    );
    Ok(json!({"detail": format!("{} kills, state {}", kills.len(), found.state.short()), "kills": kills.len()}))
}

/// Starts the run and kills random processes of it at random moments, continuing it whenever the runner was hit.
fn disturb(run: &mut Run, dice: &mut Dice) -> Result<Vec<String>> {
    let mut kills = Vec::new();
    run.start()?;
    for _ in 0..KILLS {
        let pause = Duration::from_millis(100 + dice.below(1500));
        let until = Instant::now() + pause;
        wait::until("the moment of a kill", BOUND, || {
            Ok((run.ended()?.is_some() || Instant::now() >= until).then_some(()))
        })?;
        if run.ended()?.is_some() {
            break;
        }
        let role = match dice.below(10) {
            0..=4 => Role::Worker,
            5..=7 => Role::Supervisor,
            _ => Role::Runner,
        };
        if role == Role::Runner {
            run.kill_runner()?;
            kills.push(format!("{role:?}"));
            run.start()?;
            continue;
        }
        let targets: Vec<_> = run.processes()?.into_iter().filter(|p| p.role == role).collect();
        if let Some(p) = targets.get(dice.below(targets.len() as u64) as usize) {
            processes::kill(p.pid);
            kills.push(format!("{role:?} {}", p.pid));
        }
    }
    ensure!(kills.len() >= FEWEST, "only {} kills before the run ended: lengthen it", kills.len());
    Ok(kills)
}

/// No process of an ended run may stay behind.
fn nothing_left(run: &Run) -> Result<()> {
    wait::until("every process of the run to leave", Duration::from_secs(10), || {
        Ok(run.processes()?.is_empty().then_some(()))
    })
}
