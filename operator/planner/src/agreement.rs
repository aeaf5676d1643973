//! Agreement on the state after a commit (D17): two equal reports fix it; one does, unconfirmed, if nobody else is there to
//! ask; on a mismatch everyone sees everyone's chunk digests, and whoever cannot reproduce its own value reloads.
use std::collections::BTreeMap;

use coalition_protocol::messages::{StateNotice, StateReport};
use coalition_protocol::record::{Body, State};
use coalition_protocol::{Digest, SiteId};

use crate::standing::Standing;

/// Reports of the newest commit's state by heard members in good standing, by digest.
pub fn reports<'a>(s: &Standing<'a>) -> BTreeMap<Digest, Vec<(SiteId, &'a StateReport)>> {
    let (newest, ..) = s.view.last_commit();
    let mut out: BTreeMap<Digest, Vec<(SiteId, &StateReport)>> = BTreeMap::new();
    for site in s.good().filter(|x| s.heard(x)) {
        let Some(report) = s.report(site) else { continue };
        if let Some(state) = report.state.as_ref().filter(|x| x.of == newest) {
            out.entry(state.digest).or_default().push((site.clone(), state));
        }
    }
    out
}

fn fixed(s: &Standing<'_>) -> bool {
    s.view.state(s.view.last_commit().0).is_some()
}

/// One grace since this hub saw the newest commit.
fn waited(s: &Standing<'_>) -> bool {
    s.now.since(s.committed_at()) >= s.grace()
}

/// The state record to append now.
pub fn state(s: &Standing<'_>) -> Option<Body> {
    if fixed(s) {
        return None;
    }
    let reports = reports(s);
    let mut by_count: Vec<(usize, Digest)> = reports.iter().map(|(d, r)| (r.len(), *d)).collect();
    by_count.sort_unstable();
    by_count.reverse();
    let (count, digest) = *by_count.first()?;
    let second = by_count.get(1).map_or(0, |x| x.0);
    // Others that will say something soon: heard, and able to compute it.
    let spoke = |x: &SiteId| reports.values().flatten().any(|(site, _)| site == x);
    let others = s.good().filter(|x| s.heard(x) && s.reaches(x) && !spoke(x)).count();
    let enough = if count >= 2 { count > second } else { second == 0 && (others == 0 || waited(s)) };
    if !enough {
        return None;
    }
    let confirmers = reports.get(&digest)?.iter().map(|(site, _)| site.clone()).collect();
    Some(Body::State(State { of: s.view.last_commit().0, digest, confirmers }))
}

/// True if the next commit need not wait for agreement (any more). The initial state must be agreed on.
pub fn may_go_on(s: &Standing<'_>) -> bool {
    fixed(s) || (s.view.last_round().0 > 0 && waited(s) && reports(s).len() <= 1)
}

/// What sites shall compare, chunk by chunk: all reports of the newest state, once two differ.
pub fn disagreement(s: &Standing<'_>) -> Vec<StateNotice> {
    let reports = reports(s);
    if reports.len() < 2 {
        return Vec::new();
    }
    let notice = |(site, r): (SiteId, &StateReport)| StateNotice { site, state: r.clone() };
    let mut all: Vec<_> = reports.into_values().flatten().map(notice).collect();
    all.sort_by(|a, b| a.site.cmp(&b.site));
    all
}

/// True if sites computed different states and each got its own value again: only a third can tell who is right.
pub fn is_arithmetic(s: &Standing<'_>) -> bool {
    let reports = reports(s);
    !fixed(s) && reports.len() >= 2 && reports.values().flatten().all(|(_, r)| r.reproduced)
}
