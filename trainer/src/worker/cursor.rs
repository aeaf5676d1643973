//! Where a site stands (the cursor of D5): everything of the inner state that is not a tensor. Saved with every site
//! checkpoint. Must not know tensors, files or the network.
use coalition_protocol::bits::BatchHash;
use coalition_protocol::messages::Evaluation;
use coalition_protocol::record::{LeaseUse, Plan};
use coalition_protocol::{Digest, IntervalSet, Round, Seq, SiteId};
use serde::{Deserialize, Serialize};

/// Where a site stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cursor {
    /// The newest commit that is part of x.
    pub applied: Seq,
    /// Its round.
    pub round: Round,
    /// D(O) after it, as computed here.
    pub state: Digest,
    /// The plan being trained, and D26 over what was fed of it.
    pub plan: Option<Seq>,
    /// Inner steps done of it.
    pub inner_step: u64,
    /// D26 over the positions fed for the plan.
    pub plan_hash: BatchHash,
    /// Positions fed for earlier plans that no record includes yet, by plan (D18).
    pub late: Vec<LeaseUse>,
    /// D26 over them.
    pub late_hash: BatchHash,
    /// Inner steps of this site in the whole run; numbers the draws of D2.
    pub steps: u64,
    /// The round trained last: how old the moments are (D23).
    pub trained_round: Round,
    /// Steps of the warm-up that are left after moments were set to zero (D23).
    pub warmup_left: u64,
    /// Steps skipped because loss or gradient was not finite.
    pub non_finite: u64,
    /// The commit whose θ was measured last, whether or not that gave a number.
    pub measured: Option<Seq>,
    /// The newest measurement on held-out text.
    pub evaluation: Option<Evaluation>,
}

/// What tells two places of training apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    applied: Seq,
    plan: Option<Seq>,
    inner_step: u64,
    steps: u64,
}

/// Inner steps of the linear warm-up after moments were set to zero (D23): 2 / (1 − β₂) steps are enough for Adam (Ma and Yarats
/// 2021, arXiv:1910.04209), 40 at the default β₂ of 0.95, rounded up. It does not follow β₂: one of 0.999 would want 2000.
pub const WARMUP: u64 = 50;
/// Moments at most so many rounds old are kept (D23). A choice: DiLoCo keeps moments over every outer step although θ moves under
/// them, so one round old is ordinary; two is what a site has missed when its late work is dropped (D18).
pub const FRESH_ROUNDS: u64 = 2;

impl Cursor {
    /// The beginning: the initial state, nothing trained.
    pub fn fresh(state: Digest) -> Self {
        Self {
            applied: Seq(0),
            round: Round(0),
            state,
            plan: None,
            inner_step: 0,
            plan_hash: BatchHash::default(),
            late: Vec::new(),
            late_hash: BatchHash::default(),
            steps: 0,
            trained_round: Round(0),
            warmup_left: 0,
            non_finite: 0,
            measured: None,
            evaluation: None,
        }
    }

    /// At a commit, without the inner state that led there (D23), on moments that were saved with the cursor `own`, or on
    /// zero ones. Only those warm up; own ones go on with what was left of an earlier warm-up. The beginning is no rejoin.
    pub fn rejoined(applied: Seq, round: Round, state: Digest, own: Option<&Self>) -> Self {
        let (trained_round, warmup_left) = match own {
            Some(own) => (own.trained_round, own.warmup_left),
            None if applied == Seq(0) => (round, 0),
            None => (round, WARMUP),
        };
        Self { applied, round, trained_round, warmup_left, ..Self::fresh(state) }
    }

    /// Its mark.
    pub const fn mark(&self) -> Mark {
        Mark { applied: self.applied, plan: self.plan, inner_step: self.inner_step, steps: self.steps }
    }

    /// The positions of inner step `inner_step` of this site's part of `plan`; empty once all are fed.
    pub fn batch(&self, plan: &Plan, site: &SiteId, rows: u64) -> IntervalSet {
        let Some(part) = plan.part(site) else { return IntervalSet::new() };
        let before = part.ranges.first(self.inner_step.saturating_mul(rows));
        part.ranges.difference(&before).first(rows)
    }

    /// The positions of `plan` that were fed: a prefix of the part's ranges.
    pub fn used(&self, plan: &Plan, site: &SiteId, rows: u64) -> IntervalSet {
        plan.part(site).map_or_else(IntervalSet::new, |p| p.ranges.first(self.inner_step.saturating_mul(rows)))
    }

    /// What a contribution to `plan` stands for: late positions and the plan's, by plan in rising order, and their D26.
    pub fn all_used(&self, seq: Seq, plan: &Plan, site: &SiteId, rows: u64) -> (Vec<LeaseUse>, BatchHash) {
        let mut used = self.late.clone();
        let own = self.used(plan, site, rows);
        if !own.is_empty() {
            used.push(LeaseUse { plan: seq, used: own });
        }
        used.sort_by_key(|u| u.plan);
        (used, self.late_hash.plus(self.plan_hash))
    }

    /// One inner step was fed, finite or not.
    pub fn stepped(&mut self, hash: BatchHash, finite: bool, round: Round) {
        self.inner_step += 1;
        self.steps += 1;
        self.plan_hash = self.plan_hash.plus(hash);
        self.trained_round = round;
        self.warmup_left = self.warmup_left.saturating_sub(1);
        self.non_finite += u64::from(!finite);
    }

    /// Stops training the present plan: what was fed of it is late work from here on.
    pub fn leave_plan(&mut self, plan: Option<&Plan>, site: &SiteId, rows: u64) {
        if let (Some(seq), Some(plan)) = (self.plan, plan) {
            let used = self.used(plan, site, rows);
            if !used.is_empty() {
                self.late.push(LeaseUse { plan: seq, used });
                self.late_hash = self.late_hash.plus(self.plan_hash);
            }
        }
        self.clear_plan();
    }

    /// Begins a plan.
    pub fn begin(&mut self, plan: Seq) {
        self.clear_plan();
        self.plan = Some(plan);
    }

    /// Forgets everything fed that no record includes: it is included now, or x no longer holds it.
    pub fn settle(&mut self) {
        self.clear_plan();
        self.late.clear();
        self.late_hash = BatchHash::default();
    }

    /// True if x holds work that no record includes.
    pub fn has_work(&self) -> bool {
        !self.late.is_empty() || self.inner_step > 0
    }

    /// True if the moments are too old to be of use at `round` (D23).
    pub fn stale_at(&self, round: Round) -> bool {
        round.0.saturating_sub(self.trained_round.0) > FRESH_ROUNDS
    }

    fn clear_plan(&mut self) {
        self.plan = None;
        self.inner_step = 0;
        self.plan_hash = BatchHash::default();
    }
}
