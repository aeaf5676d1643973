//! What each member is at this instant: heard, current, able to reach the newest state, waited for.
use std::collections::BTreeSet;

use coalition_protocol::history::{Commit, Member, View};
use coalition_protocol::messages::{STORE_FAILED, SiteReport};
use coalition_protocol::record::{Outer, Plan};
use coalition_protocol::{Seq, SiteId};

use crate::memory::{Memory, RoundClock};
use crate::plans;
use crate::time::{Millis, seconds};
use crate::world::{Observed, World};

/// A gang that has done nothing for less than this does not hang, whatever `sites.replaceAfterSeconds` says: the write of a
/// large checkpoint may take as long. Milliseconds.
pub(crate) const STILL: u64 = 120_000;

/// A world with its history at an instant.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The world.
    pub world: &'a World,
    /// Its history.
    pub view: &'a View,
    /// What follows from earlier observations, folded up to `now`.
    pub memory: &'a Memory,
    /// The instant.
    pub now: Millis,
}

impl<'a> Standing<'a> {
    /// The world at an instant.
    pub const fn new(world: &'a World, view: &'a View, memory: &'a Memory, now: Millis) -> Self {
        Self { world, view, memory, now }
    }

    /// The round grace in force, milliseconds.
    pub fn grace(&self) -> u64 {
        self.view.current_plan().map_or_else(|| plans::grace(self), |(_, p)| p.grace_millis)
    }
    /// Silence after which an incarnation is retired, milliseconds.
    pub fn replace_after(&self) -> u64 {
        seconds(self.world.spec.sites.replace_after_seconds)
    }
    /// Contributions the open plan needs; unreachable without one.
    pub fn quorum(&self) -> usize {
        self.plan().map_or(usize::MAX, |(_, p)| p.quorum as usize)
    }
    /// The open plan of the next round.
    pub fn plan(&self) -> Option<(Seq, &'a Plan)> {
        self.view.current_plan()
    }
    /// The clock of the open round.
    pub fn clock(&self) -> RoundClock {
        let none = RoundClock { plan: Seq(0), seen: self.now, first_offer: None, quorum: None, offers_closed: None };
        self.memory.round.filter(|r| self.plan().is_some_and(|(s, _)| s == r.plan)).unwrap_or(none)
    }
    /// When this hub first saw the newest commit.
    pub fn committed_at(&self) -> Millis {
        self.memory.commit.map_or(self.now, |(_, at)| at)
    }

    /// The member of this name, unless retired.
    pub fn member(&self, site: &SiteId) -> Option<&'a Member> {
        self.view.members().get(site).filter(|m| !m.retired)
    }
    /// Unretired members.
    pub fn members(&self) -> impl Iterator<Item = (&'a SiteId, &'a Member)> {
        self.view.members().iter().filter(|(_, m)| !m.retired)
    }
    /// Unretired members that are not set aside.
    pub fn good(&self) -> impl Iterator<Item = &'a SiteId> {
        self.members().filter(|(_, m)| m.set_aside.is_none()).map(|(s, _)| s)
    }
    /// True if `site` is a member in good standing under the incarnation it has a part for in the open plan.
    pub fn planned(&self, site: &SiteId) -> bool {
        let part = self.plan().and_then(|(_, p)| p.part(site));
        part.is_some_and(|p| self.member(site).is_some_and(|m| m.in_good_standing() && m.incarnation == p.incarnation))
    }

    /// True if the open plan wants something of `site`: positions, or late work.
    pub fn gives(&self, site: &SiteId) -> bool {
        let part = self.plan().and_then(|(seq, p)| Some((seq, p.part(site)?)));
        self.planned(site) && part.is_some_and(|(seq, p)| self.view.has_to_give(seq, p))
    }

    /// The report of `site` under the incarnation in force and the present leader.
    pub fn report(&self, site: &SiteId) -> Option<&'a SiteReport> {
        let member = self.member(site)?;
        let report = self.world.sites.get(site)?.report.value()?;
        (report.incarnation == member.incarnation && report.epoch == self.view.head().epoch).then_some(report)
    }
    /// Since when nothing was heard of `site`; none if this world does not know it.
    pub fn silent_since(&self, site: &SiteId) -> Option<Millis> {
        Some(match &self.world.sites.get(site)?.report {
            Observed::Present { last_seen, .. } => *last_seen,
            Observed::Unknown { since } => *since,
        })
    }
    /// For how long its gang has done nothing though the site speaks, milliseconds, by the site's own clock.
    pub fn still(&self, site: &SiteId) -> u64 {
        self.report(site).map_or(0, |r| seconds(r.gang.still_seconds))
    }
    /// True if its gang hangs: it has done nothing for as long as a silent site is given, and two minutes at the least.
    pub fn hangs(&self, site: &SiteId) -> bool {
        self.still(site) >= self.replace_after().max(STILL)
    }
    /// What its own store does not take just now, in words; none if it takes all.
    pub fn store_failure(&self, site: &SiteId) -> Option<&'a str> {
        self.report(site)?.refusals.get(STORE_FAILED).map(String::as_str)
    }
    /// True if its own store has taken nothing for as long as a silent site is given.
    pub fn store_fails_for_good(&self, site: &SiteId) -> bool {
        let since = self.memory.store_fails.get(site).filter(|_| self.store_failure(site).is_some());
        since.is_some_and(|t| self.now.since(*t) >= self.replace_after())
    }
    /// Heard, and yet it cannot do its part.
    pub fn hindered(&self, site: &SiteId) -> bool {
        self.still(site) > 0 || self.store_failure(site).is_some()
    }
    /// Heard: its report reached the hub within the length of a window, by the hub's clock.
    pub fn heard(&self, site: &SiteId) -> bool {
        self.report(site).is_some_and(|r| !r.store_lost)
            && self.silent_since(site).is_some_and(|t| self.now.since(t) < self.grace())
    }
    /// Left out of a commit once, and nothing heard of it since (D14), or nothing that would let it take part.
    pub fn left_out_and_silent(&self, site: &SiteId) -> bool {
        let silent = |at: &Millis| self.silent_since(site).is_none_or(|t| t <= *at);
        self.member(site).is_some_and(|m| m.missed > 0)
            && (self.hindered(site) || self.memory.left_out.get(site).is_some_and(silent))
    }

    /// True if its report is of the newest commit's state: equal to the agreed digest, if there is one.
    ///
    /// Records after a commit change no state, so the head it shows may be any of them.
    pub fn on_base(&self, site: &SiteId) -> bool {
        let (newest, ..) = self.view.last_commit();
        let Some(report) = self.report(site) else { return false };
        report.head.is_some_and(|h| h.seq >= newest && self.view.knows(h))
            && report
                .state
                .as_ref()
                .is_some_and(|s| s.of == newest && self.view.state(newest).is_none_or(|(digest, _)| digest == s.digest))
    }
    /// Current: heard, and on the newest state. Else it is catching up.
    pub fn current(&self, site: &SiteId) -> bool {
        self.heard(site) && self.on_base(site)
    }

    /// The newest commit whose state `site` can compute from its own store, as far as the hub can tell: one whose state it
    /// reported under this incarnation, or the initial state (a function of the seed), and then every commit that names it
    /// as holder. None if the incarnation is younger than a commit it would need.
    pub fn reach(&self, site: &SiteId) -> Option<Seq> {
        self.reach_with(site, |_| true)
    }
    /// The same, with the present report believed against the history: a store that was rolled back holds less than it did.
    pub fn reach_shown(&self, site: &SiteId) -> Option<Seq> {
        self.reach_with(site, |o| self.shows(site, o))
    }
    /// True unless the report of `site`, which has stood for a grace, shows that it does not hold what `o` takes.
    pub fn shows(&self, site: &SiteId, o: &Outer) -> bool {
        let stood = match self.world.sites.get(site).map(|x| &x.report) {
            Some(Observed::Present { first_seen, .. }) => self.now.since(*first_seen) >= self.grace(),
            _ => false,
        };
        let Some(r) = self.report(site).filter(|_| stood) else { return true };
        o.included.iter().all(|i| r.holds.iter().any(|h| h.key == i.key && h.digest == i.digest))
    }
    fn reach_with(&self, site: &SiteId, shows: impl Fn(&Outer) -> bool) -> Option<Seq> {
        let member = self.member(site)?;
        let reported = self.report(site).and_then(|r| r.state.as_ref());
        let start = reported.filter(|s| self.view.state(s.of).is_none_or(|(d, _)| d == s.digest)).map(|s| s.of);
        let mut at = start.or_else(|| self.view.reached(site))?;
        if at < self.view.first_commit() {
            // What it needs next is forgotten here: it says itself how far it came (`forget`).
            return Some(at);
        }
        for (seq, _, commit) in self.view.commits_after(at) {
            let has = match commit {
                Commit::Genesis => true,
                Commit::Outer(o) => seq > member.joined_at && o.holders.contains(site) && shows(o),
                Commit::Step(s) => s.site == *site && s.incarnation == member.incarnation,
            };
            if !has {
                break;
            }
            at = seq;
        }
        Some(at)
    }
    /// True if it can reach the newest commit's state from its own store.
    pub fn reaches(&self, site: &SiteId) -> bool {
        self.reach(site) == Some(self.view.last_commit().0)
    }
    /// Members whose holding of a contribution counts: heard, in good standing, and able to apply it. One whose own store
    /// takes nothing is given the hold window to mend it; then it is as good as silent, for it can hold nothing.
    pub fn counted(&self) -> BTreeSet<SiteId> {
        let over = self.clock().offers_closed.is_some_and(|closed| self.now >= closed.plus(self.grace()));
        let takes = |s: &&SiteId| !over || self.store_failure(s).is_none();
        self.good().filter(|s| self.heard(s) && self.reaches(s)).filter(takes).cloned().collect()
    }
    /// True if enough members are heard for the run to go on (`sites.min`).
    pub fn enough(&self) -> bool {
        self.good().filter(|s| self.heard(s)).count() as u64 >= u64::from(self.world.spec.sites.min)
    }
    /// D7: nothing is appended until every unretired member has echoed the leader's nonce, or one grace has passed.
    pub fn leader_ready(&self) -> bool {
        self.now.since(self.world.leader.since) >= self.grace() || self.members().all(|(s, _)| self.report(s).is_some())
    }
}
