//! The fold over a run's records: what follows from the history, and the one check of what may be appended next.
//!
//! The hub checks with [`View::apply`] before it appends; sites check with the same function what they are shown. It knows
//! nothing of reports, windows or time: those are the planner's.
mod apply;
mod commits;
mod error;
mod fold;
mod ledger;
mod membership;
mod rounds;

use std::collections::BTreeMap;

pub use commits::names_work_of;
pub use error::Violation;
pub use fold::{Mark, NotAFold};
pub use ledger::{Lease, Ledger};

use crate::record::{Body, Genesis, LeftOut, Outer, Part, Plan, Record, Step};
use crate::sign::{PublicKey, SignedRecord};
use crate::{Digest, Epoch, Incarnation, Round, RunId, Seq, SiteId};

/// Names the newest record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Head {
    /// Gives its epoch.
    pub epoch: Epoch,
    /// Gives its number in the history.
    pub seq: Seq,
    /// Gives its digest.
    pub digest: Digest,
}

/// What the history says of one site.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Member {
    /// The newest incarnation assigned.
    pub incarnation: Incarnation,
    /// True once that incarnation is retired.
    pub retired: bool,
    /// Why it is set aside, if it is.
    pub set_aside: Option<String>,
    /// Omissions in a row: 0 or 1 (the second returns its ranges and counts from zero again, D18).
    pub missed: u32,
    /// The first round it may be planned for.
    pub from_round: Round,
    /// The record that assigned this incarnation.
    pub joined_at: Seq,
    /// The record that set it aside, if it is.
    pub set_aside_at: Option<Seq>,
}

impl Member {
    /// True if it is neither retired nor set aside.
    pub const fn in_good_standing(&self) -> bool {
        !self.retired && self.set_aside.is_none()
    }
}

/// A commit: a record after which the outer state is another one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Commit {
    /// The initial state, round 0.
    Genesis,
    /// An outer step.
    Outer(Outer),
    /// A round of a one-member plan.
    Step(Step),
}

/// The fold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    run: RunId,
    head: Head,
    /// Digests of the newest records, up to the head; of the first ones too unless they were forgotten.
    digests: Vec<Digest>,
    genesis: Genesis,
    members: BTreeMap<SiteId, Member>,
    plans: BTreeMap<Seq, Plan>,
    plans_issued: u64,
    open: BTreeMap<Round, Seq>,
    /// What every commit that is not forgotten came to, and those of kept checkpoints that are.
    marks: BTreeMap<Seq, Mark>,
    /// Commits that left somebody out.
    short_rounds: u64,
    /// See [`View::reached`].
    reached: BTreeMap<SiteId, Seq>,
    commits: BTreeMap<Seq, (Round, Commit)>,
    states: BTreeMap<Seq, (Digest, Vec<SiteId>)>,
    ledger: Ledger,
    tokens: u64,
    norms: Vec<crate::Real>,
    ended: Option<crate::record::End>,
}

impl View {
    /// Folds a whole chain, checking every link, signature and transition.
    pub fn replay<'a>(records: impl IntoIterator<Item = &'a SignedRecord>) -> Result<Option<Self>, Violation> {
        let mut view: Option<Self> = None;
        for r in records {
            match &mut view {
                None => view = Some(Self::start(r)?),
                Some(v) => v.extend(r)?,
            }
        }
        Ok(view)
    }

    /// Starts from a signed genesis record.
    pub fn start(signed: &SignedRecord) -> Result<Self, Violation> {
        let view = Self::genesis_of(&signed.record)?;
        view.key().verify(signed)?;
        Ok(view)
    }

    /// Starts from a genesis record that its caller is about to sign itself.
    pub fn start_unsigned(record: &Record) -> Result<Self, Violation> {
        Self::genesis_of(record)
    }

    /// Applies the next signed record.
    pub fn extend(&mut self, signed: &SignedRecord) -> Result<(), Violation> {
        self.key().verify(signed)?;
        self.apply(&signed.record)
    }

    /// The record that would append `body` to this head.
    pub fn next(&self, body: Body) -> Record {
        Record {
            version: crate::record::VERSION,
            run: self.run.clone(),
            epoch: self.head.epoch,
            seq: self.head.seq.next(),
            parent: self.head.digest,
            body,
        }
    }

    /// The hub key named in genesis.
    pub fn key(&self) -> PublicKey {
        PublicKey(self.genesis.hub_key.clone())
    }
    /// The run.
    pub fn run(&self) -> &RunId {
        &self.run
    }
    /// The newest record.
    pub fn head(&self) -> Head {
        self.head
    }
    /// The digest of record `seq`, if the chain has it and it is not forgotten.
    pub fn digest_of(&self, seq: Seq) -> Option<Digest> {
        self.digests.get(usize::try_from(seq.0.checked_sub(self.first().0)?).ok()?).copied()
    }
    /// True if `head` is a record of this chain. What is forgotten is not doubted: every member had it.
    pub fn knows(&self, head: Head) -> bool {
        head.seq < self.first() || self.digest_of(head.seq) == Some(head.digest)
    }
    /// What is fixed for the whole run.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }
    /// Every site ever assigned.
    pub fn members(&self) -> &BTreeMap<SiteId, Member> {
        &self.members
    }
    /// The incarnation of `site`, unless retired or never assigned.
    pub fn incarnation(&self, site: &SiteId) -> Option<Incarnation> {
        self.members.get(site).filter(|m| !m.retired).map(|m| m.incarnation)
    }
    /// A plan by its record, open or not, unless it is forgotten.
    pub fn plan(&self, seq: Seq) -> Option<&Plan> {
        self.plans.get(&seq)
    }
    /// How many plans were ever issued.
    pub fn plans_issued(&self) -> u64 {
        self.plans_issued
    }
    /// Open plans in order of round: at most two.
    pub fn open_plans(&self) -> impl Iterator<Item = (Seq, &Plan)> {
        self.open.values().filter_map(|s| self.plans.get(s).map(|p| (*s, p)))
    }
    /// The open plan of the round that follows the last commit.
    pub fn current_plan(&self) -> Option<(Seq, &Plan)> {
        let seq = self.open.get(&self.last_round().next())?;
        self.plans.get(seq).map(|p| (*seq, p))
    }
    /// The round of the plan that may be issued next: one after the last open one, or after the last commit.
    pub fn next_round(&self) -> Round {
        self.open.keys().next_back().copied().unwrap_or(self.last_round()).next()
    }
    /// Planned tokens of open plans.
    pub fn in_flight(&self) -> u64 {
        self.open_plans().map(|(_, p)| p.tokens()).sum()
    }
    /// Members that a plan of `round` may name: in good standing, and not too new (D9). If all of them are too new, nobody is:
    /// a run whose last old member was replaced goes on with the new ones.
    pub fn plannable(&self, round: Round) -> impl Iterator<Item = &SiteId> {
        let old = move |m: &Member| m.in_good_standing() && m.from_round <= round;
        let any = self.members.values().any(&old);
        self.members.iter().filter(move |(_, m)| if any { old(m) } else { m.in_good_standing() }).map(|(s, _)| s)
    }
    /// True if a contribution to open plan `seq` can stand for anything: its part has positions, or its site late work. A
    /// site with neither is not waited for, and not left out.
    pub fn has_to_give(&self, seq: Seq, part: &Part) -> bool {
        let late = || self.ledger.leases(&part.site).any(|(p, l)| p < seq && l.incarnation == part.incarnation);
        !part.ranges.is_empty() || late()
    }
    /// What a commit of the open `plan` must say of its members that are not `included`, in order of site (D18).
    pub fn left_out(&self, plan: &Plan, included: impl Fn(&SiteId) -> bool) -> Vec<LeftOut> {
        let seq = self.open.get(&plan.round).copied().unwrap_or_default();
        let absent = plan.parts.iter().filter(|p| !included(&p.site) && self.has_to_give(seq, p));
        absent
            .map(|part| {
                let retired = self.incarnation(&part.site) != Some(part.incarnation);
                let missed = self.members.get(&part.site).map_or(0, |m| m.missed);
                LeftOut { site: part.site.clone(), incarnation: part.incarnation, returned: retired || missed >= 1 }
            })
            .collect()
    }
    /// Commits in order, each with its record and round; the first is genesis, or the first that is not forgotten.
    pub fn commits(&self) -> impl DoubleEndedIterator<Item = (Seq, Round, &Commit)> {
        self.commits.iter().map(|(s, (r, c))| (*s, *r, c))
    }
    /// Commits after record `seq`, in order; those that are forgotten are not among them ([`View::first_commit`]).
    pub fn commits_after(&self, seq: Seq) -> impl Iterator<Item = (Seq, Round, &Commit)> {
        self.commits.range(seq.next()..).map(|(s, (r, c))| (*s, *r, c))
    }
    /// The newest commit.
    pub fn last_commit(&self) -> (Seq, Round, &Commit) {
        const GENESIS: Commit = Commit::Genesis;
        self.commits().next_back().unwrap_or((Seq(0), Round(0), &GENESIS))
    }
    /// The round of the newest commit.
    pub fn last_round(&self) -> Round {
        self.last_commit().1
    }
    /// The fixed digest of the state after commit `of`, with its confirmers.
    pub fn state(&self, of: Seq) -> Option<(Digest, &[SiteId])> {
        self.states.get(&of).map(|(d, c)| (*d, c.as_slice()))
    }
    /// The data ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
    /// T: committed tokens.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }
    /// Norms of the newest included contributions, oldest first, at most [`NORM_WINDOW`].
    pub fn norms(&self) -> &[crate::Real] {
        &self.norms
    }
    /// Contributions with a greater norm are refused (D14): 5 × the median of [`View::norms`], the lower of the two middle
    /// ones of an even number. None until there are [`NORMS_FOR_A_LIMIT`].
    pub fn norm_limit(&self) -> Option<crate::Real> {
        let mut sorted: Vec<f64> = self.norms.iter().map(|r| r.get()).collect();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len().checked_sub(1)? / 2).filter(|_| sorted.len() >= NORMS_FOR_A_LIMIT)?;
        crate::Real::new(NORM_LIMIT_IN_MEDIANS * median).ok()
    }
    /// The last record's body, once the run is over.
    pub fn ended(&self) -> Option<&crate::record::End> {
        self.ended.as_ref()
    }
}

/// How many norms the running median of D14 looks back on. Wide enough that one odd round does not move it, short enough
/// to follow the decay of ‖Δ‖ over a run.
pub const NORM_WINDOW: usize = 64;

/// Norms the median must rest on before it limits anything: in the first rounds the learning rate is still rising, and
/// ‖Δ‖ with it.
pub const NORMS_FOR_A_LIMIT: usize = 8;

/// D14: more than five running medians is refused. A choice, not measured: gradients are clipped and Adam bounds each step,
/// so ordinary ‖Δ‖ of one run lie near each other and drift with the learning rate, which the running median follows; what is
/// several times larger is a fault (damaged moments, wrong data, a diverged site), and refused ones do not move the median.
pub const NORM_LIMIT_IN_MEDIANS: f64 = 5.0;
