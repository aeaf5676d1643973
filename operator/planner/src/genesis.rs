//! The first record: who begins, and what is fixed for the whole run (D6, D9).
use coalition_protocol::record::{Assignment, Body, Genesis, Record, VERSION};
use coalition_protocol::{Digest, Epoch, Incarnation, Real, Seq, SiteId};

use crate::time::Millis;
use crate::world::World;

/// How long a hub waits for more sites than `sites.min` before a run begins, milliseconds: as long as a round grace at the
/// least (D14), so that sites that start together begin together.
pub const GATHER_MILLIS: u64 = 20_000;

/// Sites that could begin now, in order of name: heard of lately, willing.
pub fn willing(world: &World, now: Millis) -> Vec<SiteId> {
    let ok = |s: &crate::world::Site| s.refusal.is_none() && s.contact.is_some_and(|t| now.since(t) < GATHER_MILLIS);
    world.sites.iter().filter(|(_, s)| ok(s)).map(|(name, _)| name.clone()).collect()
}

/// True if the run begins from a state that none of these sites has.
pub fn lacks_holder(world: &World, there: &[SiteId]) -> bool {
    world.spec.model.init.from.is_some() && !there.iter().any(|s| world.holders.contains(s))
}

/// The genesis record to append now: once all sites that are known of (at most `sites.max`) are there, or `sites.min` of
/// them and the others were waited for.
pub fn body(world: &World, now: Millis) -> Option<Body> {
    if world.suspend {
        return None;
    }
    let mut there = willing(world, now);
    if lacks_holder(world, &there) {
        return None;
    }
    // Whoever has the state that the run begins from comes first: without one of them nobody could begin.
    there.sort_by_key(|s| !world.holders.contains(s));
    there.truncate(world.spec.sites.max as usize);
    there.sort();
    let could = world.sites.values().filter(|s| s.refusal.is_none()).count().min(world.spec.sites.max as usize);
    let waited = now.since(world.leader.since) >= gather(world);
    if there.len() < (world.spec.sites.min.max(1)) as usize || (there.len() < could && !waited) {
        return None;
    }
    let t = &world.spec.training;
    let nesterov = t.outer.optimizer.nesterov();
    Some(Body::Genesis(Genesis {
        hub_key: world.setup.hub_key.clone(),
        hub_generation: 1,
        spec: world.spec.identity().ok()?,
        data: world.setup.data,
        samples_per_pass: world.setup.samples_per_pass,
        sequence_length: world.spec.data.sequence_length as u64,
        batch_tokens: t.batch_tokens,
        inner_steps: t.steps_per_round(),
        budget: t.tokens,
        seed: t.seed,
        elements: world.setup.elements,
        fragments: 1,
        outer_lr: Real::new(nesterov.lr).ok()?,
        outer_momentum: Real::new(nesterov.momentum).ok()?,
        origin: world.spec.model.init.from.clone(),
        members: there.into_iter().map(|site| Assignment { site, incarnation: Incarnation(1) }).collect(),
    }))
}

/// How long to wait for sites beyond `sites.min`: the grace the user set, or [`GATHER_MILLIS`].
pub fn gather(world: &World) -> u64 {
    world.spec.training.outer.grace_seconds.map_or(GATHER_MILLIS, crate::time::seconds)
}

/// The record that begins the chain with `body`.
pub fn record(world: &World, body: Body) -> Record {
    Record { version: VERSION, run: world.setup.run.clone(), epoch: Epoch(1), seq: Seq(0), parent: Digest::ZERO, body }
}
