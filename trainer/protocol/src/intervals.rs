//! Sets of positions as sorted, disjoint, non-touching half-open intervals: how the data ledger counts (D24).
use serde::{Deserialize, Serialize, de};

/// A half-open range of positions `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Interval(pub u64, pub u64);

/// A set of positions. Its list of intervals is sorted, and no two of them overlap or touch, so equal sets have equal bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct IntervalSet(Vec<Interval>);

/// A list of intervals that is not sorted, or holds an empty, overlapping or touching one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("interval {1:?} at index {0} is empty, out of order, or touches the one before it")]
pub struct NotNormal(pub usize, pub Interval);

impl IntervalSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// `[start, end)`, or the empty set if that holds nothing.
    pub fn span(start: u64, end: u64) -> Self {
        if start < end { Self(vec![Interval(start, end)]) } else { Self::new() }
    }

    /// Takes a list that must already be normal.
    pub fn from_normal(list: Vec<Interval>) -> Result<Self, NotNormal> {
        let mut last: Option<u64> = None;
        for (n, i) in list.iter().enumerate() {
            if i.0 >= i.1 || last.is_some_and(|end| i.0 <= end) {
                return Err(NotNormal(n, *i));
            }
            last = Some(i.1);
        }
        Ok(Self(list))
    }

    /// The intervals, in order.
    pub fn intervals(&self) -> &[Interval] {
        &self.0
    }

    /// How many positions it holds.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|i| i.1 - i.0).sum()
    }

    /// True if it holds none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One past the highest position, 0 when empty.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |i| i.1)
    }

    /// Every position, in rising order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().flat_map(|i| i.0..i.1)
    }

    /// True if `p` is in the set.
    pub fn contains(&self, p: u64) -> bool {
        let n = self.0.partition_point(|i| i.1 <= p);
        self.0.get(n).is_some_and(|i| i.0 <= p)
    }

    fn sweep(&self, other: &Self, keep: impl Fn(bool, bool) -> bool) -> Self {
        let mut cuts: Vec<u64> = self.0.iter().chain(&other.0).flat_map(|i| [i.0, i.1]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let (mut a, mut b) = (0, 0);
        let mut out: Vec<Interval> = Vec::new();
        for w in cuts.windows(2) {
            while self.0.get(a).is_some_and(|i| i.1 <= w[0]) {
                a += 1;
            }
            while other.0.get(b).is_some_and(|i| i.1 <= w[0]) {
                b += 1;
            }
            let ina = self.0.get(a).is_some_and(|i| i.0 <= w[0]);
            let inb = other.0.get(b).is_some_and(|i| i.0 <= w[0]);
            if keep(ina, inb) {
                match out.last_mut() {
                    Some(l) if l.1 == w[0] => l.1 = w[1],
                    _ => out.push(Interval(w[0], w[1])),
                }
            }
        }
        Self(out)
    }

    /// Positions in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.sweep(other, |a, b| a || b)
    }

    /// Positions in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.sweep(other, |a, b| a && b)
    }

    /// Positions in `self` that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.sweep(other, |a, b| a && !b)
    }

    /// True if every position of `self` is in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.difference(other).is_empty()
    }

    /// The lowest `n` positions (all of them if there are fewer).
    #[must_use]
    pub fn first(&self, n: u64) -> Self {
        let mut left = n;
        let mut out = Vec::new();
        for i in &self.0 {
            if left == 0 {
                break;
            }
            let take = left.min(i.1 - i.0);
            out.push(Interval(i.0, i.0 + take));
            left -= take;
        }
        Self(out)
    }

    /// The position at index `n` in rising order.
    pub fn nth(&self, n: u64) -> Option<u64> {
        let mut left = n;
        for i in &self.0 {
            let len = i.1 - i.0;
            if left < len {
                return Some(i.0 + left);
            }
            left -= len;
        }
        None
    }
}

impl<'de> Deserialize<'de> for IntervalSet {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::from_normal(Vec::deserialize(d)?).map_err(de::Error::custom)
    }
}

impl FromIterator<u64> for IntervalSet {
    fn from_iter<T: IntoIterator<Item = u64>>(iter: T) -> Self {
        let mut all: Vec<u64> = iter.into_iter().collect();
        all.sort_unstable();
        all.dedup();
        let mut out: Vec<Interval> = Vec::new();
        for p in all {
            match out.last_mut() {
                Some(l) if l.1 == p => l.1 += 1,
                _ => out.push(Interval(p, p + 1)),
            }
        }
        Self(out)
    }
}
