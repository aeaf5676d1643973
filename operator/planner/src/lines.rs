//! One line for each site: what it is doing, what it waits for, and what will happen next if nothing changes.
use coalition_protocol::{Attempt, Incarnation, Round, SiteId};

use crate::standing::Standing;
use crate::status::{SiteState, SiteStatus};
use crate::time::words;
use crate::world::World;
use crate::{commit, lost, members, steps, windows};

fn empty(site: &SiteId, state: SiteState) -> SiteStatus {
    SiteStatus {
        site: site.clone(),
        state,
        incarnation: Incarnation(0),
        attempt: Attempt(0),
        workers_ready: 0,
        workers: 0,
        step: 0,
        round: Round(0),
        inner_step: 0,
        inner_steps: 0,
        loss: None,
        tokens_per_second: None,
        waiting_for: String::new(),
        next: String::new(),
        missed: 0,
    }
}

/// Sites before genesis.
pub fn idle(world: &World) -> Vec<SiteStatus> {
    let line = |(name, site): (&SiteId, &crate::world::Site)| SiteStatus {
        waiting_for: site.refusal.clone().unwrap_or_else(|| match site.contact {
            Some(_) => "the other sites".to_owned(),
            None => "its first report".to_owned(),
        }),
        ..empty(name, SiteState::Idle)
    };
    world.sites.iter().map(line).collect()
}

/// Every site, by name.
pub fn all(s: &Standing<'_>) -> Vec<SiteStatus> {
    s.world.sites.keys().map(|site| line(s, site)).collect()
}

fn line(s: &Standing<'_>, site: &SiteId) -> SiteStatus {
    let Some(member) = s.view.members().get(site) else { return empty(site, SiteState::Idle) };
    let state = state(s, site);
    let (waiting_for, next) = why(s, site, state);
    let base =
        SiteStatus { incarnation: member.incarnation, missed: member.missed, waiting_for, next, ..empty(site, state) };
    let Some(r) = s.report(site) else { return base };
    // What its trainer said last says nothing once the run is over.
    let told = if state == SiteState::Finished { String::new() } else { r.progress.waiting_for.clone() };
    let waiting_for = if base.waiting_for.is_empty() { told } else { base.waiting_for.clone() };
    SiteStatus {
        attempt: r.gang.attempt,
        workers_ready: r.gang.workers_ready,
        workers: r.gang.workers,
        step: r.progress.step,
        round: r.progress.round,
        inner_step: r.progress.inner_step,
        inner_steps: r.progress.inner_steps,
        loss: r.progress.loss,
        tokens_per_second: if state == SiteState::Training { r.progress.tokens_per_second } else { None },
        waiting_for,
        ..base
    }
}

fn state(s: &Standing<'_>, site: &SiteId) -> SiteState {
    let Some(member) = s.member(site) else { return SiteState::Retired };
    if s.view.ended().is_some() {
        return SiteState::Finished;
    }
    if !s.heard(site) {
        return SiteState::Silent;
    }
    if member.set_aside.is_some() {
        return SiteState::SetAside;
    }
    match s.report(site) {
        Some(r) if r.gang.stopped => SiteState::Stopped,
        Some(r) if r.gang.workers_ready < r.gang.workers || r.gang.attempt == Attempt(0) => SiteState::Starting,
        _ if !s.on_base(site) => SiteState::CatchingUp,
        _ if commit::offer_of(s, site).is_some() || steps::offer(s).is_some_and(|_| s.planned(site)) => {
            SiteState::Offered
        }
        _ => SiteState::Training,
    }
}

/// (what it waits for, what comes next).
fn why(s: &Standing<'_>, site: &SiteId, state: SiteState) -> (String, String) {
    let left = |t: crate::time::Millis| words(t.since(s.now));
    match state {
        SiteState::Silent => {
            let since = s.silent_since(site).map_or(0, |t| s.now.since(t));
            let next = if lost::irreplaceable(s, site) {
                "the run waits for it: it alone has what the newest commit needs".to_owned()
            } else {
                members::retire_at(s, site)
                    .map_or_else(String::new, |t| format!("retired in {} if it stays silent", left(t)))
            };
            (format!("a sign of life, for {}", words(since)), next)
        }
        SiteState::SetAside => {
            let reason = s.member(site).and_then(|m| m.set_aside.clone()).unwrap_or_default();
            (format!("set aside: {reason}"), "taken back once it shows the newest state after a commit".to_owned())
        }
        SiteState::CatchingUp => {
            let what = if s.reaches(site) { "applying the newest commit" } else { "fetching the newest state" };
            (what.to_owned(), "planned for again once it shows the newest state".to_owned())
        }
        SiteState::Offered => match windows::window(s) {
            windows::Window::Training => {
                let n = s.quorum();
                (format!("offers of others: the quorum is {n}"), String::new())
            }
            windows::Window::Offers { until, waiting_for } => {
                let names: Vec<&str> = waiting_for.iter().map(SiteId::as_str).collect();
                (
                    format!("the offer of {}", names.join(", ")),
                    format!("goes on without {} in {}", names.join(", "), left(until)),
                )
            }
            windows::Window::Holds { until, waiting_for } => {
                let names: Vec<&str> = waiting_for.iter().map(SiteId::as_str).collect();
                (
                    format!("{} to hold the contributions", names.join(", ")),
                    format!("goes on without in {}", left(until)),
                )
            }
            windows::Window::Closed if windows::apart(s) => {
                let next = windows::apart_until(s)
                    .map_or_else(String::new, |t| format!("the lighter side is set aside in {}", left(t)));
                ("members that do not reach each other".to_owned(), next)
            }
            windows::Window::Closed => ("the commit".to_owned(), String::new()),
        },
        SiteState::Starting => ("its workers to join".to_owned(), String::new()),
        _ => (String::new(), String::new()),
    }
}
