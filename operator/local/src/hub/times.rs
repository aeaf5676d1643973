//! Where each site's time went, counted from pass to pass of the hub. Must not know why a site does what it does.
//!
//! A site's time is counted up to when it was last heard of. What comes after is counted once it is heard of again, to what
//! it was seen doing, or once it is known to be silent, as time away: so the time until a silence is noticed is no training.
use std::collections::BTreeMap;

use coalition_planner::Millis;
use coalition_planner::status::SiteState;
use coalition_protocol::SiteId;

use crate::hub::snapshot::Spent;

/// Times of all sites.
#[derive(Debug)]
pub struct Times {
    /// As counted so far.
    pub spent: BTreeMap<SiteId, Spent>,
    /// Up to when each site's time is counted.
    counted: BTreeMap<SiteId, Millis>,
    last: Millis,
}

impl Times {
    /// Goes on from `spent`.
    pub const fn new(spent: BTreeMap<SiteId, Spent>, now: Millis) -> Self {
        Self { spent, counted: BTreeMap::new(), last: now }
    }

    /// Counts up to `now`: for each site what it was seen doing at the pass before, and when it was last heard of.
    pub fn count<'a>(&mut self, sites: impl IntoIterator<Item = (&'a SiteId, SiteState, Option<Millis>)>, now: Millis) {
        let last = std::mem::replace(&mut self.last, now);
        for (site, state, heard) in sites {
            let counted = self.counted.entry(site.clone()).or_insert(last);
            let away = matches!(state, SiteState::Silent | SiteState::SetAside | SiteState::Retired);
            let until = if away { now } else { heard.unwrap_or(last).min(now) };
            let passed = until.since(*counted) as f64 / 1000.0;
            *counted = until.max(*counted);
            let spent = self.spent.entry(site.clone()).or_default();
            match state {
                SiteState::Training => spent.training += passed,
                SiteState::Offered => spent.waiting += passed,
                SiteState::Idle | SiteState::Starting | SiteState::CatchingUp => spent.starting += passed,
                SiteState::Silent | SiteState::SetAside | SiteState::Retired => spent.away += passed,
                SiteState::Stopped | SiteState::Finished => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Millis {
        Millis(seconds * 1000)
    }

    #[test]
    fn the_time_until_a_silence_is_noticed_is_time_away() {
        let site: SiteId = "north".parse().unwrap();
        let mut t = Times::new(BTreeMap::new(), at(100));
        let mut pass = |state, heard, now| {
            t.count([(&site, state, Some(at(heard)))], at(now));
            t.spent[&site]
        };
        pass(SiteState::Training, 109, 110);
        // Killed at 110, looked at every ten seconds, noticed at 140.
        for now in [120, 130, 140] {
            assert_eq!(pass(SiteState::Training, 110, now).training.to_bits(), 10f64.to_bits());
        }
        let spent = pass(SiteState::Silent, 110, 150);
        assert_eq!((spent.training, spent.away), (10.0, 40.0));
        // Heard again at 155: silent until it was seen to be back, then starting.
        pass(SiteState::Silent, 155, 156);
        let spent = pass(SiteState::Starting, 159, 160);
        assert_eq!((spent.training, spent.away, spent.starting), (10.0, 46.0, 3.0));
        // All of it, up to the last word of the site.
        assert_eq!(spent.training + spent.away + spent.starting, 159.0 - 100.0);
    }

    #[test]
    fn what_was_pending_belongs_to_what_the_site_did() {
        let site: SiteId = "north".parse().unwrap();
        let mut t = Times::new(BTreeMap::new(), at(0));
        t.count([(&site, SiteState::Offered, Some(at(1)))], at(5));
        t.count([(&site, SiteState::Offered, Some(at(9)))], at(10));
        // A clock that the site's word is ahead of counts nothing twice.
        t.count([(&site, SiteState::Offered, Some(at(12)))], at(10));
        assert_eq!(t.spent[&site], Spent { waiting: 10.0, ..Spent::default() });
        t.count([(&site, SiteState::Finished, Some(at(20)))], at(20));
        assert_eq!(t.spent[&site], Spent { waiting: 10.0, ..Spent::default() });
    }
}
