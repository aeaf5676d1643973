//! Rounds of a plan with one member (D30): its finished site checkpoint becomes the state.
use coalition_protocol::messages::StepOffer;
use coalition_protocol::record::{Body, Step};

use crate::standing::Standing;

/// The finished round that counts, if there is one: of the open plan, on the newest state, over leased positions.
pub fn offer<'a>(s: &Standing<'a>) -> Option<&'a StepOffer> {
    let (seq, plan) = s.plan().filter(|(_, p)| p.one_member())?;
    let part = plan.parts.first().filter(|p| s.planned(&p.site))?;
    let report = s.report(&part.site).filter(|r| !r.store_lost && s.on_base(&r.site))?;
    let offer = report.step.as_ref().filter(|o| o.plan == seq)?;
    let worth = s.view.worth(&part.site, part.incarnation, seq, &offer.used).ok()?;
    (worth == offer.tokens && worth > 0).then_some(offer)
}

/// The step record to append now.
pub fn body(s: &Standing<'_>) -> Option<Body> {
    let (seq, plan) = s.plan()?;
    let offer = offer(s)?;
    let part = plan.parts.first()?;
    if !s.enough() {
        return None;
    }
    Some(Body::Step(Step {
        plan: seq,
        round: plan.round,
        site: part.site.clone(),
        incarnation: part.incarnation,
        checkpoint: offer.checkpoint,
        state: offer.state,
        used: offer.used.clone(),
        batch_hash: offer.batch_hash,
        tokens: s.view.tokens() + offer.tokens,
    }))
}
