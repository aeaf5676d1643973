//! What a site's store must hold, and what of it it lacks. Pure: from what the hub asks, the history, and what is there.
use std::collections::{BTreeMap, BTreeSet};

use coalition_protocol::history::{Commit, View};
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::messages::{Offer, SiteRun, StoredCheckpoint};
use coalition_protocol::record::Included;
use coalition_protocol::{Digest, Seq, SiteId};

/// Vectors in a base: θ and u. More missing contributions than this cost more to fetch than the base does.
const VECTORS_OF_A_BASE: usize = 2;

/// A contribution the store should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// What it must be: everything its manifest has to agree with.
    pub offer: Offer,
    /// Who has it, the maker first.
    pub holders: Vec<SiteId>,
    /// The commit that includes it; none while its plan is open.
    pub commit: Option<Seq>,
}

/// What the store should hold, as far as it is known now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Contributions, those of commits first and in order.
    pub contributions: Vec<Want>,
    /// A run checkpoint to fetch because replaying from what is here is impossible or costs more.
    pub base: Option<Seq>,
}

/// What the store holds already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// Contributions, complete and verified, with their digests.
    pub contributions: BTreeSet<(ContributionKey, Digest)>,
    /// Run checkpoints, complete and verified.
    pub checkpoints: BTreeMap<Seq, StoredCheckpoint>,
    /// Wanted contributions that every holder said it does not have any more.
    pub nowhere: BTreeSet<ContributionKey>,
    /// Run checkpoints that no peer gave since the newest commit: to keep one does not mean that it was made.
    pub absent: BTreeSet<Seq>,
}

/// Works out what the store should hold: contributions of every commit after the newest base here, so that the newest state
/// can be replayed at any time (D20), and every valid offer of an open plan (D13).
pub fn wants(run: &SiteRun, view: &View, stock: &Stock) -> Wants {
    let elements = view.genesis().elements;
    let newest = stock.checkpoints.keys().next_back().copied().unwrap_or(Seq(0));
    let lacks = |w: &Want| !stock.contributions.contains(&(w.offer.key.clone(), w.offer.digest));
    let after = |base: Seq| -> Vec<Want> {
        let commits = view.commits().filter(move |(s, ..)| *s > base);
        commits.flat_map(|(seq, _, commit)| of_commit(seq, commit, elements)).collect()
    };

    let missing =
        |kept: Seq| after(newest).into_iter().filter(|w| w.commit <= Some(kept) && lacks(w)).collect::<Vec<_>>();
    let cheaper = |kept: Seq| missing(kept).len() > VECTORS_OF_A_BASE;
    let the_only_way = |kept: Seq| {
        // A step's state is the site checkpoint of its one member: nothing else can replay it.
        let step = view.commits().any(|(s, _, c)| s > newest && s <= kept && matches!(c, Commit::Step(_)));
        step || missing(kept).iter().any(|w| stock.nowhere.contains(&w.offer.key))
    };
    let newer = || run.keep.iter().copied().filter(|k| *k > newest && *k <= view.head().seq);
    let hoped = newer().filter(|k| !stock.absent.contains(k)).max();
    let hoped = hoped.filter(|k| the_only_way(*k) || cheaper(*k));
    // One that nobody gave is asked for again only if nothing else helps, and never instead of contributions.
    let base = hoped.or_else(|| newer().max().filter(|k| the_only_way(*k)));

    let mut contributions = after(hoped.unwrap_or(newest));
    let open = run.offers.iter().filter(|n| is_valid(&n.offer, view));
    contributions.extend(open.map(|n| {
        let mut holders = vec![n.offer.key.site.clone()];
        holders.extend(n.holders.iter().filter(|h| **h != n.offer.key.site).cloned());
        Want { offer: n.offer.clone(), holders, commit: None }
    }));
    contributions.retain(lacks);
    Wants { contributions, base }
}

/// The keys of everything that open plans and commits not yet applied need: what a site reports as held.
pub fn reportable(view: &View, applied: Option<Seq>, stock: &Stock) -> Vec<(ContributionKey, Digest)> {
    let open: BTreeSet<Seq> = view.open_plans().map(|(s, _)| s).collect();
    let mut committed = BTreeSet::new();
    for (seq, _, commit) in view.commits() {
        if let Commit::Outer(o) = commit
            && applied.is_none_or(|a| seq > a)
        {
            committed.extend(o.included.iter().map(|i| i.key.clone()));
        }
    }
    let counts = |k: &ContributionKey| open.contains(&k.plan) || committed.contains(k);
    stock.contributions.iter().filter(|(k, _)| counts(k)).cloned().collect()
}

/// True if an offer could count: its plan is open and gives its maker a part under this fence, and it has the right size.
fn is_valid(offer: &Offer, view: &View) -> bool {
    let key = &offer.key;
    let planned = view.open_plans().any(|(seq, plan)| {
        seq == key.plan && plan.part(&key.site).is_some_and(|part| part.incarnation == key.incarnation)
    });
    planned
        && key.epoch == view.head().epoch
        && view.incarnation(&key.site) == Some(key.incarnation)
        && key.fragment < view.genesis().fragments
        && offer.bytes == view.genesis().elements * 4
}

fn of_commit(seq: Seq, commit: &Commit, elements: u64) -> Vec<Want> {
    let Commit::Outer(o) = commit else { return Vec::new() };
    let want = |i: &Included| {
        let mut holders = vec![i.key.site.clone()];
        holders.extend(o.holders.iter().filter(|h| **h != i.key.site).cloned());
        let offer = Offer {
            key: i.key.clone(),
            digest: i.digest,
            bytes: elements * 4,
            tokens: i.tokens,
            used: i.used.clone(),
            batch_hash: i.batch_hash,
            norm: i.norm,
        };
        Want { offer, holders, commit: Some(seq) }
    };
    o.included.iter().map(want).collect()
}
