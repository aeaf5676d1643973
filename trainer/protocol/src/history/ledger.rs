//! The data ledger (D24): who may use which positions of the data plan. Ranges move only by a record.
//!
//! Every position below the high water mark is in exactly one of: free, leased, used, (later: partial, skipped, lost).
//! What may be done is checked by `can_…` before anything changes; the changing half cannot fail.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Incarnation, IntervalSet, Seq, SiteId};

/// One lease: positions given to an incarnation by a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lease {
    /// To whom.
    pub site: SiteId,
    /// Under which incarnation.
    pub incarnation: Incarnation,
    /// What is left of it.
    pub ranges: IntervalSet,
}

/// The ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ledger {
    high_water: u64,
    free: IntervalSet,
    used: IntervalSet,
    #[serde(with = "by_plan")]
    leases: BTreeMap<(SiteId, Seq), Lease>,
}

/// Leases as a list of (plan, lease): the site of the key stands in the lease.
mod by_plan {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::Lease;
    use crate::{Seq, SiteId};

    type Leases = BTreeMap<(SiteId, Seq), Lease>;

    pub(super) fn serialize<S: Serializer>(leases: &Leases, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(leases.iter().map(|((_, plan), lease)| (plan, lease)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Leases, D::Error> {
        let list = Vec::<(Seq, Lease)>::deserialize(from)?;
        Ok(list.into_iter().map(|(plan, lease)| ((lease.site.clone(), plan), lease)).collect())
    }
}

impl Ledger {
    /// One past the highest position ever leased.
    pub fn high_water(&self) -> u64 {
        self.high_water
    }
    /// Positions below the high water mark that were returned.
    pub fn free(&self) -> &IntervalSet {
        &self.free
    }
    /// Positions used by committed contributions.
    pub fn used(&self) -> &IntervalSet {
        &self.used
    }
    /// Leases of `site`, by plan in rising order.
    pub fn leases<'a>(&'a self, site: &'a SiteId) -> impl Iterator<Item = (Seq, &'a Lease)> {
        self.leases
            .range((site.clone(), Seq(0))..=(site.clone(), Seq(u64::MAX)))
            .map(|((_, plan), lease)| (*plan, lease))
    }
    /// All leases.
    pub fn all_leases(&self) -> impl Iterator<Item = (Seq, &Lease)> {
        self.leases.iter().map(|((_, p), l)| (*p, l))
    }
    /// The oldest plan of which somebody still holds a lease.
    pub fn oldest_lease(&self) -> Option<Seq> {
        self.leases.keys().map(|(_, plan)| *plan).min()
    }
    /// The next `n` positions to lease: returned ones first, then new ones. `taken` is what the same plan gave others.
    pub fn next_free(&self, n: u64, taken: &IntervalSet) -> IntervalSet {
        let again = self.free.difference(taken).first(n);
        let start = self.high_water.max(taken.end());
        again.union(&IntervalSet::span(start, start.saturating_add(n - again.len())))
    }

    /// Checks that a plan may lease these parts: positions that are free or above the high water mark, each to one part,
    /// and no position below the new high water mark left out.
    pub(super) fn can_lease<'a>(
        &self,
        parts: impl IntoIterator<Item = (&'a SiteId, &'a IntervalSet)>,
    ) -> Result<(), String> {
        let mut all = IntervalSet::new();
        for (site, ranges) in parts {
            let fresh = IntervalSet::span(self.high_water, ranges.end());
            let unfree = ranges.difference(&self.free.union(&fresh)).union(&ranges.intersection(&all));
            if !unfree.is_empty() {
                return Err(format!("positions {:?} for {site} are not free", unfree.intervals()));
            }
            all = all.union(ranges);
        }
        let gap = IntervalSet::span(self.high_water, all.end()).difference(&all);
        if gap.is_empty() { Ok(()) } else { Err(format!("positions {:?} are skipped by the plan", gap.intervals())) }
    }

    /// Leases `ranges`, once [`Ledger::can_lease`] agreed to the whole plan.
    pub(super) fn lease(&mut self, site: &SiteId, incarnation: Incarnation, plan: Seq, ranges: &IntervalSet) {
        let fresh = IntervalSet::span(self.high_water, ranges.end());
        self.free = self.free.union(&fresh).difference(ranges);
        self.high_water = self.high_water.max(ranges.end());
        let lease = Lease { site: site.clone(), incarnation, ranges: ranges.clone() };
        self.leases.insert((site.clone(), plan), lease);
    }

    /// Checks that `used` is a prefix of what is left of the lease of (site, incarnation, plan).
    pub(super) fn can_consume(
        &self,
        site: &SiteId,
        incarnation: Incarnation,
        plan: Seq,
        used: &IntervalSet,
    ) -> Result<(), String> {
        let Some(lease) = self.leases.get(&(site.clone(), plan)).filter(|l| l.incarnation == incarnation) else {
            return Err(format!("{site} incarnation {incarnation} holds no lease of plan {plan}"));
        };
        if *used == lease.ranges.first(used.len()) {
            Ok(())
        } else {
            Err(format!("what {site} used of plan {plan} is not a prefix of its lease"))
        }
    }

    /// Marks `used` as used, once [`Ledger::can_consume`] agreed.
    pub(super) fn consume(&mut self, site: &SiteId, plan: Seq, used: &IntervalSet) {
        if let Some(lease) = self.leases.get_mut(&(site.clone(), plan)) {
            lease.ranges = lease.ranges.difference(used);
            self.used = self.used.union(used);
        }
    }

    /// Returns what is left of the leases of `site` from plans up to and including `upto`.
    pub(super) fn release(&mut self, site: &SiteId, upto: Seq) {
        let keys: Vec<_> =
            self.leases.range((site.clone(), Seq(0))..=(site.clone(), upto)).map(|(k, _)| k.clone()).collect();
        for k in keys {
            if let Some(l) = self.leases.remove(&k) {
                self.free = self.free.union(&l.ranges);
            }
        }
    }

    /// True if free, leased and used partition `[0, high water)`.
    pub fn is_partition(&self) -> bool {
        let mut sum = self.free.len() + self.used.len();
        let mut all = self.free.union(&self.used);
        for l in self.leases.values() {
            sum += l.ranges.len();
            all = all.union(&l.ranges);
        }
        sum == self.high_water && all == IntervalSet::span(0, self.high_water)
    }
}
