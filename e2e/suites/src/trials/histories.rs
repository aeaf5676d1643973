//! Whole runs under disturbances drawn from a seed: hub, gateway and courier killed, the API server and etcd taken away for a
//! moment, workers killed, in any order and mixture. Each ends Complete without anybody's help, and is judged by all that was ever
//! seen of it. Must not know when the operator writes: kills at every write are tests of the roles.

use super::{Dice, install};
use crate::installed::{Installed, Layout, SYSTEM};
use crate::manifest::Tiny;
use anyhow::{Context, Result, ensure};
use coalition_cluster::{Fault, Place, Target, wait};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Runs of a trial, one after the other on one cluster.
const RUNS: u64 = 5;
/// Rounds of a run: so many that most disturbances hit it while it trains.
const ROUNDS: u64 = 24;
/// Disturbances of a run.
const DISTURBANCES: u64 = 4;
/// The longest pause before one, milliseconds: a run of this length takes some 15 s undisturbed.
const PAUSE: u64 = 2_500;
/// The longest time that API server or etcd are away, milliseconds.
const AWAY: u64 = 5_000;

/// One disturbance. Returns its name, and whether it may restart a worker.
fn disturb(at: &Installed, dice: &mut Dice) -> Result<(&'static str, bool)> {
    let cluster = at.hub();
    let kill = |program: &str, argument: &str| {
        let target = |node| Target::new(Place::Node(node), program).with_argument(argument);
        // Where none runs, none was hit: between a death and its restart, or on the other node.
        (1..=at.nodes()).filter(|node| cluster.apply(&Fault::Kill(target(*node))).is_ok()).count()
    };
    let down = |fault: Fault, time: u64| {
        cluster.apply(&fault)?;
        let start = Instant::now();
        let time = Duration::from_millis(time);
        wait::until("the time to be over", time * 2, || Ok((start.elapsed() >= time).then_some(())))?;
        fault.end().iter().try_for_each(|end| cluster.apply(end))
    };
    let delete = |role: &str| {
        let label = format!("app.kubernetes.io/component={role}");
        at.kubectl(&["delete", "pods", "-n", SYSTEM, "-l", &label, "--grace-period=0", "--force", "--wait=false"])
    };
    Ok(match dice.below(10) {
        0 | 1 => {
            kill("coalition-operator", "--roles=hub");
            ("hub killed", false)
        }
        2 | 3 => {
            kill("coalition-operator", "--roles=site,courier");
            ("gateway and courier killed", false)
        }
        4 => {
            delete("hub")?;
            ("hub's pods deleted", false)
        }
        5 => {
            delete("site")?;
            ("gateway's pods deleted", false)
        }
        6 => {
            down(Fault::ApiServerDown, dice.below(AWAY))?;
            ("API server killed", false)
        }
        7 => {
            down(Fault::EtcdDown, dice.below(AWAY))?;
            ("etcd killed", false)
        }
        8 => {
            kill("coalition-trainer", "work");
            ("worker's process killed", true)
        }
        _ => {
            kill("coalition-trainer", "supervise");
            ("worker's container killed", true)
        }
    })
}

/// One history. Returns the names of what was done to it.
fn history(at: &Installed, name: &str, dice: &mut Dice) -> Result<Vec<&'static str>> {
    let tiny = Tiny::new(name).rounds(ROUNDS);
    let run = at.apply(&tiny)?;
    let (mut done, mut restarts) = (Vec::new(), false);
    for _ in 0..DISTURBANCES {
        let start = Instant::now();
        let pause = Duration::from_millis(dice.below(PAUSE));
        wait::until("the moment of a disturbance", pause * 2 + Duration::from_secs(1), || {
            Ok((start.elapsed() >= pause).then_some(()))
        })?;
        let (what, restarted) = disturb(at, dice).with_context(|| format!("after {done:?}"))?;
        done.push(what);
        restarts |= restarted;
    }
    run.until("Complete").with_context(|| format!("after {done:?}"))?;
    let account = run.check().with_context(|| format!("after {done:?}"))?;
    ensure!(account.ended, "complete, and its chain has no end, after {done:?}");
    let wanted = tiny.tokens();
    ensure!(account.tokens == wanted, "{} tokens are committed of {wanted}, after {done:?}", account.tokens);
    // Nobody's absence may restart a worker.
    let attempt = run.attempt()?;
    ensure!(restarts || attempt <= 1, "attempt {attempt}, and no worker was killed: {done:?}");
    Ok(done)
}

pub(super) fn trial(seed: u64) -> Result<Value> {
    let at = install(Layout::one(2))?;
    let mut dice = Dice::new(seed);
    let mut done = Vec::new();
    for n in 0..RUNS {
        let did = history(&at, &format!("run-{n}"), &mut dice).with_context(|| format!("run {n} of seed {seed}"))?;
        done.extend(did);
    }
    Ok(
        json!({"detail": format!("{RUNS} histories: {}", done.join(", ")), "histories": RUNS, "disturbances": done.len()}),
    )
}
