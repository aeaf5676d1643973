//! What hub and sites may do. The choice of what a commit includes is the planner's own function; time is left out, so that
//! windows may close at any instant and any member may be silent.
use std::collections::{BTreeMap, BTreeSet};

use coalition_planner::selection::select;

use super::state::{C, Fold, Rec, Report, Site, State, Store, digest};

/// A rule left out or changed; the model must then find a counterexample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    None,
    /// A leader that lost the race appends what it had chosen, without choosing anew.
    KeepChoiceAfterReread,
    /// Contributions are named by round, not by plan.
    KeyByRound,
    /// The contribution is created before the site checkpoint is durable.
    CheckpointAfterCreation,
    /// A store without its opening entry is used as if it were new.
    NoOpeningEntry,
    /// Voids return the ranges of the voided plans.
    VoidReturnsRanges,
    /// Any one member that holds a contribution is enough, though two are heard.
    HeldByOne,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Its report reaches the hub, then it reads what is new.
    Talk(u8),
    Train(u8),
    /// Train, save and create in one, where no crash can come between.
    Work(u8),
    Save(u8),
    Create(u8),
    Crash(u8),
    Fetch(u8, u8),
    LoseStore(u8),
    Plan,
    Commit(u8),
    Void,
    Replace(u8),
    PausedDecide(u8),
    PausedAppend,
}

/// The bounds of a check.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub sites: u8,
    pub rounds: u8,
    pub losses: u8,
    pub retirements: u8,
    pub voids: u8,
    pub crashes: u8,
    pub paused: bool,
    pub mutation: Mutation,
}

impl Bounds {
    pub fn fold(&self, s: &State) -> Fold {
        Fold::of(&s.records, self.sites as usize, self.mutation == Mutation::VoidReturnsRanges)
    }

    fn name(&self, f: &Fold, plan: u8) -> u8 {
        match f.open.iter().find(|(_, p)| *p == plan) {
            Some((round, _)) if self.mutation == Mutation::KeyByRound => *round,
            _ => plan,
        }
    }

    /// The open plan of the next round: (record, parts).
    pub fn current<'a>(&self, s: &'a State, f: &Fold) -> Option<(u8, u8, &'a [(u8, u8, u32)])> {
        let round = f.commits.len() as u8 + 1;
        let (_, n) = f.open.iter().find(|(r, _)| *r == round)?;
        let Rec::Plan { parts, .. } = &s.records[*n as usize] else { return None };
        Some((round, *n, parts))
    }

    /// Commits that member `i` can reach by itself, as far as the hub was told (planner: `Standing::reach`).
    fn reach(&self, s: &State, f: &Fold, i: usize) -> Option<u8> {
        let told = &s.told[i];
        let start = if told.inc == f.inc[i] { told.applied } else { None };
        let mut at = start.or((f.joined[i] == 0 || f.commits.is_empty()).then_some(0))?;
        while let Some(n) = f.commits.get(at as usize) {
            let Rec::Outer { holders, .. } = &s.records[*n as usize] else { break };
            if *n < f.joined[i] || holders & (1 << i) == 0 {
                break;
            }
            at += 1;
        }
        Some(at)
    }

    /// True if the newest state could not be reached without `gone` (planner: `lost::lost`).
    fn lost_without(&self, s: &State, f: &Fold, gone: Option<usize>) -> bool {
        let left = || (0..self.sites as usize).filter(|i| Some(*i) != gone);
        let mut at = left().filter_map(|i| self.reach(s, f, i)).max().unwrap_or(0);
        while let Some(n) = f.commits.get(at as usize) {
            let Rec::Outer { holders, .. } = &s.records[*n as usize] else { break };
            if !left()
                .any(|i| f.joined[i] < *n + 1 && holders & (1 << i) != 0 && (f.joined[i] == 0 || f.joined[i] < *n))
            {
                return true;
            }
            at += 1;
        }
        false
    }

    /// The outer record, if the members in `heard` are the ones heard of.
    pub fn outer(&self, s: &State, f: &Fold, heard: u8) -> Option<Rec> {
        let (round, plan, parts) = self.current(s, f)?;
        let newest = f.commits.len() as u8;
        let is_heard = |i: usize| heard & (1 << i) != 0 && s.told[i].inc == f.inc[i] && !s.told[i].lost;
        let offers: BTreeSet<C> = (0..self.sites as usize)
            .filter(|i| is_heard(*i) && s.told[*i].applied == Some(newest))
            .filter_map(|i| s.told[i].offer)
            .filter(|c| c.plan == self.name(f, plan) && c.inc == f.inc[c.site as usize])
            .filter(|c| parts.iter().any(|(site, inc, _)| *site == c.site && *inc == c.inc))
            .filter(|c| c.used != 0 && c.used & !f.leased(c.site, plan) == 0)
            .collect();
        let holds: BTreeMap<u8, BTreeSet<C>> = (0..self.sites as usize)
            .filter(|i| is_heard(*i) && self.reach(s, f, *i) == Some(newest))
            .map(|i| (i as u8, s.told[i].holds.intersection(&offers).copied().collect()))
            .collect();
        let weight = |c: &C| u64::from(c.used.count_ones());
        let chosen = if self.mutation == Mutation::HeldByOne {
            let alone = holds.iter().max_by_key(|(_, h)| h.len()).map(|(i, h)| BTreeMap::from([(*i, h.clone())]))?;
            select(&alone, weight)?
        } else {
            select(&holds, weight)?
        };
        let holders = chosen.holders.iter().map(|i| 1u8 << i).sum();
        let (included, counted) = (chosen.included.into_iter().collect(), holds.len() as u8);
        Some(Rec::Outer { plan, round, included, holders, counted })
    }

    fn plan(&self, s: &State, f: &Fold) -> Option<Rec> {
        let round = (f.commits.len() + f.open.len()) as u8 + 1;
        if f.open.len() >= 2 || round > self.rounds {
            return None;
        }
        let newest = f.commits.len() as u8;
        let old = |i: &u8| f.from_round[*i as usize] <= round;
        let anyone = (0..self.sites).any(|i| old(&i));
        let can: Vec<u8> = (0..self.sites).filter(|i| !anyone || old(i)).collect();
        let ready =
            |i: &u8| s.told[*i as usize].inc == f.inc[*i as usize] && s.told[*i as usize].applied == Some(newest);
        let first = s.records.is_empty();
        let mut members: Vec<u8> = can.iter().copied().filter(|i| first || ready(i)).collect();
        if members.is_empty() {
            return None;
        }
        if members.len() == 1 {
            members.extend(can.iter().find(|i| !members.contains(i)));
            members.sort_unstable();
        }
        // Who gets which position changes from plan to plan, as unequal parts do in a real one.
        if s.records.iter().filter(|r| matches!(r, Rec::Plan { .. })).count() % 2 == 1 {
            members.reverse();
        }
        let mut taken = 0;
        let mut parts = Vec::new();
        for i in members {
            let lease = f.next_free(taken);
            taken |= lease;
            parts.push((i, f.inc[i as usize], lease));
        }
        Some(Rec::Plan { round, parts })
    }

    pub fn report(&self, s: &State, f: &Fold, i: usize) -> Report {
        let site = &s.sites[i];
        let asked = Fold::of(&s.records[..site.read as usize], self.sites as usize, false).inc[i];
        let Some(store) = &site.store else {
            return Report { inc: asked, lost: site.opened >= asked, ..Report::default() };
        };
        let (Some((applied, _)), open) = (store.applied, self.current(s, f)) else {
            return Report { inc: store.inc, holds: store.held.clone(), ..Report::default() };
        };
        let offer = open.and_then(|(_, plan, _)| {
            let named = self.name(f, plan);
            store.held.iter().rev().find(|c| c.site as usize == i && c.inc == store.inc && c.plan == named).copied()
        });
        Report { inc: store.inc, lost: false, applied: Some(applied), offer, holds: store.held.clone() }
    }

    /// Every step that changes something.
    pub fn steps(&self, s: &State) -> Vec<(Action, State)> {
        let f = self.fold(s);
        let mut out = Vec::new();
        let done = f.commits.len() as u8 >= self.rounds;
        for i in 0..self.sites {
            self.site_steps(s, &f, i, &mut out);
        }
        let mut append = |action, rec: Option<Rec>, change: &dyn Fn(&mut State)| {
            if let Some(rec) = rec {
                let mut n = s.clone();
                n.records.push(rec);
                change(&mut n);
                out.push((action, n));
            }
        };
        let nothing: &dyn Fn(&mut State) = &|_| {};
        if !done {
            append(Action::Plan, self.plan(s, &f), nothing);
            let mut commits: Vec<(u8, Rec)> = Vec::new();
            for heard in 1..1u8 << self.sites {
                let rec = self.outer(s, &f, heard).filter(|r| !commits.iter().any(|(_, x)| x == r));
                commits.extend(rec.map(|r| (heard, r)));
            }
            for (heard, rec) in commits {
                append(Action::Commit(heard), Some(rec), nothing);
            }
            if !f.open.is_empty() && s.voids < self.voids {
                append(Action::Void, Some(Rec::Void), &|n| n.voids += 1);
            }
        }
        for i in 0..self.sites {
            let lost = s.told[i as usize].lost && s.told[i as usize].inc == f.inc[i as usize];
            if lost {
                append(Action::Replace(i), Some(Rec::Replace { site: i }), nothing);
            } else if s.retirements < self.retirements && !self.lost_without(s, &f, Some(i as usize)) {
                append(Action::Replace(i), Some(Rec::Replace { site: i }), &|n| n.retirements += 1);
            }
        }
        self.paused_steps(s, &f, &mut out);
        out
    }

    pub fn start(&self) -> State {
        // Everyone has opened its store and told so: what can go wrong before anything was made is not this model's.
        let store = Some(empty(1, Some((0, 0))));
        let site = Site { read: 0, opened: 1, store, memory: None, runs: 0 };
        let told = Report { inc: 1, applied: Some(0), ..Report::default() };
        State {
            records: Vec::new(),
            sites: vec![site; self.sites as usize],
            told: vec![told; self.sites as usize],
            paused: None,
            losses: 0,
            retirements: 0,
            voids: 0,
            crashes: 0,
            deceived: false,
        }
    }
}

/// A fresh store.
pub fn empty(inc: u8, applied: Option<(u8, u64)>) -> Store {
    Store { inc, applied, checkpoint: None, fed: 0, held: BTreeSet::new() }
}

/// The state after `commits`, as the records say.
pub fn truth(s: &State, commits: &[u8]) -> u64 {
    commits.iter().fold(0, |state, n| match &s.records[*n as usize] {
        Rec::Outer { included, .. } => digest(state, included),
        _ => state,
    })
}
