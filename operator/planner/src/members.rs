//! Who belongs to the run (D8, D9, D14): retire, assign anew, set aside, lift. One record may do several.
use std::collections::BTreeSet;

use coalition_protocol::record::{Assignment, Body, Members, Removal};
use coalition_protocol::{Incarnation, Seq, SiteId};

use crate::commit::{self, Refused};
use crate::selection::lighter_side;
use crate::standing::Standing;
use crate::time::Millis;
use crate::{adopt, lost, windows};

/// Why a member is taken out; the names stand in records.
pub mod reason {
    /// Nothing was heard of it for `sites.replaceAfterSeconds`.
    pub const LOST: &str = "Lost";
    /// Its own store took nothing for `sites.replaceAfterSeconds`.
    pub const STORE_FAILS: &str = "StoreFails";
    /// Its gang showed no sign of life for `sites.replaceAfterSeconds`, though the site is heard.
    pub const HANGS: &str = "Hangs";
    /// Its store no longer has its opening entry.
    pub const STORE_LOST: &str = "StoreLost";
    /// It reaches the hub, but not the members that hold the heavier part.
    pub const PEERS_UNREACHABLE: &str = "PeersUnreachable";
    /// ‖Δ‖ above five running medians.
    pub const NORM_ABOVE_LIMIT: &str = "NormAboveLimit";
    /// It shows a head, or mirrors records, that are not of this history.
    pub const UNPROVED_HEAD: &str = "UnprovedHead";
}

/// The membership record to append now.
pub fn body(s: &Standing<'_>) -> Option<Body> {
    let retired = retired(s);
    let gone: BTreeSet<SiteId> = retired.iter().map(|r| r.site.clone()).collect();
    let joined = joined(s, &gone);
    let set_aside = set_aside(s, &gone);
    let lifted = lifted(s, &gone);
    let m = Members { retired, joined, set_aside, lifted };
    (m != Members::default()).then_some(Body::Members(m))
}

fn removal(s: &Standing<'_>, site: &SiteId, reason: &str) -> Option<Removal> {
    let incarnation = s.member(site)?.incarnation;
    Some(Removal { site: site.clone(), incarnation, reason: reason.to_owned() })
}

/// When a silent member is retired; none for one whose loss would lose committed work: for it the run waits.
pub fn retire_at(s: &Standing<'_>, site: &SiteId) -> Option<Millis> {
    let since = s.silent_since(site)?;
    (!lost::irreplaceable(s, site)).then(|| since.plus(s.replace_after()))
}

fn retired(s: &Standing<'_>) -> Vec<Removal> {
    let mut out: Vec<Removal> = Vec::new();
    let mut silent = Vec::new();
    for (site, _) in s.members() {
        if s.report(site).is_some_and(|r| r.store_lost) {
            // D8: at once, whatever it held: it would make a second contribution under the same name.
            out.extend(removal(s, site, reason::STORE_LOST));
        } else if !s.world.suspend && s.silent_since(site).is_some_and(|t| s.now.since(t) >= s.replace_after()) {
            silent.push((site, reason::LOST));
        } else if !s.world.suspend && s.hangs(site) {
            silent.push((site, reason::HANGS));
        } else if !s.world.suspend && s.store_fails_for_good(site) {
            silent.push((site, reason::STORE_FAILS));
        }
    }
    // One after the other, so that of several silent ones the last that can reach the newest state stays.
    let mut without: BTreeSet<SiteId> = out.iter().map(|r| r.site.clone()).collect();
    for (site, reason) in silent {
        let already = lost::lost(s, &without).is_some();
        without.insert(site.clone());
        if !already && lost::lost(s, &without).is_some() {
            without.remove(site);
            continue;
        }
        out.extend(removal(s, site, reason));
    }
    out
}

fn joined(s: &Standing<'_>, gone: &BTreeSet<SiteId>) -> Vec<Assignment> {
    if s.world.suspend || s.view.tokens() >= s.world.spec.training.tokens {
        return Vec::new();
    }
    let stay = s.members().filter(|(x, _)| !gone.contains(*x)).count();
    let room = (s.world.spec.sites.max as usize).saturating_sub(stay);
    let willing = s.world.sites.iter().filter(|(name, site)| {
        let here = site.refusal.is_none() && site.contact.is_some_and(|t| s.now.since(t) < s.grace());
        here && (s.member(name).is_none() || gone.contains(*name))
    });
    let next = |name: &SiteId| s.view.members().get(name).map_or(Incarnation(1), |m| m.incarnation.next());
    willing.take(room).map(|(name, _)| Assignment { site: name.clone(), incarnation: next(name) }).collect()
}

fn set_aside(s: &Standing<'_>, gone: &BTreeSet<SiteId>) -> Vec<Removal> {
    let mut out: Vec<Removal> = Vec::new();
    let good: Vec<&SiteId> = s.good().filter(|x| !gone.contains(*x)).collect();
    for site in &good {
        let sideways =
            s.report(site).and_then(|r| r.head).is_some_and(|h| h.seq <= s.view.head().seq && !s.view.knows(h));
        if sideways || adopt::unproved(s, site).is_some() {
            out.extend(removal(s, site, reason::UNPROVED_HEAD));
        } else if above_norm_limit(s, site) && good.len() > out.len() + 1 {
            // The last one is not set aside: with everyone above the limit the limit is what is wrong, and a person decides.
            out.extend(removal(s, site, reason::NORM_ABOVE_LIMIT));
        }
    }
    if windows::apart(s) && windows::apart_until(s).is_some_and(|t| s.now >= t) {
        let offers = commit::heard_offers(s);
        let weight = |maker: &SiteId| offers.get(maker).map_or(0, |o| o.tokens);
        for site in lighter_side(&commit::holds(s), weight, s.quorum()) {
            if !gone.contains(&site) && !out.iter().any(|r| r.site == site) {
                out.extend(removal(s, &site, reason::PEERS_UNREACHABLE));
            }
        }
    }
    out
}

/// True if its newest offer for the open plan is above the norm limit.
pub fn above_norm_limit(s: &Standing<'_>, site: &SiteId) -> bool {
    let Some((seq, _)) = s.plan() else { return false };
    let newest = s.report(site).and_then(|r| r.offers.iter().filter(|o| o.key.plan == seq).max_by_key(|o| o.key.entry));
    newest.is_some_and(|o| commit::judge(s, site, o) == Err(Refused::NormAboveLimit))
}

/// Lifted once it shows the newest state, and for the reasons of a round, once a commit was made without it.
fn lifted(s: &Standing<'_>, gone: &BTreeSet<SiteId>) -> Vec<SiteId> {
    let back = |site: &SiteId, reason: &str, at: Option<Seq>| {
        let committed_since = at.is_some_and(|at| s.view.last_commit().0 > at);
        let proved = reason == reason::UNPROVED_HEAD && adopt::unproved(s, site).is_none();
        s.current(site) && (proved || (committed_since && reason != reason::UNPROVED_HEAD))
    };
    s.members()
        .filter(|(site, _)| !gone.contains(*site))
        .filter(|(site, m)| m.set_aside.as_ref().is_some_and(|r| back(site, r, m.set_aside_at)))
        .map(|(site, _)| site.clone())
        .collect()
}
