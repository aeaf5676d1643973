//! The heart of D14, on names of any kind, so that the model check runs this very function: from what each heard member
//! holds, which contributions a commit includes and who holds all of them.
use std::collections::{BTreeMap, BTreeSet};

/// What a commit includes, and who holds all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection<S, K> {
    /// S: the contributions.
    pub included: BTreeSet<K>,
    /// A: every counted member that holds all of S.
    pub holders: BTreeSet<S>,
}

/// S = the heaviest Hᵢ ∩ Hⱼ over pairs of counted members, or Hᵢ if one alone counts; A = all that hold S.
///
/// `holds` has Hᵢ for every counted member: the valid offers it holds in its own store. Between sets of equal weight the
/// one with more contributions wins, then the one that is first in order, so that the answer does not depend on who
/// answered first. None if nobody counts or nothing is held.
pub fn select<S: Ord + Clone, K: Ord + Clone>(
    holds: &BTreeMap<S, BTreeSet<K>>,
    weight: impl Fn(&K) -> u64,
) -> Option<Selection<S, K>> {
    let sets: Vec<&BTreeSet<K>> = holds.values().collect();
    let candidates: Vec<BTreeSet<K>> = match sets.as_slice() {
        [] => return None,
        [alone] => vec![(*alone).clone()],
        many => (0..many.len())
            .flat_map(|i| (i + 1..many.len()).map(move |j| (i, j)))
            .map(|(i, j)| many[i].intersection(many[j]).cloned().collect())
            .collect(),
    };
    let total = |s: &BTreeSet<K>| s.iter().map(&weight).sum::<u64>();
    let mut best: Option<BTreeSet<K>> = None;
    for c in candidates.into_iter().filter(|c| !c.is_empty()) {
        let better = best.as_ref().is_none_or(|b| {
            let (x, y) = ((total(&c), c.len()), (total(b), b.len()));
            x > y || (x == y && c < *b)
        });
        if better {
            best = Some(c);
        }
    }
    let included = best?;
    let holders = holds.iter().filter(|(_, h)| included.is_subset(h)).map(|(s, _)| s.clone()).collect();
    Some(Selection { included, holders })
}

/// Who stays when members reach the hub but not each other: the one with the heaviest Hᵢ of at least `quorum`
/// contributions, and all that hold the same. Returns those on the lighter side (D14, `PeersUnreachable`).
pub fn lighter_side<S: Ord + Clone, K: Ord + Clone>(
    holds: &BTreeMap<S, BTreeSet<K>>,
    weight: impl Fn(&K) -> u64,
    quorum: usize,
) -> BTreeSet<S> {
    let total = |s: &BTreeSet<K>| s.iter().map(&weight).sum::<u64>();
    let mut best: Option<&BTreeSet<K>> = None;
    for h in holds.values().filter(|h| h.len() >= quorum.max(1)) {
        if best.is_none_or(|b| (total(h), h.len()) > (total(b), b.len())) {
            best = Some(h);
        }
    }
    let Some(best) = best else { return BTreeSet::new() };
    holds.iter().filter(|(_, h)| !best.is_subset(h)).map(|(s, _)| s.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(list: &[(&'static str, &[u8])]) -> BTreeMap<&'static str, BTreeSet<u8>> {
        list.iter().map(|(s, h)| (*s, h.iter().copied().collect())).collect()
    }

    #[test]
    fn the_heaviest_pair_wins_and_everyone_who_holds_it_is_in_a() {
        let h = world(&[("a", &[1, 2]), ("b", &[1, 2, 3]), ("c", &[2, 3])]);
        let s = select(&h, |k| u64::from(*k)).unwrap();
        assert_eq!(s.included, BTreeSet::from([2, 3]));
        assert_eq!(s.holders, BTreeSet::from(["b", "c"]));
    }

    #[test]
    fn one_alone_counts_with_all_it_holds_and_two_apart_have_nothing() {
        assert_eq!(select(&world(&[("a", &[1, 4])]), |_| 1).unwrap().included, BTreeSet::from([1, 4]));
        assert_eq!(select(&world(&[("a", &[1]), ("b", &[2])]), |_| 1), None);
        assert_eq!(select(&world(&[]), |_| 1), None);
    }

    #[test]
    fn the_lighter_side_is_who_cannot_hold_the_heavier() {
        let h = world(&[("a", &[1]), ("b", &[2]), ("c", &[2])]);
        assert_eq!(lighter_side(&h, |k| u64::from(*k), 1), BTreeSet::from(["a"]));
        assert_eq!(lighter_side(&h, |k| u64::from(*k), 2), BTreeSet::new(), "no side has a quorum");
    }
}
