//! What the budget has left for a plan (D11), so that every run ends at the same T: the budget, rounded up to whole samples,
//! whatever was killed on the way. Must not know speeds or steps.
//!
//! A site may bring with one contribution all that it was leased up to that plan: the part itself and late work. So what
//! every site of the open plans and of the new one holds counts as spoken for, and new positions are given from the rest.
//! Late work counts as planned while its site has a part; where it does not fit beside what others bring, it is dropped: by
//! the plan, so that the site and every reader know. It is waited for once.
use std::collections::BTreeSet;

use coalition_protocol::record::Plan;
use coalition_protocol::{Seq, SiteId};

use crate::standing::Standing;

/// What a plan may give.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Positions that are left.
    pub left: u64,
    /// Sites whose late work may come in with the plan.
    pub kept: BTreeSet<SiteId>,
    /// Sites whose late work is dropped.
    pub dropped: BTreeSet<SiteId>,
}

/// The room for a plan for `chosen` in a budget of `most` positions; none if it is better to wait until the open plan is
/// closed, for then more is known of what its sites used.
pub fn room(s: &Standing<'_>, chosen: &[SiteId], most: u64) -> Option<Room> {
    let open: Vec<&Plan> = s.view.open_plans().map(|(_, p)| p).collect();
    let used = s.view.ledger().used().len();
    if open.is_empty() {
        return Some(between_rounds(s, chosen, most.saturating_sub(used)));
    }
    let mut sites: BTreeSet<&SiteId> = open.iter().flat_map(|p| &p.parts).map(|p| &p.site).collect();
    sites.extend(chosen);
    let left = most.saturating_sub(used).saturating_sub(sites.iter().map(|x| leased(s, x)).sum());
    let kept = chosen.iter().filter(|x| leased(s, x) > 0).cloned().collect();
    (left >= chosen.len() as u64).then_some(Room { left, kept, dropped: BTreeSet::new() })
}

/// No plan is open: all leases are of late work.
fn between_rounds(s: &Standing<'_>, chosen: &[SiteId], mut left: u64) -> Room {
    let mut room = Room::default();
    // Those that show the newest state first: what the others have may never come.
    let (here, away): (Vec<_>, Vec<_>) = chosen.iter().partition(|x| s.current(x));
    for site in here.into_iter().chain(away) {
        let late = leased(s, site);
        // Beside somebody who is away there must be work, or all would wait for nobody.
        let spare = if s.current(site) { 0 } else { chosen.len() as u64 };
        if late == 0 {
            continue;
        }
        if late + spare <= left && !waited_for(s, site) {
            left -= late;
            room.kept.insert(site.clone());
        } else {
            room.dropped.insert(site.clone());
        }
    }
    room.left = left;
    room
}

/// Positions leased to `site`, whatever it used of them: that is known only from its contribution.
fn leased(s: &Standing<'_>, site: &SiteId) -> u64 {
    s.view.ledger().leases(site).map(|(_, l)| l.ranges.len()).sum()
}

/// True if a plan was for nothing but its late work already, and was closed without it.
fn waited_for(s: &Standing<'_>, site: &SiteId) -> bool {
    let Some(oldest) = s.view.ledger().leases(site).map(|(plan, _)| plan).min() else { return false };
    (oldest.0..=s.view.head().seq.0)
        .filter_map(|n| s.view.plan(Seq(n)))
        .any(|p| p.part(site).is_some_and(|x| x.ranges.is_empty() && !x.drop_late))
}
