//! Plans from which nothing can come are voided (D14): no data range moves, and the round is planned anew.
use coalition_protocol::record::{Body, Void};

use crate::standing::Standing;
use crate::time::Millis;
use crate::{lost, windows};

/// Too few planned members are left for the quorum.
pub const TOO_FEW_MEMBERS: &str = "TooFewMembers";
/// `sites.replaceAfterSeconds` passed without a quorum.
pub const NO_QUORUM: &str = "NoQuorum";

/// Why the open plan can come to nothing.
fn hopeless(s: &Standing<'_>) -> Option<&'static str> {
    let (_, plan) = s.plan()?;
    let able = plan.parts.iter().filter(|p| s.gives(&p.site)).count();
    if able < plan.quorum as usize {
        return Some(TOO_FEW_MEMBERS);
    }
    deadline(s).filter(|t| s.now >= *t).map(|_| NO_QUORUM)
}

/// When the open plan is voided if nothing changes: `sites.replaceAfterSeconds` after its first offer while a quorum is
/// missing, or after its windows began while no quorum is held and no side is heavier. Also without any offer in a plan with
/// an idle part, for someone is there who could do what the others do not; and in one of which only late work is left (what
/// had positions was retired, or nothing had any), for that may have died with its process, and nobody can train it again.
/// It is waited for this once: the next plan drops it (`budget`).
pub fn deadline(s: &Standing<'_>) -> Option<Millis> {
    let clock = s.clock();
    match clock.quorum {
        None => {
            let (_, plan) = s.plan()?;
            let planned = || plan.parts.iter().filter(|p| s.planned(&p.site));
            let idle = planned().any(|p| !s.gives(&p.site)) || planned().all(|p| p.ranges.is_empty());
            Some(clock.first_offer.or(idle.then_some(clock.seen))?.plus(s.replace_after()))
        }
        Some(_) if windows::apart(s) => windows::apart_until(s),
        Some(_) => None,
    }
}

/// The void to append now.
pub fn body(s: &Standing<'_>) -> Option<Body> {
    if s.world.suspend || lost::lost(s, &std::collections::BTreeSet::new()).is_some() {
        return None;
    }
    let reason = hopeless(s)?.to_owned();
    let plans = s.view.open_plans().map(|(seq, _)| seq).collect();
    Some(Body::Void(Void { round: s.view.last_round().next(), plans, reason }))
}
