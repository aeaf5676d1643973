//! `local` and `resume`: starts a runner, shows it live, and says at the end what came of it.
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use coalition_local::{Ending, LocalError, RunOptions, Runner, Snapshot, exit_code, faults, manifest, paste, stop};
use coalition_planner::status::{Phase, RunStatus};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::args::{How, Local};
use crate::out::{note, say};
use crate::show;
use crate::style;
use crate::view;

/// Starts a run, or goes on with it if its folder is there.
pub fn local(l: Local) -> Result<u8, LocalError> {
    let dir = if let Some(dir) = l.dir {
        dir
    } else {
        let text = manifest::text(&l.manifest)?;
        PathBuf::from(crate::find::RUNS).join(manifest::one(&l.manifest, &text)?.run.as_str())
    };
    run(Some(l.manifest), dir, l.how)
}

/// Goes on with the run in a folder.
pub fn resume(dir: PathBuf, how: How) -> Result<u8, LocalError> {
    run(None, dir, how)
}

fn run(manifest: Option<PathBuf>, dir: PathBuf, how: How) -> Result<u8, LocalError> {
    let filter = EnvFilter::try_from_env("COALITION_LOG").unwrap_or_else(|_| EnvFilter::new("error"));
    // Codes for colours have no place in a file.
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(style::is_on() && std::io::stderr().is_terminal())
        .with_timer(Clock)
        .with_target(false)
        .init();
    if let Some(name) = twice(&how.data) {
        let argument = format!("--data {name}=…");
        return Err(LocalError::Argument { argument, what: "is given twice: keep the one that is meant".to_owned() });
    }
    let options = RunOptions {
        manifest,
        dir: dir.clone(),
        data: how.data.iter().cloned().collect::<BTreeMap<_, _>>(),
        trainer: how.trainer.clone(),
        kills: how.kill.clone(),
        test: test_switches(&how),
        lag: BTreeMap::new(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| LocalError::Bug(format!("no runtime: {e}")))?;
    runtime.block_on(drive(options, how))
}

/// A name that is given more than one folder.
fn twice(data: &[(String, PathBuf)]) -> Option<&str> {
    data.iter()
        .enumerate()
        .find(|(n, (name, _))| data[..*n].iter().any(|(x, _)| x == name))
        .map(|(_, (x, _))| x.as_str())
}

/// The time of day of a line.
struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        w.write_str(&show::time_of_day())
    }
}

/// The trainer's switches for tests; null for none.
fn test_switches(how: &How) -> serde_json::Value {
    if how.step_pause.is_none() && !how.zero_attention {
        return serde_json::Value::Null;
    }
    serde_json::json!({"stepPauseMillis": how.step_pause.unwrap_or(0), "zeroAttention": how.zero_attention})
}

async fn drive(options: RunOptions, how: How) -> Result<u8, LocalError> {
    let listen = |kind| signal(kind).map_err(|e| LocalError::Bug(format!("no signals: {e}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let runner = Runner::start(&options).await?;
    let names: Vec<String> = runner.setup().sites.keys().map(ToString::to_string).collect();
    note!(
        "{} on {} ({}); state in {}",
        style::strong(runner.setup().run.as_str()),
        if names.len() == 1 { "one pretended site".to_owned() } else { format!("{} pretended sites", names.len()) },
        names.join(", "),
        runner.layout().dir().display()
    );
    if let Some(before) = runner.setup().budget_before {
        let now = runner.setup().spec.training.tokens;
        note!("spec.training.tokens was {before}, is {now} now: the run goes on to the larger budget");
    }
    let complete = runner.snapshot().borrow().status.phase == Phase::Complete;
    if complete {
        note!("It is complete already, so nothing is trained; more of it is a new run, under another metadata.name");
    }
    for doubt in &runner.setup().warnings {
        note!("{} {doubt}", style::warning("warning:"));
    }
    let kills = tokio::spawn(faults::kills(runner.clone(), how.kill.clone()));
    let by_lot = how.kill_every.map(|s| tokio::spawn(faults::kill_every(runner.clone(), Duration::from_secs(s))));
    let shown = runner.clone();
    let plain = how.plain;
    let view = tokio::spawn(async move {
        if !complete {
            view::follow(&shown, plain).await;
        }
    });
    let ended = tokio::select! {
        ended = runner.finished() => Some(ended),
        () = interrupted_twice(&mut interrupt, &mut terminate, &runner) => None,
    };
    kills.abort();
    if let Some(by_lot) = by_lot {
        by_lot.abort();
    }
    view.abort();
    let _ = view.await;
    let Some(ended) = ended else {
        runner.shut_down().await;
        note!("Stopped at once. `{}` goes on.", paste::command("resume", &options.dir));
        return Ok(exit_code::INTERRUPTED);
    };
    let ending = ended?;
    let last = runner.snapshot().borrow().clone();
    summary(&runner, &last, &ending);
    Ok(match ending {
        Ending::Failed => exit_code::RUN_FAILED,
        Ending::Complete | Ending::Suspended => exit_code::OK,
        Ending::Unsaved(_) => exit_code::INTERRUPTED,
    })
}

/// Returns at the second interruption; the first asks the run to save and stop.
async fn interrupted_twice(interrupt: &mut Signal, terminate: &mut Signal, runner: &Arc<Runner>) {
    for n in 0..2 {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if n == 0 {
            note!("Sites save and stop; once more stops at once …");
            runner.stop();
        }
    }
}

/// What sites fed in the round that is not committed, `batch` tokens a step, as the end of a line; empty if nothing.
fn under_way(status: &RunStatus, batch: u64) -> String {
    let next = status.round.0 + 1;
    let steps: u64 = status.sites.iter().filter(|l| l.round.0 == next).map(|l| l.inner_step).sum();
    match steps {
        0 => String::new(),
        _ => format!("; round {next} under way: {} tokens fed, not committed yet", steps.saturating_mul(batch)),
    }
}

/// What came of it.
fn summary(runner: &Runner, s: &Snapshot, ending: &Ending) {
    let status = &s.status;
    let outcome = match ending {
        Ending::Complete => style::good("complete"),
        Ending::Failed => style::error(&format!("failed: {}", status.message)),
        Ending::Suspended => style::warning("saved and stopped"),
        Ending::Unsaved(sites) => style::error(&format!("stopped: {}", stop::unsaved(sites))),
    };
    say!("{} {outcome}", style::strong(s.run.as_str()));
    let under_way = match ending {
        Ending::Suspended => under_way(status, runner.setup().spec.training.batch_tokens),
        Ending::Complete | Ending::Failed | Ending::Unsaved(_) => String::new(),
    };
    let mut facts = vec![
        ("tokens", format!("{} of {}{}", status.tokens, status.budget, under_way)),
        ("rounds", format!("{}, {} of them without some site", status.round.0, status.left_out)),
        ("time", show::duration(s.seconds)),
    ];
    if let Some((first, last)) = show::bits(s) {
        facts.push(("held-out", format!("{first:.3} bits a byte before, {last:.3} {}", show::measured(s))));
    }
    for l in &status.sites {
        let t = s.spent.get(&l.site).copied().unwrap_or_default();
        facts.push((
            l.site.as_str(),
            format!(
                "{}; training {}, waiting {}, starting {}, away {}",
                show::steps(s, &l.site),
                show::duration(t.training),
                show::duration(t.waiting),
                show::duration(t.starting),
                show::duration(t.away)
            ),
        ));
    }
    if status.restarts_charged + status.restarts_infrastructure > 0 {
        facts.push((
            "restarts",
            format!(
                "{} counted against failurePolicy.maxRestarts, {} not",
                status.restarts_charged, status.restarts_infrastructure
            ),
        ));
    }
    if let Some(c) = &status.checkpoint {
        for site in &c.copies {
            let folder = runner.layout().store(site).join(coalition_protocol::keys::checkpoint(&s.run, c.seq));
            facts.push(("checkpoint", folder.display().to_string()));
        }
    }
    for (name, value) in facts {
        say!("  {name:<11} {value}");
    }
    if let Some(c) = &status.checkpoint
        && let Some(site) = c.copies.first()
    {
        let setup = runner.setup();
        let line = show::generate(&setup.trainer, &runner.layout().store(site), &s.run, c.seq, &setup.data);
        say!("Text from the newest checkpoint:\n  {line}");
    }
    let resume = paste::command("resume", runner.layout().dir());
    match ending {
        Ending::Suspended => say!("`{resume}` goes on exactly from here."),
        Ending::Unsaved(_) => say!("`{resume}` goes on."),
        Ending::Complete | Ending::Failed => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_was_fed_and_is_not_committed_is_told() {
        let site = |name: &str, round: u64, inner: u64| {
            serde_json::json!({
                "site": name, "state": "Stopped", "incarnation": 1, "attempt": 1, "workersReady": 0, "workers": 1, "step": 99,
                "round": round, "innerStep": inner, "innerSteps": 16, "loss": null, "tokensPerSecond": null, "waitingFor": "",
                "next": "", "missed": 0
            })
        };
        let status = |sites: Vec<serde_json::Value>| -> RunStatus {
            serde_json::from_value(serde_json::json!({
                "phase": "Suspended", "reason": "SuspendRequested", "message": "", "head": null, "tokens": 0, "budget": 4000,
                "round": 0, "leftOut": 0, "loss": null, "tokensPerSecond": null, "etaSeconds": null, "sites": sites,
                "checkpoint": null, "restartsCharged": 0, "restartsInfrastructure": 0
            }))
            .unwrap()
        };
        let begun = status(vec![site("north", 1, 5), site("south", 1, 4)]);
        assert_eq!(under_way(&begun, 2048), "; round 1 under way: 18432 tokens fed, not committed yet");
        // What is left of a round that is committed is no news.
        assert_eq!(under_way(&status(vec![site("north", 0, 16), site("south", 1, 0)]), 2048), "");
    }
}
