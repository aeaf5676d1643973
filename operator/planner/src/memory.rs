//! What the hub remembers from earlier observations: when things were first seen. Losing it costs time, never safety: a
//! new leader starts its windows anew.
use std::collections::BTreeMap;

use coalition_protocol::messages::STORE_FAILED;
use coalition_protocol::{Seq, SiteId};
use serde::{Deserialize, Serialize};

use crate::restarts::Restarts;
use crate::standing::Standing;
use crate::time::Millis;
use crate::world::World;
use crate::{commit, windows};

/// When things were first seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Memory {
    /// The newest commit, and when this hub first saw it.
    #[serde(default)]
    pub commit: Option<(Seq, Millis)>,
    /// The clock of the open round.
    #[serde(default)]
    pub round: Option<RoundClock>,
    /// Failures seen and charged.
    #[serde(default)]
    pub restarts: Restarts,
    /// Run checkpoints already announced as consistent.
    #[serde(default)]
    pub announced: Vec<Seq>,
    /// When a site was last left out of a commit (D14: left out once and silent since).
    #[serde(default)]
    pub left_out: BTreeMap<SiteId, Millis>,
    /// Since when a site says, with every report, that its own store takes nothing.
    #[serde(default)]
    pub store_fails: BTreeMap<SiteId, Millis>,
}

/// When the steps of the open round happened (D14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RoundClock {
    /// The plan it belongs to.
    pub plan: Seq,
    /// When this hub first saw it as the open one.
    pub seen: Millis,
    /// The first valid offer.
    pub first_offer: Option<Millis>,
    /// The quorum-th valid offer: the offer window opens.
    pub quorum: Option<Millis>,
    /// The offer window closed: the hold window opens.
    pub offers_closed: Option<Millis>,
}

/// The memory after what the world shows now. Pure; folding twice changes nothing.
pub fn fold(world: &World, now: Millis) -> Memory {
    let mut memory = world.memory.clone();
    memory.restarts.fold(world, now);
    for (name, site) in &world.sites {
        // Of a site that is not heard nothing new is known: what it said last stands.
        let Some(report) = site.report.value() else { continue };
        if report.refusals.contains_key(STORE_FAILED) {
            memory.store_fails.entry(name.clone()).or_insert(now);
        } else {
            memory.store_fails.remove(name);
        }
    }
    let Some(view) = &world.view else { return memory };
    let (newest, _, _) = view.last_commit();
    if memory.commit.is_none_or(|(s, _)| s != newest) {
        memory.commit = Some((newest, now));
    }
    let Some((plan, _)) = view.current_plan() else {
        memory.round = None;
        return memory;
    };
    if memory.round.is_none_or(|r| r.plan != plan) {
        memory.round = Some(RoundClock { plan, seen: now, first_offer: None, quorum: None, offers_closed: None });
    }
    // The steps below look at the clock as it stands so far.
    let standing = Standing::new(world, view, &memory, now);
    // A new leader opens no window before it knows whom to wait for: who answers first must not close it on the others.
    if !standing.leader_ready() {
        return memory;
    }
    let offers = commit::heard_offers(&standing);
    let quorum = standing.quorum();
    let mut clock = standing.clock();
    if offers.is_empty() {
        clock.first_offer = None;
    } else {
        clock.first_offer = clock.first_offer.or(Some(now));
    }
    if offers.len() < quorum {
        clock.quorum = None;
        clock.offers_closed = None;
    } else {
        let opened = *clock.quorum.get_or_insert(now);
        if clock.offers_closed.is_none() {
            let end = opened.plus(standing.grace());
            let done = windows::waited_for(&standing).iter().all(|s| offers.contains_key(s));
            if now >= end {
                clock.offers_closed = Some(end);
            } else if done {
                clock.offers_closed = Some(now);
            }
        }
    }
    memory.round = Some(clock);
    memory
}
