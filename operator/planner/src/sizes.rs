//! How much each member does in a round (D9): in proportion to its measured speed, so that unequal sites arrive together,
//! and never more than the budget has left.
use std::collections::BTreeSet;

use coalition_protocol::SiteId;

use crate::standing::Standing;

/// Speeds within this share of the mean count as equal. A choice: measured speeds jitter by some percent from round to round,
/// which a plan should not follow. The price is a wait of the faster sites of at most a fifth of a round (1/0.9 − 1/1.1).
const SAME_SPEED: f64 = 0.1;

/// Measured speed, tokens a second.
pub fn speed(s: &Standing<'_>, site: &SiteId) -> Option<f64> {
    let v = s.report(site)?.progress.tokens_per_second?.get();
    (v > 0.0).then_some(v)
}

/// Inner steps hᵢ for each of `members`: H × vᵢ / mean(v), within [⌈H/4⌉, 4H]. Who was not measured gets H. Also who is away
/// and planned only so that the plan has two: with fewer steps it would, once back, offer so early that the grace ends before
/// the others arrive, and they would lose the round.
pub fn steps(s: &Standing<'_>, members: &[SiteId]) -> Vec<u64> {
    let h = s.view.genesis().inner_steps;
    let speeds: Vec<Option<f64>> = members.iter().map(|m| speed(s, m)).collect();
    let known: Vec<f64> = speeds.iter().flatten().copied().collect();
    let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
    speeds
        .into_iter()
        .map(|v| match v {
            Some(v) if (v / mean - 1.0).abs() > SAME_SPEED => {
                ((h as f64 * v / mean).round() as u64).clamp(h.div_ceil(4), h.saturating_mul(4))
            }
            _ => h,
        })
        .collect()
}

/// (site, hᵢ, positions) for each member: hᵢ full batches, or, if the budget has only `left` positions, its share of those.
/// Those that are not on the newest state then get one, for what is given to them may never be done, and come back only to
/// be shared again. Some get none if there are fewer positions than members: those of `last` and those first.
pub fn share(s: &Standing<'_>, members: &[SiteId], left: u64, last: &BTreeSet<SiteId>) -> Vec<(SiteId, u64, u64)> {
    let g = s.view.genesis();
    let batch = g.batch_tokens / g.sequence_length;
    let mut full: Vec<u64> = steps(s, members).iter().map(|h| h.saturating_mul(batch)).collect();
    if sum(&full) > left {
        for (f, _) in full.iter_mut().zip(members).filter(|(_, m)| !s.current(m)) {
            *f = 1;
        }
    }
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|n| members.get(*n).is_none_or(|m| !s.current(m) || last.contains(m)));
    let positions = trim(&full, left, &order);
    positions.into_iter().zip(members).map(|(n, site)| (site.clone(), n.div_ceil(batch).max(1), n)).collect()
}

fn sum(all: &[u64]) -> u64 {
    all.iter().fold(0, |n, f| n.saturating_add(*f))
}

/// Cuts `full` down so that the sum is `left`; as it is if it fits. Everyone gets one, the first in `order` before the
/// others, and the rest goes by proportion.
pub fn trim(full: &[u64], left: u64, order: &[usize]) -> Vec<u64> {
    let sum = sum(full);
    if sum <= left {
        return full.to_vec();
    }
    let one_each = full.len() as u64;
    let (spare, wanted) = (left.saturating_sub(one_each), sum.saturating_sub(one_each).max(1));
    let share = |f: &u64| (u128::from(spare) * u128::from(f.saturating_sub(1)) / u128::from(wanted)) as u64;
    let mut out: Vec<u64> = full.iter().map(share).collect();
    let mut rest = left.saturating_sub(out.iter().sum());
    // The one each first, then what rounding down left over.
    for n in order.iter().chain(order) {
        if let (Some(x), Some(f)) = (out.get_mut(*n), full.get(*n))
            && rest > 0
            && *x < *f
        {
            *x += 1;
            rest -= 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trimming_keeps_the_sum_and_proportion() {
        let order = [0, 1, 2];
        assert_eq!(trim(&[8, 8], 100, &order), [8, 8]);
        assert_eq!(trim(&[8, 8], 9, &order), [5, 4]);
        assert_eq!(trim(&[30, 10], 20, &order), [15, 5]);
        assert_eq!(trim(&[8, 8, 8], 0, &order), [0, 0, 0], "a plan of only late work");
        assert_eq!(trim(&[8, 8, 8], 2, &[2, 0, 1]), [1, 0, 1]);
        for left in 0..60 {
            let t = trim(&[40, 15, 5], left, &order);
            assert_eq!(t.iter().sum::<u64>(), left, "{t:?}");
            assert!(t.iter().zip([40, 15, 5]).all(|(n, full)| *n <= full), "{left}: {t:?}");
        }
    }
}
