//! What may leave a site's store (D28). Pure.
//!
//! Roots: open plans, the hub's list of run checkpoints to keep, and, so that one damaged base does not strand a site, the
//! two newest run checkpoints here with every contribution after the older of them.
use std::collections::BTreeSet;

use coalition_protocol::Seq;
use coalition_protocol::history::{Commit, View};
use coalition_protocol::keys::ContributionKey;

/// Run checkpoints a site keeps whatever the hub says.
const BASES_KEPT: usize = 2;

/// What may go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Run checkpoints.
    pub checkpoints: Vec<Seq>,
    /// Contributions.
    pub contributions: Vec<ContributionKey>,
}

/// Works out what may go. `here` is what stands in the store; `keep` is what the hub wants kept.
pub fn garbage(
    view: &View,
    keep: &[Seq],
    checkpoints: &BTreeSet<Seq>,
    contributions: impl IntoIterator<Item = ContributionKey>,
) -> Garbage {
    let newest: BTreeSet<Seq> = checkpoints.iter().rev().take(BASES_KEPT).copied().collect();
    let going = checkpoints.iter().copied().filter(|s| !newest.contains(s) && !keep.contains(s)).collect();
    // Replay may start at the second newest base, at the oldest when there are fewer, else at genesis.
    let oldest = if checkpoints.len() >= BASES_KEPT { newest.first().copied() } else { None }.unwrap_or(Seq(0));

    let mut roots: BTreeSet<&ContributionKey> = BTreeSet::new();
    for (seq, _, commit) in view.commits() {
        if let Commit::Outer(o) = commit
            && seq > oldest
        {
            roots.extend(o.included.iter().map(|i| &i.key));
        }
    }
    let open: BTreeSet<Seq> = view.open_plans().map(|(s, _)| s).collect();
    // A plan this view does not know is newer than the view: not ours to judge.
    let known = |k: &ContributionKey| k.plan <= view.head().seq;
    let goes = |k: &ContributionKey| known(k) && !open.contains(&k.plan) && !roots.contains(k);
    Garbage { checkpoints: going, contributions: contributions.into_iter().filter(goes).collect() }
}
