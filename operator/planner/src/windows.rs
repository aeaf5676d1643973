//! The two windows of a commit (D14), by the hub's own clock: offers, from the quorum-th; then holds, as long again. Each
//! closes early once everyone it waits for is done.
use std::collections::BTreeSet;

use coalition_protocol::SiteId;

use crate::commit;
use crate::standing::Standing;
use crate::time::Millis;

/// Where the open round stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Window {
    /// Fewer offers than the quorum.
    Training,
    /// The offer window is open.
    Offers {
        /// When it closes at the latest.
        until: Millis,
        /// Members it waits for.
        waiting_for: Vec<SiteId>,
    },
    /// The hold window is open.
    Holds {
        /// When it closes at the latest.
        until: Millis,
        /// Members that do not hold everything yet.
        waiting_for: Vec<SiteId>,
    },
    /// Both are closed: a commit is due, if one can be had.
    Closed,
}

/// Members whose offer the round waits for: with something to give, heard, able to reach the state the round starts from (whoever was
/// outside A is catching up), except those left out once and silent since.
pub fn waited_for(s: &Standing<'_>) -> BTreeSet<SiteId> {
    s.good()
        .filter(|site| s.gives(site) && s.heard(site))
        .filter(|site| s.reaches(site) && !s.left_out_and_silent(site))
        .cloned()
        .collect()
}

/// The window of the open round.
pub fn window(s: &Standing<'_>) -> Window {
    let clock = s.clock();
    let Some(opened) = clock.quorum else { return Window::Training };
    let offers = commit::heard_offers(s);
    let Some(closed) = clock.offers_closed else {
        let waiting_for = waited_for(s).into_iter().filter(|x| !offers.contains_key(x)).collect();
        return Window::Offers { until: opened.plus(s.grace()), waiting_for };
    };
    let until = closed.plus(s.grace());
    let waiting_for: Vec<SiteId> =
        commit::holds(s).into_iter().filter(|(_, h)| h.len() < offers.len()).map(|(x, _)| x).collect();
    if s.now >= until || waiting_for.is_empty() { Window::Closed } else { Window::Holds { until, waiting_for } }
}

/// True if members reach the hub but not each other: the windows are over, several count, and no quorum is held by two.
pub fn apart(s: &Standing<'_>) -> bool {
    window(s) == Window::Closed && commit::selection(s).is_none() && s.counted().len() >= 2
}

/// When members that cannot reach each other are told apart: `sites.replaceAfterSeconds` after the quorum-th offer.
pub fn apart_until(s: &Standing<'_>) -> Option<Millis> {
    Some(s.clock().quorum?.plus(s.replace_after()))
}
