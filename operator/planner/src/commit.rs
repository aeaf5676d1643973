//! Which offers count, and the outer step that follows from them (D12 to D14).
use std::collections::{BTreeMap, BTreeSet};

use coalition_protocol::SiteId;
use coalition_protocol::messages::{Offer, OfferNotice, SiteReport};
use coalition_protocol::record::{Body, Included, Outer};

use crate::agreement;
use crate::selection::{Selection, select};
use crate::standing::Standing;
use crate::windows::{self, Window};

/// Why an offer does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Another plan, epoch, incarnation, site or fragment, or a site without a part, retired or set aside.
    StaleFence,
    /// Its maker does not show the newest state: it is catching up, or disagrees about it (D14, D17).
    NotOnBase,
    /// ‖Δ‖ above the plan's limit: the site is set aside.
    NormAboveLimit,
    /// Positions that are not leased to it, or tokens that do not fit them.
    NotLeased(String),
}

/// Whether one offer of `site` counts for the open plan.
pub fn judge(s: &Standing<'_>, site: &SiteId, offer: &Offer) -> Result<(), Refused> {
    let Some((seq, plan)) = s.plan() else { return Err(Refused::StaleFence) };
    let Some(part) = plan.part(site) else { return Err(Refused::StaleFence) };
    let key = &offer.key;
    if !s.planned(site)
        || key.site != *site
        || key.plan != seq
        || key.epoch != s.view.head().epoch
        || key.incarnation != part.incarnation
        || key.fragment != 0
    {
        return Err(Refused::StaleFence);
    }
    if !s.on_base(site) {
        return Err(Refused::NotOnBase);
    }
    if plan.norm_limit.is_some_and(|limit| offer.norm.get() > limit.get()) {
        return Err(Refused::NormAboveLimit);
    }
    match s.view.worth(site, key.incarnation, seq, &offer.used) {
        Ok(tokens) if tokens == offer.tokens && tokens > 0 => Ok(()),
        Ok(tokens) => Err(Refused::NotLeased(format!("{} tokens for positions worth {tokens}", offer.tokens))),
        Err((_, what)) => Err(Refused::NotLeased(what)),
    }
}

/// The offer of `site` for the open plan that counts: of its newest log entry (D12), if that one is valid.
pub fn offer_of<'a>(s: &Standing<'a>, site: &SiteId) -> Option<&'a Offer> {
    let (seq, _) = s.plan()?;
    let report = s.report(site).filter(|r| !r.store_lost)?;
    let newest = report.offers.iter().filter(|o| o.key.plan == seq).max_by_key(|o| o.key.entry)?;
    judge(s, site, newest).is_ok().then_some(newest)
}

/// Valid offers, whoever was heard.
pub fn offers<'a>(s: &Standing<'a>) -> BTreeMap<SiteId, &'a Offer> {
    s.good().filter_map(|site| Some((site.clone(), offer_of(s, site)?))).collect()
}

/// Valid offers of heard members: those that may be included.
pub fn heard_offers<'a>(s: &Standing<'a>) -> BTreeMap<SiteId, &'a Offer> {
    offers(s).into_iter().filter(|(site, _)| s.heard(site)).collect()
}

/// Hᵢ for every counted member: makers of the valid offers it holds, by key and digest.
pub fn holds(s: &Standing<'_>) -> BTreeMap<SiteId, BTreeSet<SiteId>> {
    let offers = heard_offers(s);
    let held = |by: &SiteId| {
        let report = s.report(by);
        offers.iter().filter(|(_, o)| report.is_some_and(|r| has(r, o))).map(|(maker, _)| maker.clone()).collect()
    };
    s.counted().into_iter().map(|i| (i.clone(), held(&i))).collect()
}

/// S and A as they stand now, if S has a quorum.
pub fn selection(s: &Standing<'_>) -> Option<Selection<SiteId, SiteId>> {
    let offers = heard_offers(s);
    let weight = |maker: &SiteId| offers.get(maker).map_or(0, |o| o.tokens);
    select(&holds(s), weight).filter(|x| x.included.len() >= s.quorum())
}

/// The outer step to append now: both windows closed, a quorum held, and the state before it agreed on or one grace waited.
pub fn outer(s: &Standing<'_>) -> Option<Body> {
    let (seq, plan) = s.plan().filter(|(_, p)| !p.one_member())?;
    if windows::window(s) != Window::Closed || !agreement::may_go_on(s) || !s.enough() {
        return None;
    }
    let chosen = selection(s)?;
    let offers = heard_offers(s);
    let mut included = Vec::new();
    for site in &chosen.included {
        let o = offers.get(site)?;
        included.push(Included {
            key: o.key.clone(),
            digest: o.digest,
            tokens: o.tokens,
            used: o.used.clone(),
            batch_hash: o.batch_hash,
            norm: o.norm,
        });
    }
    let tokens = s.view.tokens() + included.iter().map(|i| i.tokens).sum::<u64>();
    Some(Body::Outer(Outer {
        plan: seq,
        round: plan.round,
        fragment: 0,
        left_out: s.view.left_out(plan, |x| chosen.included.contains(x)),
        included,
        holders: chosen.holders.into_iter().collect(),
        tokens,
    }))
}

/// True if `report` says that its site holds what `offer` describes.
fn has(report: &SiteReport, offer: &Offer) -> bool {
    report.holds.iter().any(|h| h.key == offer.key && h.digest == offer.digest)
}

/// What the courier of `site` fetches: every valid offer that it does not hold yet, with everyone who holds it.
pub fn notices(s: &Standing<'_>, site: &SiteId) -> Vec<OfferNotice> {
    let holder = |o: &Offer, x: &SiteId| s.report(x).is_some_and(|r| has(r, o));
    offers(s)
        .into_iter()
        .filter(|(_, o)| !holder(o, site))
        .map(|(maker, o)| OfferNotice {
            offer: o.clone(),
            holders: s.members().map(|(x, _)| x).filter(|x| **x == maker || holder(o, x)).cloned().collect(),
        })
        .collect()
}
