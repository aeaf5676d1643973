//! Whether the newest committed state can still be reached by the members that are left (D14, "Applicable").
use std::collections::BTreeSet;

use coalition_protocol::history::Commit;
use coalition_protocol::{Seq, SiteId};

use crate::standing::Standing;

/// A commit that no remaining member can apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The newest commit that can still be reached.
    pub reachable: Seq,
    /// The first commit after it, of which nobody holds what it takes.
    pub missing: Seq,
}

/// What would be lost if the incarnations of `without` were retired; none if the newest state stays reachable.
///
/// Members that are unknown are taken to have what the history says they hold: unknown is not gone. Of those that speak, the
/// present word counts: a store that was rolled back together with its neighbour holds nothing of the newest rounds.
pub fn lost(s: &Standing<'_>, without: &BTreeSet<SiteId>) -> Option<Lost> {
    let left = || s.members().filter(|(site, _)| !without.contains(*site));
    // The farthest state someone has, then from commit to commit as long as someone holds what the next one takes. The
    // initial state is a function of the seed.
    let stored = left().filter_map(|(site, _)| s.report(site)).flat_map(|r| &r.checkpoints);
    let verified = stored.filter(|c| s.view.state(c.seq).is_some_and(|(d, _)| d == c.state)).map(|c| c.seq);
    let reached = left().filter_map(|(site, _)| s.reach_shown(site));
    let mut at = verified.chain(reached).max().unwrap_or(Seq(0));
    if at < s.view.first_commit() {
        // Nothing was forgotten while somebody needed it: those who could go on from here have all been retired.
        return Some(Lost { reachable: at, missing: s.view.first_commit() });
    }
    for (seq, _, commit) in s.view.commits_after(at) {
        let held = left().any(|(site, m)| match commit {
            Commit::Genesis => true,
            Commit::Outer(o) => m.joined_at < seq && o.holders.contains(site) && s.shows(site, o),
            Commit::Step(x) => x.site == *site && x.incarnation == m.incarnation,
        });
        if !held {
            return Some(Lost { reachable: at, missing: seq });
        }
        at = seq;
    }
    None
}

/// True if retiring `site` would lose committed work that the others cannot reach.
pub fn irreplaceable(s: &Standing<'_>, site: &SiteId) -> bool {
    has_the_only_origin(s, site)
        || (lost(s, &BTreeSet::new()).is_none() && lost(s, &BTreeSet::from([site.clone()])).is_some())
}

/// True if, before the first commit, `site` alone has the adopted state that the run begins from. Those that do not speak are
/// taken to lack it: nothing says that they have it.
fn has_the_only_origin(s: &Standing<'_>, site: &SiteId) -> bool {
    let has = |x: &SiteId| s.report(x).is_some_and(|r| r.checkpoints.iter().any(|c| c.seq == Seq(0)));
    let begun = s.view.last_commit().0 > Seq(0);
    s.view.genesis().origin.is_some() && !begun && has(site) && !s.members().any(|(x, _)| x != site && has(x))
}
