//! How much each member does in a round (D9): in proportion to its measured speed, so that unequal sites arrive together,
//! and never more than the budget has left.
use coalition_protocol::SiteId;

use crate::standing::Standing;

/// Speeds within this share of the mean count as equal: measured speeds jitter by some percent from round to round, and a
/// plan should not follow that.
const SAME_SPEED: f64 = 0.1;

/// Measured speed, tokens a second.
pub fn speed(s: &Standing<'_>, site: &SiteId) -> Option<f64> {
    let v = s.report(site)?.progress.tokens_per_second?.get();
    (v > 0.0).then_some(v)
}

/// Inner steps hᵢ for each of `members`: H × vᵢ / mean(v), within [⌈H/4⌉, 4H]. Who was not measured gets H. Who is not on
/// the newest state, and is planned only so that the plan has two, gets the least.
pub fn steps(s: &Standing<'_>, members: &[SiteId]) -> Vec<u64> {
    let h = s.view.genesis().inner_steps;
    let speeds: Vec<Option<f64>> = members.iter().map(|m| speed(s, m).filter(|_| s.current(m))).collect();
    let known: Vec<f64> = speeds.iter().flatten().copied().collect();
    let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
    let begun = s.view.plans_issued() > 0;
    members
        .iter()
        .zip(speeds)
        .map(|(m, v)| {
            if begun && !s.current(m) {
                return least(h);
            }
            match v {
                Some(v) if (v / mean - 1.0).abs() > SAME_SPEED => {
                    ((h as f64 * v / mean).round() as u64).clamp(least(h), h.saturating_mul(4))
                }
                _ => h,
            }
        })
        .collect()
}

const fn least(h: u64) -> u64 {
    h.div_ceil(4)
}

/// (site, hᵢ, positions) for each member: hᵢ full batches, or, if the budget has only `left` positions, its share of those.
/// Everyone gets at least one position.
pub fn share(s: &Standing<'_>, members: &[SiteId], left: u64) -> Vec<(SiteId, u64, u64)> {
    let g = s.view.genesis();
    let batch = g.batch_tokens / g.sequence_length;
    let steps = steps(s, members);
    let full: Vec<u64> = steps.iter().map(|h| h.saturating_mul(batch)).collect();
    trim(&full, left).into_iter().zip(members).map(|(n, site)| (site.clone(), n.div_ceil(batch).max(1), n)).collect()
}

/// Cuts `full` down so that the sum is `left`, in proportion, with at least one each; as it is if it fits.
pub fn trim(full: &[u64], left: u64) -> Vec<u64> {
    let sum: u64 = full.iter().sum();
    if sum <= left || sum == 0 {
        return full.to_vec();
    }
    let mut out: Vec<u64> =
        full.iter().map(|f| (u128::from(left) * u128::from(*f) / u128::from(sum)) as u64).map(|n| n.max(1)).collect();
    // What rounding down left over goes to the first ones.
    let mut rest = left.saturating_sub(out.iter().sum());
    for (n, f) in out.iter_mut().zip(full) {
        let more = rest.min(f - *n);
        *n += more;
        rest -= more;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trimming_keeps_the_sum_and_proportion() {
        assert_eq!(trim(&[8, 8], 100), [8, 8]);
        assert_eq!(trim(&[8, 8], 9), [5, 4]);
        assert_eq!(trim(&[30, 10], 20), [15, 5]);
        assert_eq!(trim(&[8, 8, 8], 0), [1, 1, 1], "a plan of only late work still names a position each");
        for left in 3..60 {
            let t = trim(&[40, 15, 5], left);
            assert!(t.iter().all(|n| *n >= 1) && t.iter().sum::<u64>() <= left + 2, "{left}: {t:?}");
        }
    }
}
