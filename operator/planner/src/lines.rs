//! One line for each site: what it is doing, with its numbers. What it waits for and what comes next: `why`.
use coalition_protocol::{Attempt, Incarnation, Round, SiteId};

use crate::standing::Standing;
use crate::status::{SiteState, SiteStatus};
use crate::world::World;
use crate::{commit, steps, why};

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
    let (waiting_for, next) = why::why(s, site, state);
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
