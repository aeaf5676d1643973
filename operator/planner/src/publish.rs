//! From the planner's status to that of a TrainingRun: the same words and numbers, within the bounds of an object. Pure: the
//! caller brings the time, and what stood there before, for the times at which conditions flipped.
use coalition_crds::budget::shorten;
use coalition_crds::conditions::{self, Condition, Facts, Phase, Reason, Time};
use coalition_crds::training_run::{self as api, SITES_WEIGHT, SiteState, TrainingRunStatus};
use coalition_protocol::messages::Evaluation;
use coalition_protocol::{Digest, Real, RunId, Seq};

use crate::resolve::Unresolved;
use crate::status::{CheckpointStatus, RunStatus, SiteStatus};

/// What is known of a run beside its status.
#[derive(Clone, Copy, Debug)]
pub struct Ids<'a> {
    /// The run, as its first record minted it.
    pub run: &'a RunId,
    /// `metadata.generation` of the TrainingRun that was decided about.
    pub generation: Option<i64>,
    /// `sites.max`.
    pub sites_wanted: u32,
    /// The newest measurement on held-out text, if there is one.
    pub evaluation: Option<&'a Evaluation>,
    /// The value of the stop annotation, if it is set: then it is what suspends the run.
    pub stop: Option<&'a str>,
    /// Now, as it stands in conditions that flip.
    pub now: &'a Time,
}

/// Most sites that a status tells of: the most that `sites.max` allows. Those that do nothing for the run are left out first.
const SITES: usize = 64;
/// Most characters of what a site waits for, and of what comes next: the bound of the schema.
const TEXT: usize = 256;
/// Problems that a message lists; `kubectl-coalition validate` lists all.
const TOLD: usize = 3;

/// The status to write, from what the planner decided and the conditions that stood there before.
pub fn status(status: &RunStatus, before: &[Condition], ids: &Ids<'_>) -> TrainingRunStatus {
    let workers = status.sites.iter().filter(|s| is_member(s.state));
    let workers = workers.fold((0, 0), |(r, w), s| (r + u64::from(s.workers_ready), w + u64::from(s.workers)));
    let (reason, message) = match ids.stop {
        Some(why) if status.reason == Reason::SuspendRequested => {
            let why = if why.is_empty() { "no reason was given" } else { why };
            let text =
                format!("{}; stopped by annotation {}: {why}", status.message, coalition_crds::names::STOP_ANNOTATION);
            (Reason::StopRequested, text)
        }
        _ => (status.reason, status.message.clone()),
    };
    let facts = Facts {
        phase: status.phase,
        reason,
        message: &message,
        admitted: status.head.is_some(),
        workers,
        checkpoint_consistent: status.checkpoint.as_ref().is_some_and(|c| c.consistent),
        generation: ids.generation,
    };
    let training = status.sites.iter().filter(|s| matches!(s.state, SiteState::Training | SiteState::Offered)).count();
    TrainingRunStatus {
        observed_generation: ids.generation,
        epoch: status.head.map(|h| whole(h.epoch.0)),
        progress: Some(progress(status, ids.evaluation)),
        sites_ready: Some(format!("{training}/{}", ids.sites_wanted)),
        sites: sites(&status.sites),
        history: status.head.map(|h| api::HistorySummary { seq: whole(h.seq.0), digest: h.digest.to_string() }),
        checkpoint: status.checkpoint.as_ref().map(|c| checkpoint(c, ids.run)),
        restarts: Some(api::Restarts {
            charged: small(status.restarts_charged),
            infrastructure: small(status.restarts_infrastructure),
        }),
        conditions: conditions(before, &facts, ids.now),
    }
}

/// The status of a run that cannot be trained as it is asked for. What it had come to stays: only the conditions change.
pub fn refused(unresolved: &Unresolved, before: &TrainingRunStatus, ids: &Ids<'_>) -> TrainingRunStatus {
    let on = |field: &str| unresolved.problems.iter().any(|p| p.field.starts_with(field));
    let reason = match () {
        () if on("spec.checkpointPolicyRef") => Reason::PolicyMissing,
        () if on("spec.model.init.from") => Reason::CheckpointUnusable,
        () => Reason::InvalidSpec,
    };
    let mut told: Vec<String> = unresolved.problems.iter().take(TOLD).map(ToString::to_string).collect();
    let more = unresolved.problems.len().saturating_sub(TOLD);
    if more > 0 || unresolved.partial {
        let more = if more > 0 { format!("{more} more") } else { "there may be more".to_owned() };
        told.push(format!("{more}: `kubectl-coalition validate -f FILE` lists all"));
    }
    let facts = Facts {
        phase: Phase::Stalled,
        reason,
        message: &told.join("; "),
        admitted: before.history.is_some(),
        workers: (0, 0),
        checkpoint_consistent: before.checkpoint.as_ref().is_some_and(|c| c.consistent),
        generation: ids.generation,
    };
    TrainingRunStatus {
        observed_generation: ids.generation,
        conditions: conditions(&before.conditions, &facts, ids.now),
        ..before.clone()
    }
}

/// The name of the Checkpoint object of a commit: the run's name and the record, a digest in the middle where that is too
/// long for a name.
pub fn checkpoint_name(run: &RunId, seq: Seq) -> String {
    let name = format!("{run}-{seq}");
    if name.len() <= 63 {
        return name;
    }
    // 32 + 1 + 12 + 1 + at most 17 characters.
    let head = run.as_str().get(..32).unwrap_or_default().trim_end_matches('-');
    format!("{head}-{}-{seq}", Digest::of(run.as_str().as_bytes()).short())
}

fn conditions(before: &[Condition], facts: &Facts<'_>, now: &Time) -> Vec<Condition> {
    let mut out = before.to_vec();
    conditions::write(&mut out, facts, now);
    out
}

/// A count as the API carries it. No count of a run comes near the bound: 2^53 tokens is what a budget may have.
fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn small(n: u64) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// A decimal with so many places: more would change with every report, and mean nothing.
fn decimal(x: Real, places: usize) -> String {
    format!("{:.places$}", x.get())
}

fn progress(s: &RunStatus, evaluation: Option<&Evaluation>) -> api::Progress {
    let percent = u128::from(s.tokens) * 100 / u128::from(s.budget.max(1));
    api::Progress {
        tokens: whole(s.tokens),
        round: whole(s.round.0),
        percent: i32::try_from(percent.min(100)).unwrap_or(100),
        loss: s.loss.map(|x| decimal(x, 4)),
        bits_per_byte: evaluation.map(|e| decimal(e.bits_per_byte, 4)),
        tokens_per_second: s.tokens_per_second.map(|x| decimal(x, 0)),
        eta_seconds: s.eta_seconds.map(whole),
    }
}

const fn is_member(state: SiteState) -> bool {
    !matches!(state, SiteState::Idle | SiteState::Retired)
}

/// The lines of the sites, by name; texts are cut so that all together fit.
fn sites(lines: &[SiteStatus]) -> Vec<api::SiteStatus> {
    let mut shown: Vec<&SiteStatus> = lines.iter().collect();
    shown.sort_by_key(|s| !is_member(s.state));
    shown.truncate(SITES);
    shown.sort_by(|a, b| a.site.cmp(&b.site));
    let (line, all) = SITES_WEIGHT;
    let room = (all / shown.len().max(1)).saturating_sub(line) / 2;
    // The mark of what was cut is one character and three bytes: it fits whichever of them a server counts.
    let text = |t: &str| shorten(t, room.saturating_sub(2).min(TEXT));
    shown
        .into_iter()
        .map(|s| api::SiteStatus {
            name: s.site.to_string(),
            state: s.state,
            incarnation: whole(s.incarnation.0),
            attempt: whole(s.attempt.0),
            workers_ready: small(u64::from(s.workers_ready)),
            workers: small(u64::from(s.workers)),
            waiting_for: text(&s.waiting_for),
            next: text(&s.next),
        })
        .collect()
}

fn checkpoint(c: &CheckpointStatus, run: &RunId) -> api::CheckpointSummary {
    api::CheckpointSummary {
        name: checkpoint_name(run, c.seq),
        seq: whole(c.seq.0),
        copies: c.copies.iter().take(SITES).map(ToString::to_string).collect(),
        consistent: c.consistent,
        tokens_since: whole(c.tokens_since),
    }
}
