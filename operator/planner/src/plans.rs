//! The next plan (D9, D11): issued one round ahead, to the members that show the newest state, trimmed to the budget.
use coalition_protocol::record::{Body, Part, Plan, STRETCH};
use coalition_protocol::{IntervalSet, Round, SiteId};

use crate::standing::Standing;
use crate::time::{Millis, seconds};
use crate::{budget, sizes};

/// The shortest automatic grace, milliseconds (api: max(20 s, predicted transfer × 1.5, 10 % of the round)).
pub const SHORTEST_GRACE: u64 = 20_000;
/// Bytes a millisecond a transfer is predicted with while no link was measured: 100 Mbit/s, a modest office line.
const UNMEASURED_LINK: u64 = 12_500;

/// The grace for the next plan, milliseconds.
pub fn grace(s: &Standing<'_>) -> u64 {
    if let Some(set) = s.world.spec.training.outer.grace_seconds {
        return seconds(set).max(1);
    }
    let transfer = s.view.genesis().elements.saturating_mul(4) / UNMEASURED_LINK;
    let slowest = s.good().filter_map(|x| sizes::speed(s, x)).fold(f64::INFINITY, f64::min);
    let tokens = s.view.genesis().inner_steps.saturating_mul(s.view.genesis().batch_tokens);
    let round = if slowest.is_finite() { (tokens as f64 / slowest * 1000.0) as u64 } else { 0 };
    SHORTEST_GRACE.max(transfer.saturating_mul(3) / 2).max(round / 10)
}

/// When the next plan is issued at the latest, even if some member does not show the newest state yet.
pub fn patience_ends(s: &Standing<'_>) -> Millis {
    s.committed_at().plus(s.grace())
}

/// Members of a plan for `round`; empty while it is better to wait.
fn members(s: &Standing<'_>, round: Round) -> Vec<SiteId> {
    // D9: with genesis all are members, before anyone could show anything. Who joined since is too new, as later.
    if round == Round(1) && s.view.plans_issued() == 0 {
        return s.view.plannable(round).cloned().collect();
    }
    let can: Vec<&SiteId> = s.view.plannable(round).collect();
    let ready: Vec<&SiteId> = can.iter().copied().filter(|x| s.current(x)).collect();
    // Members of A show the newest state soon; whoever is catching up is not waited for.
    let coming = can.iter().any(|x| s.heard(x) && s.reaches(x) && !s.on_base(x) && !s.left_out_and_silent(x));
    if ready.is_empty() || (coming && s.now < patience_ends(s)) {
        return Vec::new();
    }
    let mut chosen: Vec<SiteId> = ready.into_iter().cloned().collect();
    // A plan has one member only when no other could have a part: else commits would not be durable at two once the other
    // is back. The one that was heard last is likeliest to be.
    if chosen.len() == 1 {
        let other = can.into_iter().filter(|x| !chosen.contains(x)).max_by_key(|x| (s.silent_since(x), (*x).clone()));
        chosen.extend(other.cloned());
        chosen.sort();
    }
    chosen
}

/// The plan to append now.
pub fn body(s: &Standing<'_>) -> Option<Body> {
    let view = s.view;
    let budget = s.world.spec.training.tokens.max(view.genesis().budget);
    let round = view.next_round();
    if s.world.suspend || view.open_plans().count() >= 2 || view.tokens() >= budget {
        return None;
    }
    if !s.enough() && view.plans_issued() > 0 {
        return None;
    }
    let chosen = members(s, round);
    if chosen.is_empty() {
        return None;
    }
    let g = view.genesis();
    let room = budget::room(s, &chosen, budget.div_ceil(g.sequence_length))?;
    let mut taken = IntervalSet::new();
    let mut parts = Vec::new();
    for (site, steps, n) in sizes::share(s, &chosen, room.left, &room.dropped) {
        let ranges = view.ledger().next_free(n, &taken);
        taken = taken.union(&ranges);
        let incarnation = view.incarnation(&site)?;
        let drop_late = room.dropped.contains(&site);
        parts.push(Part { site, incarnation, inner_steps: steps, tokens: n * g.sequence_length, ranges, drop_late });
    }
    let givers = parts.iter().filter(|p| !p.ranges.is_empty() || room.kept.contains(&p.site)).count();
    Some(Body::Plan(Plan {
        round,
        tokens_before: view.tokens() + view.in_flight(),
        budget,
        quorum: s.world.spec.training.outer.quorum.clamp(1, givers.max(1) as u32),
        parts,
        stretch: STRETCH,
        grace_millis: grace(s),
        norm_limit: view.norm_limit(),
    }))
}
