//! The decisions: what a run needs next, as pure functions of what was observed (D7 to D18, D24 to D30).
//!
//! [`World`] is everything a decision depends on; its `report`, `heard`, `appended`, … fold observations into it. [`plan`]
//! decides. The caller loops: decide, append the one record (durably, with the old head as condition), tell the world,
//! decide again, until the decision is quiet; then it waits for an observation or the deadline.
//!
//! This crate must never learn clients, clocks, I/O, async or randomness.

pub mod adopt;
pub mod agreement;
pub mod budget;
pub mod checkpoints;
pub mod commit;
pub mod decision;
pub mod end;
pub mod forget;
pub mod gang;
pub mod genesis;
pub mod lines;
pub mod lost;
pub mod members;
pub mod memory;
pub mod observe;
pub mod origin;
pub mod plans;
pub mod publish;
pub mod report;
pub mod resolve;
pub mod restarts;
pub mod selection;
pub mod shape;
pub mod site_run;
pub mod sizes;
pub mod standing;
pub mod status;
pub mod steps;
pub mod time;
pub mod void;
mod why;
pub mod windows;
pub mod world;

mod deadline;

pub use decision::{CheckpointNotice, Decision, Event, Intent};
pub use memory::Memory;
pub use observe::Received;
pub use standing::Standing;
pub use status::RunStatus;
pub use time::Millis;
pub use world::{Observed, Setup, Site, World};

use coalition_protocol::record::Body;

/// Decides what the run needs next. Pure: the same world at the same instant gives the same decision.
pub fn plan(world: &World, now: Millis) -> Decision {
    let memory = memory::fold(world, now);
    let Some(view) = &world.view else {
        let body = genesis::body(world, now);
        return Decision {
            events: body.as_ref().map(decision::events).unwrap_or_default(),
            adopt: Vec::new(),
            append: body.map(|b| genesis::record(world, b)),
            intents: Vec::new(),
            status: report::queued(world, now),
            next_deadline: deadline::before_genesis(world, now),
        };
    };
    let s = Standing::new(world, view, &memory, now);
    // What is missing comes first: anything appended before it would be a fork (D7).
    let found = if s.leader_ready() { adopt::records(&s) } else { None };
    // Only what View would accept is ever proposed: the same check that every site makes.
    let due = if found.is_none() { body(&s) } else { None };
    let append = due.map(|b| view.next(b)).filter(|r| view.check(r).is_ok());
    let intents = intents(&s);
    let mut events: Vec<Event> = append.as_ref().map(|r| decision::events(&r.body)).unwrap_or_default();
    events.extend(found.as_ref().and_then(|(site, records)| adopt::event(site, records)));
    events.extend(intents.iter().filter_map(announcement));
    let adopt = found.map(|(_, records)| records).unwrap_or_default();
    Decision { adopt, append, intents, status: report::status(&s), events, next_deadline: deadline::next(&s) }
}

/// The one record to append now. The order matters: membership first, for a retired incarnation must not commit.
fn body(s: &Standing<'_>) -> Option<Body> {
    if s.view.ended().is_some() || !s.leader_ready() || adopt::rewound(s).is_some() {
        return None;
    }
    members::body(s)
        .or_else(|| end::early(s))
        .or_else(|| agreement::state(s))
        .or_else(|| end::complete(s))
        .or_else(|| if s.view.tokens() < s.world.spec.training.tokens { round(s) } else { None })
}

fn round(s: &Standing<'_>) -> Option<Body> {
    steps::body(s).or_else(|| commit::outer(s)).or_else(|| void::body(s)).or_else(|| plans::body(s))
}

/// What else is to be done: sites whose request changed, checkpoints that became consistent.
fn intents(s: &Standing<'_>) -> Vec<Intent> {
    let changed = |name: &coalition_protocol::SiteId, site: &Site| {
        let wanted = site_run::site_run(s, name)?;
        (site.asked.as_ref() != Some(&wanted)).then(|| Intent::AskSite(Box::new(wanted)))
    };
    let mut out: Vec<Intent> = s.world.sites.iter().filter_map(|(name, site)| changed(name, site)).collect();
    if let Some((seq, copies, state)) = checkpoints::consistent(s)
        && !s.memory.announced.contains(&seq)
        && let Some((round, tokens)) = checkpoints::of(s, seq)
    {
        let copies = copies.into_iter().collect();
        out.push(Intent::AnnounceCheckpoint(CheckpointNotice { seq, round: round.0, state, tokens, copies }));
    }
    out
}

fn announcement(intent: &Intent) -> Option<Event> {
    let Intent::AnnounceCheckpoint(c) = intent else { return None };
    let names: Vec<&str> = c.copies.iter().map(coalition_protocol::SiteId::as_str).collect();
    let message = format!("the checkpoint of round {} is consistent, at {}", c.round, names.join(", "));
    Some(Event { reason: "CheckpointConsistent".to_owned(), site: None, message, warning: false })
}
