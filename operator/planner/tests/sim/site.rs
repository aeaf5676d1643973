//! A simulated site: courier, trainer and store, as far as the hub can tell them from real ones. Its "parameters" are
//! digests: the state after a commit is the digest of the state before and what the commit includes.
use std::collections::BTreeMap;

use coalition_planner::checkpoints;
use coalition_protocol::bits::BatchHash;
use coalition_protocol::history::{Commit, View};
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::messages::{Desired, Offer, SiteRun, StepOffer};
use coalition_protocol::record::{Included, LeaseUse, Record};
use coalition_protocol::{Digest, Incarnation, IntervalSet, Real, Seq, SiteId};

/// Positions of an inner step: `spec::BATCH` by the sequence length of `spec::small`.
const PER_STEP: u64 = super::spec::BATCH / 16;

/// What survives a crash.
#[derive(Clone, Debug)]
pub struct Store {
    /// The incarnation that opened it.
    pub opened: Incarnation,
    /// Contributions, own and held.
    pub held: BTreeMap<ContributionKey, Digest>,
    /// States it can load.
    pub states: BTreeMap<Seq, Digest>,
    /// Run checkpoints.
    pub kept: BTreeMap<Seq, Digest>,
    /// The newest log entry.
    pub entry: u64,
    /// Positions fed and not yet included, by plan (late work among them).
    pub worked: BTreeMap<Seq, IntervalSet>,
    /// The offer made for the open plan.
    pub offer: Option<Offer>,
    /// The finished round of a one-member plan.
    pub step: Option<StepOffer>,
}

/// A site.
#[derive(Clone, Debug)]
pub struct Site {
    pub id: SiteId,
    /// Milliseconds of an inner step.
    pub step_millis: u64,
    /// Nothing of it answers before this.
    pub down_until: u64,
    /// Its trainer does not run before this.
    pub trainer_down_until: u64,
    pub store: Option<Store>,
    pub counter: u64,
    pub asked: Option<SiteRun>,
    pub view: Option<View>,
    /// The commit whose state the trainer has.
    pub at: Option<(Seq, Digest)>,
    /// (plan, done since): training of the open plan.
    pub training: Option<(Seq, u64)>,
    /// The newest incarnation it ever opened a store for; the hub keeps this, so it outlives the store.
    pub opened_once: Option<Incarnation>,
    /// True: its arithmetic is wrong in the next commit.
    pub flips: bool,
    /// What computing the newest state again would give, and whether that was done (D17).
    pub right: Option<(Seq, Digest)>,
    pub reproduced: bool,
    /// ‖Δ‖ of what it makes.
    pub norm: f64,
}

/// The initial state, a function of the seed.
pub fn initial() -> Digest {
    Digest::of(b"initial")
}

/// The state after an outer step.
pub fn after(state: Digest, included: &[Included]) -> Digest {
    let parts: Vec<Digest> = std::iter::once(state).chain(included.iter().map(|i| i.digest)).collect();
    Digest::over(&parts)
}

impl Site {
    pub fn new(name: &str, step_millis: u64) -> Self {
        Self {
            id: name.parse().unwrap(),
            step_millis,
            down_until: 0,
            trainer_down_until: 0,
            store: None,
            counter: 0,
            asked: None,
            view: None,
            at: None,
            training: None,
            opened_once: None,
            flips: false,
            right: None,
            reproduced: false,
            norm: 1.0,
        }
    }

    pub fn up(&self, now: u64) -> bool {
        now >= self.down_until
    }

    /// The trainer's process dies: what was not saved is gone.
    pub fn kill_trainer(&mut self, now: u64, millis: u64) {
        self.trainer_down_until = self.trainer_down_until.max(now + millis);
        self.training = None;
        self.at = None;
    }

    /// Reads records it has not seen.
    pub fn read(&mut self, chain: &[Record], now: u64) {
        let mut from = self.view.as_ref().map_or(0, |v| v.head().seq.0 as usize + 1);
        if self.view.is_none() {
            let Some(first) = chain.first() else { return };
            self.view = Some(View::start_unsigned(first).unwrap());
            from = 1;
        }
        for r in chain.iter().skip(from) {
            self.view.as_mut().unwrap().apply(r).expect("a site accepts what the hub appended");
            self.learn(r, now);
        }
    }

    // D18: what becomes of work that a commit did or did not include.
    fn learn(&mut self, r: &Record, now: u64) {
        use coalition_protocol::record::Body;
        let Some(store) = &mut self.store else { return };
        match &r.body {
            Body::Outer(o) => {
                let included = o.included.iter().find(|i| i.key.site == self.id);
                if let Some(i) = included.filter(|i| i.key.incarnation == store.opened) {
                    assert_eq!(
                        store.held.get(&i.key),
                        Some(&i.digest),
                        "what it believes it gave is what the record holds"
                    );
                }
                let returned = o.left_out.iter().any(|l| l.site == self.id && l.returned);
                if included.is_some() || returned {
                    store.worked.retain(|plan, _| *plan > o.plan);
                }
                // A contribution of an older entry or another round is never offered again.
                store.offer = None;
            }
            Body::Step(s) if s.site == self.id => {
                store.worked.retain(|plan, _| *plan > s.plan);
                store.step = None;
            }
            Body::Void(_) => {
                store.offer = None;
                store.step = None;
            }
            _ => {}
        }
        // D24: work without its lease is dropped.
        let view = self.view.as_ref().unwrap();
        store.worked.retain(|plan, used| {
            let lease = view.ledger().leases(&self.id).find(|(p, l)| p == plan && l.incarnation == store.opened);
            lease.is_some_and(|(_, l)| l.ranges.first(used.len()) == *used)
        });
        // D18: what was done of a plan that is closed is late work.
        if let Some((plan, since)) = self.training.filter(|(plan, _)| !view.open_plans().any(|(p, _)| p == *plan)) {
            self.training = None;
            let done = (now - since) / self.step_millis * PER_STEP;
            let lease = view.ledger().leases(&self.id).find(|(p, l)| *p == plan && l.incarnation == store.opened);
            if let Some((_, l)) = lease.filter(|_| done > 0) {
                store.worked.entry(plan).or_insert_with(|| l.ranges.first(done));
            }
        }
    }

    /// The trainer: loads, applies commits, trains, offers. `every` is the checkpoint rule.
    pub fn train(&mut self, now: u64, every: u64) {
        let (Some(view), Some(store)) = (&self.view, &mut self.store) else { return };
        if now < self.trainer_down_until || view.incarnation(&self.id) != Some(store.opened) {
            return;
        }
        if self.at.is_none() {
            let newest = store.states.iter().next_back().map(|(s, d)| (*s, *d));
            let fresh = view.members()[&self.id].joined_at == Seq(0) || view.last_round().0 == 0;
            self.at = newest.or(fresh.then(|| (Seq(0), initial())));
        }
        let Some((mut at, mut state)) = self.at else { return };
        for (seq, _, commit) in view.commits_after(at) {
            state = match commit {
                Commit::Outer(o) if o.included.iter().all(|i| store.held.get(&i.key) == Some(&i.digest)) => {
                    let right = after(state, &o.included);
                    self.right = Some((seq, right));
                    self.reproduced = false;
                    // A flipped bit: found by the others' digests, cured by computing again (D17).
                    if std::mem::take(&mut self.flips) && view.state(seq).is_none() {
                        Digest::of(&right.0)
                    } else {
                        right
                    }
                }
                Commit::Step(s) if s.site == self.id && s.incarnation == store.opened => s.state,
                _ => break,
            };
            at = seq;
        }
        // On a mismatch it computes the chunks that differ again, and reloads if it does not get its own value (D17).
        if self.asked.as_ref().is_some_and(|a| a.disagreement.iter().any(|n| n.state.of == at))
            && let Some((_, right)) = self.right.filter(|(seq, _)| *seq == at)
        {
            self.reproduced = right == state;
            state = right;
        }
        if let Some((fixed, _)) = view.state(at)
            && fixed != state
        {
            state = fixed;
        }
        if self.at != Some((at, state)) {
            self.training = None;
        }
        self.at = Some((at, state));
        store.states.insert(at, state);
        while store.states.len() > 2 {
            store.states.pop_first();
        }
        let (newest, round, _) = view.last_commit();
        if at != newest {
            return;
        }
        let asked = self.asked.as_ref().is_some_and(|a| a.save.contains(&at));
        let alone = matches!(view.last_commit().2, Commit::Step(_));
        if at > Seq(0) && (asked || alone || checkpoints::due(round, view.tokens(), every, view.genesis().budget)) {
            store.kept.insert(at, state);
        }
        if view.ended().is_some() || self.asked.as_ref().is_none_or(|a| a.desired != Desired::Run) {
            return;
        }
        let Some((seq, plan)) = view.current_plan() else { return };
        let Some(part) = plan.part(&self.id).filter(|p| p.incarnation == store.opened) else { return };
        if store.offer.as_ref().is_some_and(|o| o.key.plan == seq) || store.step.as_ref().is_some_and(|o| o.plan == seq)
        {
            return;
        }
        let since = match self.training {
            Some((p, since)) if p == seq => since,
            _ => {
                self.training = Some((seq, now));
                now
            }
        };
        if now - since < part.ranges.len().div_ceil(PER_STEP) * self.step_millis {
            return;
        }
        if !part.ranges.is_empty() {
            store.worked.insert(seq, part.ranges.clone());
        }
        if store.worked.is_empty() {
            // Nothing to give: the budget has nothing left for it.
            return;
        }
        let used: Vec<LeaseUse> = store.worked.iter().map(|(p, r)| LeaseUse { plan: *p, used: r.clone() }).collect();
        let tokens = used.iter().map(|u| u.used.len()).sum::<u64>() * view.genesis().sequence_length;
        store.entry += 1;
        let epoch = view.head().epoch;
        let key = ContributionKey {
            site: self.id.clone(),
            epoch,
            incarnation: store.opened,
            plan: seq,
            fragment: 0,
            entry: store.entry,
        };
        let digest = Digest::of(key.to_string().as_bytes());
        if plan.one_member() {
            let state = Digest::over(&[state, digest]);
            store.step = Some(StepOffer {
                plan: seq,
                checkpoint: digest,
                entry: store.entry,
                state,
                tokens,
                used,
                batch_hash: BatchHash(1),
            });
        } else {
            store.held.insert(key.clone(), digest);
            let norm = Real::new(self.norm).unwrap();
            store.offer = Some(Offer { key, digest, bytes: 4, tokens, used, batch_hash: BatchHash(1), norm });
        }
        self.training = None;
    }
}
