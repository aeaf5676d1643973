//! What a site does: read records, open its store, apply, train, save, create a contribution, fetch.
use super::rules::{Bounds, Mutation, empty};
use super::state::{C, Fold, Rec, State, digest};

/// Reads all records, opens a store if it was assigned anew, and applies what it holds the contributions of.
pub fn read(b: &Bounds, s: &mut State, i: usize) {
    let sites = b.sites as usize;
    let f = b.fold(s);
    let site = &mut s.sites[i];
    if site.opened < f.inc[i] {
        // D8: a store opens once for an incarnation.
        site.opened = f.inc[i];
        let fresh = f.joined[i] == 0 || f.commits.is_empty();
        site.store = Some(empty(f.inc[i], fresh.then_some((0, 0))));
        site.memory = None;
    } else if site.store.is_none() && b.mutation == Mutation::NoOpeningEntry {
        site.store = Some(empty(f.inc[i], (f.joined[i] == 0).then_some((0, 0))));
    }
    let from = site.read as usize;
    site.read = s.records.len() as u8;
    let mut deceived = false;
    if let Some(store) = &mut site.store {
        for n in from..s.records.len() {
            learn(b, &s.records, n, i, store, &mut deceived, sites);
        }
        while let Some((at, state)) = store.applied
            && let Some(n) = f.commits.get(at as usize)
            && let Rec::Outer { included, .. } = &s.records[*n as usize]
            && included.iter().all(|c| store.held.contains(c))
        {
            store.applied = Some((at + 1, digest(state, included)));
            site.memory = None;
        }
    }
    s.deceived |= deceived;
}

// What record `n` means for the site's own work (D12, D18).
fn learn(
    b: &Bounds,
    records: &[Rec],
    n: usize,
    i: usize,
    store: &mut super::state::Store,
    deceived: &mut bool,
    sites: usize,
) {
    let Rec::Outer { included, .. } = &records[n] else { return };
    if let Some(c) = included.iter().find(|c| c.site as usize == i && c.inc == store.inc) {
        // What it believes it gave is what its newest checkpoint has.
        *deceived |= store.checkpoint.is_none_or(|(_, content, used)| content != c.content || used != c.used);
        store.fed &= !c.used;
        store.checkpoint = None;
    } else {
        // Left out: once the work stays, twice its ranges are returned, and with them the work.
        let f = Fold::of(&records[..=n], sites, b.mutation == Mutation::VoidReturnsRanges);
        store.fed &= f.leases.iter().filter(|l| l.1 as usize == i && l.2 == store.inc).map(|l| l.0).sum::<u32>();
        store.checkpoint = None;
    }
}

/// The plan it may work on: (record, its lease), once it has the state the plan starts from.
fn part(b: &Bounds, s: &State, i: usize) -> Option<(u8, u8, u32)> {
    let store = s.sites[i].store.as_ref()?;
    // It knows what it has read, no more.
    let known = State { records: s.records[..s.sites[i].read as usize].to_vec(), ..s.clone() };
    let f = b.fold(&known);
    let (round, plan, parts) = b.current(&known, &f)?;
    let (_, inc, lease) = parts.iter().find(|p| p.0 as usize == i)?;
    let named = if b.mutation == Mutation::KeyByRound { round } else { plan };
    (f.inc[i] == *inc && store.inc == *inc && store.applied.is_some_and(|(n, _)| n as usize == f.commits.len()))
        .then_some((plan, named, *lease))
}

pub fn train(b: &Bounds, s: &mut State, i: usize) {
    let Some((plan, ..)) = part(b, s, i) else { return };
    let site = &mut s.sites[i];
    let saved = site.store.as_ref().and_then(|x| x.checkpoint).is_some_and(|(p, ..)| p == plan);
    if site.memory.is_none_or(|(p, _)| p != plan) && !saved {
        site.runs += 1;
        site.memory = Some((plan, site.runs));
    }
}

/// The site checkpoint at the snapshot becomes durable (D12).
pub fn save(b: &Bounds, s: &mut State, i: usize) {
    let Some((plan, named, lease)) = part(b, s, i) else { return };
    let site = &mut s.sites[i];
    let (Some((p, content)), Some(store)) = (site.memory, &mut site.store) else { return };
    let created = store.held.iter().any(|c| c.site as usize == i && c.inc == store.inc && c.plan == named);
    if p != plan || (b.mutation == Mutation::CheckpointAfterCreation && !created) {
        return;
    }
    store.fed |= lease;
    store.checkpoint = Some((plan, content, store.fed));
    site.memory = None;
}

/// The contribution is created, create-only: what stands there already stays.
pub fn create(b: &Bounds, s: &mut State, i: usize) {
    let Some((plan, named, lease)) = part(b, s, i) else { return };
    let site = &mut s.sites[i];
    let Some(store) = &mut site.store else { return };
    let made = match store.checkpoint {
        Some((p, content, used)) if p == plan => (content, used),
        _ => match site.memory {
            Some((p, content)) if p == plan && b.mutation == Mutation::CheckpointAfterCreation => {
                (content, store.fed | lease)
            }
            _ => return,
        },
    };
    if store.held.iter().any(|c| c.site as usize == i && c.inc == store.inc && c.plan == named) {
        return;
    }
    store.held.insert(C { site: i as u8, inc: store.inc, plan: named, content: made.0, used: made.1 });
}

/// `i` fetches from `j` everything of open plans and unapplied commits, and a newer state if its own cannot get there.
pub fn fetch(b: &Bounds, s: &mut State, i: usize, j: usize) {
    let f = b.fold(s);
    let Some(theirs) = s.sites[j].store.clone() else { return };
    let offered: Vec<C> = s.told.iter().filter_map(|r| r.offer).collect();
    let records = s.records.clone();
    let Some(mine) = &mut s.sites[i].store else { return };
    let at = mine.applied.map_or(0, |(n, _)| n as usize);
    let wanted = |c: &C| {
        offered.contains(c)
            || f.commits
                .iter()
                .skip(at)
                .any(|n| matches!(&records[*n as usize], Rec::Outer { included, .. } if included.contains(c)))
    };
    for c in &theirs.held {
        // One name, one object: the first that is there stays.
        let taken = mine.held.iter().any(|m| (m.site, m.inc, m.plan) == (c.site, c.inc, c.plan));
        if wanted(c) && !taken {
            mine.held.insert(*c);
        }
    }
    if theirs.applied.map(|(n, _)| n) > mine.applied.map(|(n, _)| n) {
        mine.applied = theirs.applied;
    }
}
