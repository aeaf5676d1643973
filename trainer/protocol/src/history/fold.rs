//! The fold itself as something to keep: a hub holds the newest records only, and beside them what the older ones came to.
//! Must not know where it is kept, or when the older ones may go.
//!
//! Everything that decides what may be appended next is in it, so a view that forgot goes on exactly like one that did not.
//! Sites do not read it: they have all records, and believe nothing else.
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Commit, Head, Ledger, Member, View};
use crate::canonical::{self, NotCanonical};
use crate::record::{End, Genesis, Plan};
use crate::{Digest, Real, Round, RunId, Seq, SiteId};

/// What a commit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mark {
    /// Its round.
    pub round: Round,
    /// Tokens committed with it.
    pub tokens: u64,
}

/// A text that is no fold of a history.
#[derive(Debug, thiserror::Error)]
pub enum NotAFold {
    /// It cannot be read.
    #[error("it is not the fold of a history: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Its parts do not fit each other.
    #[error("it is not the fold of a history: {0}")]
    Inconsistent(&'static str),
}

/// How a fold is written: maps whose keys are no text are lists.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    run: RunId,
    head: Head,
    digests: Vec<Digest>,
    genesis: Genesis,
    members: BTreeMap<SiteId, Member>,
    plans: Vec<(Seq, Plan)>,
    plans_issued: u64,
    open: Vec<(Round, Seq)>,
    commits: Vec<(Seq, Round, Commit)>,
    marks: Vec<(Seq, Mark)>,
    states: Vec<(Seq, Digest, Vec<SiteId>)>,
    short_rounds: u64,
    reached: BTreeMap<SiteId, Seq>,
    ledger: Ledger,
    tokens: u64,
    norms: Vec<Real>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<End>,
}

impl View {
    /// The first record that is not forgotten ([`View::forget`]).
    pub fn first(&self) -> Seq {
        Seq((self.head.seq.0 + 1).saturating_sub(self.digests.len() as u64))
    }
    /// The first commit that is not forgotten.
    pub fn first_commit(&self) -> Seq {
        self.commits.keys().next().copied().unwrap_or_default()
    }
    /// What commit `seq` came to, unless it is forgotten.
    pub fn mark(&self, seq: Seq) -> Option<Mark> {
        self.marks.get(&seq).copied()
    }
    /// Commits that left a member out.
    pub fn short_rounds(&self) -> u64 {
        self.short_rounds
    }
    /// The newest commit whose state `site` can compute from its own store by what the history says alone: the initial
    /// state, which is a function of the seed, for who was there before the first commit, and then every commit that names
    /// it as a holder. None if its incarnation is younger than a commit it would need.
    pub fn reached(&self, site: &SiteId) -> Option<Seq> {
        if self.last_round() == Round(0) { Some(Seq(0)) } else { self.reached.get(site).copied() }
    }

    /// Forgets what lies before commit `floor`, but for `kept` commits, whose checkpoints somebody may still start from. `at`
    /// names sites that have the state of a commit at or after `floor`; what the history says they reached is raised to it.
    ///
    /// Every unretired member must be among those of `at`: nothing that is forgotten is then needed to say who can go on.
    /// Does nothing if one is not, or if `floor` is no commit of this view.
    pub fn forget(&mut self, floor: Seq, kept: &BTreeSet<Seq>, at: &BTreeMap<SiteId, Seq>) {
        let there = |site: &SiteId| at.get(site).is_some_and(|s| *s >= floor);
        let all = self.members.iter().filter(|(_, m)| !m.retired).all(|(site, _)| there(site));
        if !all || !self.commits.contains_key(&floor) {
            return;
        }
        self.learn(at);
        // A lease of an older plan is late work: what that plan asked for is still looked up.
        let leased = self.ledger.oldest_lease().unwrap_or(floor).min(floor);
        let open: BTreeSet<Seq> = self.open.values().copied().collect();
        self.plans.retain(|seq, _| *seq >= leased || open.contains(seq));
        self.commits.retain(|seq, _| *seq >= floor);
        self.marks.retain(|seq, _| *seq >= floor || kept.contains(seq));
        self.states.retain(|seq, _| *seq >= floor || kept.contains(seq));
        let from = usize::try_from(floor.0.saturating_sub(self.first().0)).unwrap_or(0);
        self.digests.drain(..from.min(self.digests.len()));
    }

    /// Raises what is known of how far these sites came: each reported the state of that commit under its present incarnation.
    pub fn learn(&mut self, at: &BTreeMap<SiteId, Seq>) {
        for (site, seq) in at.iter().filter(|(_, seq)| self.commits.contains_key(seq)) {
            if self.members.get(site).is_some_and(|m| !m.retired) {
                let reached = self.reached.entry(site.clone()).or_default();
                *reached = (*reached).max(*seq);
            }
        }
    }

    /// The fold as text.
    pub fn to_text(&self) -> Result<String, NotCanonical> {
        let written = Written {
            run: self.run.clone(),
            head: self.head,
            digests: self.digests.clone(),
            genesis: self.genesis.clone(),
            members: self.members.clone(),
            plans: self.plans.iter().map(|(s, p)| (*s, p.clone())).collect(),
            plans_issued: self.plans_issued,
            open: self.open.iter().map(|(r, s)| (*r, *s)).collect(),
            commits: self.commits.iter().map(|(s, (r, c))| (*s, *r, c.clone())).collect(),
            marks: self.marks.iter().map(|(s, m)| (*s, *m)).collect(),
            states: self.states.iter().map(|(s, (d, c))| (*s, *d, c.clone())).collect(),
            short_rounds: self.short_rounds,
            reached: self.reached.clone(),
            ledger: self.ledger.clone(),
            tokens: self.tokens,
            norms: self.norms.clone(),
            ended: self.ended.clone(),
        };
        Ok(String::from_utf8_lossy(&canonical::bytes(&written)?).into_owned())
    }

    /// The view that was written as `text`. It is the hub's own word: nothing in it is signed.
    pub fn from_text(text: &str) -> Result<Self, NotAFold> {
        let w: Written = serde_json::from_str(text)?;
        if w.digests.last() != Some(&w.head.digest) || w.digests.len() as u64 > w.head.seq.0 + 1 {
            return Err(NotAFold::Inconsistent("its digests do not end with the head"));
        }
        if w.commits.is_empty() || !w.commits.windows(2).all(|c| c[0].0 < c[1].0) {
            return Err(NotAFold::Inconsistent("it has no commits, or not in order"));
        }
        let plans: BTreeMap<Seq, Plan> = w.plans.into_iter().collect();
        if !w.open.iter().all(|(_, seq)| plans.contains_key(seq)) {
            return Err(NotAFold::Inconsistent("an open plan is missing"));
        }
        if !w.ledger.is_partition() {
            return Err(NotAFold::Inconsistent("positions of the data ledger are missing or stand twice"));
        }
        Ok(Self {
            run: w.run,
            head: w.head,
            digests: w.digests,
            genesis: w.genesis,
            members: w.members,
            plans,
            plans_issued: w.plans_issued,
            open: w.open.into_iter().collect(),
            marks: w.marks.into_iter().collect(),
            short_rounds: w.short_rounds,
            reached: w.reached,
            commits: w.commits.into_iter().map(|(s, r, c)| (s, (r, c))).collect(),
            states: w.states.into_iter().map(|(s, d, c)| (s, (d, c))).collect(),
            ledger: w.ledger,
            tokens: w.tokens,
            norms: w.norms,
            ended: w.ended,
        })
    }
}
