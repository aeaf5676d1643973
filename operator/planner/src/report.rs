//! From the world to its status: phase, reason and progress of the run.
use std::collections::BTreeSet;

use coalition_protocol::record::Outcome;
use coalition_protocol::{Real, Round, Seq, SiteId};

use crate::adopt;
use crate::agreement;
use crate::checkpoints::{self, STAY};
use crate::genesis;
use crate::lines;
use crate::lost;
use crate::members;
use crate::standing::Standing;
use crate::status::{CheckpointStatus, Phase, Reason, RunStatus};
use crate::time::{Millis, words};
use crate::why;
use crate::windows::{self, Window};
use crate::world::World;

/// The status before genesis.
pub fn queued(world: &World, now: Millis) -> RunStatus {
    let there = genesis::willing(world, now);
    let refused: Vec<String> =
        world.sites.iter().filter_map(|(n, s)| Some(format!("{n} cannot: {}", s.refusal.as_ref()?))).collect();
    let mut message =
        format!("{} of {} sites are there, sites.min is {}", there.len(), world.sites.len(), world.spec.sites.min);
    if world.suspend {
        message.push_str("; the run is suspended and begins when it is resumed");
    }
    if genesis::lacks_holder(world, &there) {
        let holders: Vec<String> = world.holders.iter().map(ToString::to_string).collect();
        let holders = if holders.is_empty() { "no site of this run".to_owned() } else { holders.join(", ") };
        for part in ["; it begins from a checkpoint that stands at ", &holders, ": one of those must be there"] {
            message.push_str(part);
        }
    }
    for r in refused {
        message.push_str("; ");
        message.push_str(&r);
    }
    let (phase, reason) = waiting(world);
    if reason == Reason::NoSiteMatches {
        message = format!("spec.sites.selector: {}: matches no Site. {NO_SITE}", selector(world));
    }
    RunStatus {
        phase,
        reason,
        message,
        head: None,
        tokens: 0,
        budget: world.spec.training.tokens,
        round: Round(0),
        left_out: 0,
        loss: None,
        tokens_per_second: None,
        eta_seconds: None,
        sites: lines::idle(world),
        checkpoint: None,
        restarts_charged: 0,
        restarts_infrastructure: 0,
    }
}

/// The way out where no site matches.
const NO_SITE: &str = "Label one with `kubectl label site NAME KEY=VALUE`, or create a run that selects others; `kubectl get sites \
                       --show-labels` lists what there is";

fn selector(world: &World) -> String {
    let pairs: Vec<String> = world.spec.sites.selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
    if pairs.is_empty() { "every site".to_owned() } else { pairs.join(",") }
}

/// What a run without a history waits for. A site that was never heard of may yet agree, so it counts as one that waits.
fn waiting(world: &World) -> (Phase, Reason) {
    let refuses = |s: &crate::Site| s.refusal.is_some() && s.contact.is_some();
    match () {
        () if world.suspend => (Phase::Suspended, Reason::SuspendRequested),
        () if world.sites.is_empty() => (Phase::Stalled, Reason::NoSiteMatches),
        () if world.sites.values().all(refuses) => (Phase::Stalled, Reason::SitesRefuse),
        () => (Phase::Queued, Reason::WaitingForSites),
    }
}

/// The status of a run that has a history.
pub fn status(s: &Standing<'_>) -> RunStatus {
    let (phase, reason, message) = phase(s);
    let training: Vec<_> = s.good().filter(|x| s.heard(x)).filter_map(|x| s.report(x)).map(|r| &r.progress).collect();
    let speed: f64 = training.iter().filter_map(|p| p.tokens_per_second).map(Real::get).sum();
    let weighted = |p: &&coalition_protocol::messages::Progress| {
        Some((p.loss?.get(), p.tokens_per_second.map_or(1.0, Real::get).max(1e-9)))
    };
    let (sum, weight) = training.iter().filter_map(weighted).fold((0.0, 0.0), |(a, b), (l, w)| (a + l * w, b + w));
    let left = s.world.spec.training.tokens.saturating_sub(s.view.tokens());
    let over = s.view.ended().is_some();
    RunStatus {
        phase,
        reason,
        message,
        head: Some(s.view.head()),
        tokens: s.view.tokens(),
        budget: s.world.spec.training.tokens,
        round: s.view.last_round(),
        left_out: s.view.short_rounds(),
        loss: if weight > 0.0 { Real::new(sum / weight).ok() } else { None },
        tokens_per_second: if speed > 0.0 && !over { Real::new(speed).ok() } else { None },
        eta_seconds: (speed > 0.0 && !over).then(|| (left as f64 / speed).ceil() as u64),
        sites: lines::all(s),
        checkpoint: checkpoint(s),
        restarts_charged: s.memory.restarts.charged.len() as u64,
        restarts_infrastructure: s.memory.restarts.infrastructure,
    }
}

fn names<'a>(list: impl IntoIterator<Item = &'a SiteId>) -> String {
    let v: Vec<&str> = list.into_iter().map(SiteId::as_str).collect();
    v.join(", ")
}

/// Phase, reason and message.
fn phase(s: &Standing<'_>) -> (Phase, Reason, String) {
    if let Some(e) = s.view.ended() {
        return match e.outcome {
            Outcome::Complete => {
                let text =
                    format!("complete: {} tokens; the last checkpoint stands at {}", e.tokens, names(&e.confirmers));
                (Phase::Complete, Reason::BudgetReached, text)
            }
            Outcome::DeadlineExceeded => (Phase::Failed, Reason::DeadlineExceeded, e.message.clone()),
            Outcome::Failed => (Phase::Failed, Reason::TooManyFailures, e.message.clone()),
        };
    }
    if s.leader_ready()
        && let Some(why) = adopt::rewound(s)
    {
        return match adopt::records(s) {
            Some((site, _)) => {
                let text = format!("the hub's history was rolled back: records come back from the mirror of {site}");
                (Phase::Starting, Reason::HubRewound, text)
            }
            None => (Phase::Stalled, Reason::HubRewound, why),
        };
    }
    if let Some(l) = lost::lost(s, &BTreeSet::new()) {
        return (Phase::Stalled, Reason::StateLost, lost_message(s, &l));
    }
    if agreement::is_arithmetic(s) {
        let text = "sites computed different states and each got its own again: compare their hardware and builds, then \
                    remove the wrong one (sites.selector) or add a third site";
        return (Phase::Stalled, Reason::ArithmeticDisagreement, text.to_owned());
    }
    if s.world.suspend {
        let stopped = s.good().all(|x| s.report(x).is_none_or(|r| r.gang.stopped));
        let text = "suspended: everything is saved; resume to go on exactly from here".to_owned();
        return if stopped {
            (Phase::Suspended, Reason::SuspendRequested, text)
        } else {
            (Phase::Suspending, Reason::SuspendRequested, "sites save and stop".to_owned())
        };
    }
    if !s.leader_ready() {
        let text = "the hub has just begun: it waits until every member answers, or one grace".to_owned();
        return (Phase::Starting, Reason::NewLeader, text);
    }
    if s.view.tokens() >= s.world.spec.training.tokens {
        let mut text = format!(
            "the budget is committed; the last checkpoint is wanted at {} sites, it stands at {}",
            checkpoints::copies(s),
            checkpoints::stored(s).get(&s.view.last_commit().0).map_or(0, BTreeSet::len)
        );
        for what in hindered(s) {
            text.push_str("; ");
            text.push_str(&what);
        }
        return (Phase::Finishing, Reason::SavingFinalCheckpoint, text);
    }
    round_phase(s)
}

fn round_phase(s: &Standing<'_>) -> (Phase, Reason, String) {
    if let Some(site) = s.good().find(|x| members::above_norm_limit(s, x))
        && s.good().count() == 1
    {
        let text = format!(
            "the contribution of {site}, the last member in good standing, is above the norm limit: training diverges. \
             A lower learning rate needs a new run. {STAY}"
        );
        return (Phase::Stalled, Reason::NormAboveLimit, text);
    }
    let silent: Vec<&SiteId> = s.good().filter(|x| !s.heard(x)).collect();
    if !s.enough() {
        let text = format!(
            "fewer than sites.min = {} members are heard; silent: {}. It goes on when they return, or when others take \
             their place after {}",
            s.world.spec.sites.min,
            names(silent.iter().copied()),
            words(s.replace_after())
        );
        return (Phase::FailingOver, Reason::BelowMinimum, text);
    }
    let starting = s.view.last_round() == Round(0);
    let usual = if starting { Phase::Starting } else { Phase::Training };
    if !silent.is_empty() {
        let retired = silent.iter().filter_map(|x| members::retire_at(s, x)).min();
        let retired = retired.map_or_else(String::new, |t| {
            format!("; retired in {} unless it is heard (sites.replaceAfterSeconds)", words(t.since(s.now)))
        });
        let text = format!("{} is away; {}{retired}", names(silent), why::without(s));
        return (Phase::FailingOver, Reason::SiteSilent, text);
    }
    if agreement::reports(s).len() > 1 {
        return (
            usual,
            Reason::StatesDiffer,
            "sites differ about the newest state and compare it chunk by chunk".to_owned(),
        );
    }
    if starting && s.view.state(Seq(0)).is_none() {
        let text = "members compute the initial state".to_owned();
        return (Phase::Starting, Reason::AgreeingOnInitialState, text);
    }
    let hindered = hindered(s);
    if !hindered.is_empty() {
        return (Phase::FailingOver, Reason::SiteHindered, hindered.join("; "));
    }
    match windows::window(s) {
        _ if windows::apart(s) => {
            let when = windows::apart_until(s).map_or(0, |t| t.since(s.now));
            let text = format!(
                "members reach the hub but not each other; the round waits, and the lighter side is set aside in {}",
                words(when)
            );
            (Phase::FailingOver, Reason::PeersUnreachable, text)
        }
        Window::Training | Window::Closed => {
            (usual, Reason::RoundInProgress, format!("round {} is being trained", s.view.last_round().next()))
        }
        Window::Offers { until, waiting_for } => {
            let round = s.view.last_round().next();
            let text = format!(
                "round {round} waits for the offer of {}, at most {} more",
                names(&waiting_for),
                words(until.since(s.now))
            );
            (usual, Reason::WaitingForOffers, text)
        }
        Window::Holds { until, waiting_for } => {
            let text =
                format!("{} fetch contributions, at most {} more", names(&waiting_for), words(until.since(s.now)));
            (usual, Reason::WaitingForHolds, text)
        }
    }
}

/// What keeps members that are heard from doing their part, in words.
fn hindered(s: &Standing<'_>) -> Vec<String> {
    let words = |x: &SiteId| why::hindrance(s, x).map(|(what, next)| format!("{x} waits for {what}; {next}"));
    s.good().filter(|x| s.heard(x)).filter_map(words).collect()
}

fn lost_message(s: &Standing<'_>, l: &lost::Lost) -> String {
    let reached = s.view.mark(l.reachable).map_or(Round(0), |m| m.round);
    let rounds = s.view.last_round().0.saturating_sub(reached.0);
    let left = match checkpoints::consistent(s) {
        Some((seq, sites, _)) => format!("The newest checkpoint is that of record {seq} at {}. {STAY}", names(&sites)),
        None => "No consistent checkpoint is left: a new run begins at the beginning".to_owned(),
    };
    format!(
        "the members that held what record {} needs are gone with their stores: the last {rounds} rounds after record {} \
         cannot be reached, and this version cannot rewind a run. {left}",
        l.missing, l.reachable
    )
}

fn checkpoint(s: &Standing<'_>) -> Option<CheckpointStatus> {
    let stored = checkpoints::stored(s);
    let k = checkpoints::copies(s);
    let consistent = stored.iter().rev().find(|(_, sites)| sites.len() >= k);
    let (seq, sites) = consistent.or_else(|| stored.iter().next_back())?;
    let then = checkpoints::of(s, *seq).map_or(0, |(_, tokens)| tokens);
    Some(CheckpointStatus {
        seq: *seq,
        state: s.view.state(*seq)?.0,
        copies: sites.iter().cloned().collect(),
        consistent: sites.len() >= k,
        tokens_since: s.view.tokens().saturating_sub(then),
    })
}
