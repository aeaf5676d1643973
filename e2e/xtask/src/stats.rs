//! The few statistics results are stated in: median, quartiles, and the paired ratio with an interval.

/// Middle value; the mean of the two middle ones for an even count. `None` without values.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The quantile `q` in 0..=1 by linear interpolation between order statistics (type 7 of Hyndman and Fan, 1996).
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let place = q.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64))
}

/// Distance between the quartiles.
pub fn iqr(values: &[f64]) -> Option<f64> {
    Some(quantile(values, 0.75)? - quantile(values, 0.25)?)
}

/// Median of the ratios `ours / peer` of paired rounds, with a 95 % bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// Median of the paired ratios.
    pub median: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// Resamplings of the bootstrap: enough that the ends move in the third digit only.
const RESAMPLES: usize = 2000;

/// The paired ratio of two equally long series; `None` when they are empty or of different length.
pub fn paired_ratio(ours: &[f64], peer: &[f64]) -> Option<Ratio> {
    if ours.len() != peer.len() || ours.is_empty() {
        return None;
    }
    let ratios: Vec<f64> = ours.iter().zip(peer).map(|(a, b)| a / b).collect();
    let mut random = SplitMix(0x5EED);
    let mut medians = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let sample: Vec<f64> = ratios.iter().map(|_| ratios[(random.next() % ratios.len() as u64) as usize]).collect();
        medians.push(median(&sample)?);
    }
    Some(Ratio { median: median(&ratios)?, low: quantile(&medians, 0.025)?, high: quantile(&medians, 0.975)? })
}

/// SplitMix64 (Steele, Lea, Flood 2014): a fixed sequence, so that a result file can be computed again.
pub struct SplitMix(pub u64);

impl SplitMix {
    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quartiles_of_known_series() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        // R: quantile(c(1, 2, 3, 4, 10), c(0.25, 0.75)) gives 2 and 4.
        assert_eq!(iqr(&[10.0, 1.0, 4.0, 2.0, 3.0]), Some(2.0));
    }

    #[test]
    fn the_interval_holds_the_ratio_and_is_the_same_each_time() {
        let ours: Vec<f64> = (0..20).map(|i| 0.9 + 0.01 * f64::from(i % 5)).collect();
        let peer = vec![1.0; 20];
        let ratio = paired_ratio(&ours, &peer).unwrap();
        assert!(ratio.low <= ratio.median && ratio.median <= ratio.high && ratio.low >= 0.9 && ratio.high <= 0.94);
        assert_eq!(Some(ratio), paired_ratio(&ours, &peer));
        assert_eq!(paired_ratio(&ours, &[1.0]), None);
    }

    #[test]
    fn the_generator_gives_the_published_first_value() {
        // First output for seed 0 of the authors' reference code.
        assert_eq!(SplitMix(0).next(), 0xE220_A839_7B1D_CDAF);
    }
}
