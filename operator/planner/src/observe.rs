//! Folding observations into the world. Each is pure in the instant it is given; none decides anything.
use coalition_protocol::history::{View, Violation};
use coalition_protocol::messages::{STORE_FAILED, SiteReport, SiteRun};
use coalition_protocol::record::{Body, Members, Record};
use coalition_protocol::{RunId, SiteId};

use crate::memory::fold;
use crate::standing::STILL;
use crate::time::{Millis, seconds, words};
use crate::world::{Leader, Observed, World};

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is the newest now.
    Newest,
    /// Not newer than the one known: ignored (D14: an older one never replaces a newer).
    Old,
    /// It does not echo the leader's nonce: the site stays unknown (D7).
    OtherNonce,
    /// Of another epoch or of an incarnation that is not in force: ignored (D8).
    StaleFence,
    /// Of another run: ignored.
    OtherRun,
}

impl World {
    /// The hub heard of `site`, and the report it has is still the site's newest.
    pub fn heard(&mut self, site: &SiteId, now: Millis) {
        if let Some(s) = self.sites.get_mut(site) {
            s.contact = Some(now);
            if let Observed::Present { last_seen, .. } = &mut s.report {
                *last_seen = now;
            }
        }
        self.memory = fold(self, now);
    }

    /// A report arrived.
    pub fn report(&mut self, report: SiteReport, now: Millis) -> Received {
        let received = self.take(report, now);
        self.memory = fold(self, now);
        received
    }

    fn take(&mut self, report: SiteReport, now: Millis) -> Received {
        if report.run != self.setup.run {
            return Received::OtherRun;
        }
        let in_force = self.view.as_ref().and_then(|v| Some((v.head().epoch, v.incarnation(&report.site)?)));
        self.add_site(report.site.clone(), now);
        let Some(site) = self.sites.get_mut(&report.site) else { return Received::OtherRun };
        // A repeated old report is no sign of life.
        if let Observed::Present { value, .. } = &site.report
            && value.incarnation == report.incarnation
            && value.counter >= report.counter
        {
            return Received::Old;
        }
        if report.nonce != self.leader.nonce {
            return Received::OtherNonce;
        }
        site.contact = Some(now);
        // Whatever incarnation says so: a gang that hangs would hang in the next one too, and a store that takes nothing
        // would not take its opening entry.
        site.refusal = hindered(&report);
        if in_force != Some((report.epoch, report.incarnation)) {
            return Received::StaleFence;
        }
        site.report = Observed::Present { value: report, first_seen: now, last_seen: now };
        Received::Newest
    }

    /// A new leader: what was known of sites is unknown until they echo its nonce (D7).
    pub fn new_leader(&mut self, nonce: impl Into<String>, now: Millis) {
        self.leader = Leader { nonce: nonce.into(), since: now, noted: self.leader.noted };
        for site in self.sites.values_mut() {
            site.report = Observed::Unknown { since: now };
            site.asked = None;
        }
        self.memory = fold(self, now);
    }

    /// A record was appended, durably. Applies it to the view; on an error nothing changed, and the record must not have
    /// been written.
    pub fn appended(&mut self, record: &Record, now: Millis) -> Result<(), Violation> {
        match &mut self.view {
            Some(view) => view.apply(record)?,
            None => self.view = Some(View::start_unsigned(record)?),
        }
        match &record.body {
            Body::Members(m) => {
                self.memory.restarts.membership(&self.spec.failure_policy, m, now);
                self.assigned(m, now);
            }
            Body::Outer(o) => {
                for i in &o.included {
                    self.memory.left_out.remove(&i.key.site);
                }
                for l in &o.left_out {
                    self.memory.left_out.insert(l.site.clone(), now);
                }
            }
            _ => {}
        }
        self.memory = fold(self, now);
        Ok(())
    }

    /// A record of an earlier life came back and was appended, durably ([`crate::Decision::adopt`]). What followed from it
    /// then was charged and remembered then.
    pub fn adopted(&mut self, record: &Record, now: Millis) -> Result<(), Violation> {
        if let Some(view) = &mut self.view {
            view.apply(record)?;
        }
        if let Body::Members(m) = &record.body {
            self.assigned(m, now);
        }
        self.memory = fold(self, now);
        Ok(())
    }

    /// What is known of an incarnation says nothing of the next one.
    fn assigned(&mut self, m: &Members, now: Millis) {
        for j in &m.joined {
            self.add_site(j.site.clone(), now);
            if let Some(s) = self.sites.get_mut(&j.site) {
                s.report = Observed::Unknown { since: now };
            }
        }
    }

    /// `run` was shown to `site`, durably.
    pub fn asked(&mut self, site: &SiteId, run: SiteRun) {
        if let Some(s) = self.sites.get_mut(site) {
            s.asked = Some(run);
        }
    }

    /// Announcements made: they are not made again.
    pub fn announced(&mut self, seq: coalition_protocol::Seq) {
        if !self.memory.announced.contains(&seq) {
            self.memory.announced.push(seq);
        }
    }

    /// Folds the passing of time. Call it before a decision that was woken by its deadline.
    pub fn tick(&mut self, now: Millis) {
        self.memory = fold(self, now);
    }

    /// The run.
    pub const fn run(&self) -> &RunId {
        &self.setup.run
    }
}

/// Why a site that is heard cannot join: its gang hangs, or its store takes nothing.
fn hindered(report: &SiteReport) -> Option<String> {
    let still = seconds(report.gang.still_seconds);
    if still >= STILL {
        return Some(format!("its gang has shown no sign of life for {}", words(still)));
    }
    report.refusals.get(STORE_FAILED).map(|what| format!("its own store: {what}"))
}
