//! How much of its history a hub may forget: an object in a cluster holds the newest records and what the older ones came to,
//! not all of a run that lasts for months. Sites keep every record in their stores. Must not know where a history is kept.
use std::collections::{BTreeMap, BTreeSet};

use coalition_protocol::history::View;
use coalition_protocol::{Seq, SiteId};

use crate::checkpoints;
use crate::standing::Standing;

/// What may be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forget {
    /// What lies before this commit may go.
    pub floor: Seq,
    /// Older commits whose checkpoints are stored somewhere.
    pub kept: BTreeSet<Seq>,
    /// The commit whose state each member has.
    pub at: BTreeMap<SiteId, Seq>,
}

impl Forget {
    /// Carries it out.
    pub fn apply(&self, view: &mut View) {
        view.forget(self.floor, &self.kept, &self.at);
    }
}

/// What may be forgotten now; none if nothing may. Everything up to the oldest commit that an unretired member still has to
/// apply, as far as each of them mirrors it: so whoever is there goes on with what is left, and who comes anew reads the
/// rest from its own store or another's.
pub fn due(s: &Standing<'_>) -> Option<Forget> {
    let mut at = BTreeMap::new();
    let mut mirrored = s.view.head().seq;
    for (site, _) in s.members() {
        let report = s.report(site)?;
        let state = report.state.as_ref().filter(|st| s.view.state(st.of).is_some_and(|(d, _)| d == st.digest))?;
        mirrored = mirrored.min(report.mirrored?);
        at.insert(site.clone(), state.of);
    }
    // The two newest commits are what sites are writing or starting from (`checkpoints::keep`).
    let (second, ..) = s.view.commits().rev().nth(1)?;
    let oldest = at.values().min().copied()?.min(mirrored).min(second);
    let floor = s.view.commits().map(|(seq, ..)| seq).take_while(|seq| *seq <= oldest).last()?;
    let kept = checkpoints::stored(s).into_keys().chain(checkpoints::keep(s)).collect();
    (floor > s.view.first_commit()).then_some(Forget { floor, kept, at })
}
