//! A hub and a courier in one small state machine: enough to take real trainer processes through a whole run. It appends
//! only what `View::apply` accepts, so its runs are legal runs.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use coalition_protocol::history::View;
use coalition_protocol::keys::{self, ContributionKey};
use coalition_protocol::messages::{Desired, ExitReport, JoinRequest, TrainerReport};
use coalition_protocol::record::{Body, End, Genesis, Included, LeftOut, Outcome, Outer, Part, Plan, State, Step};
use coalition_protocol::sign::{HubKey, SignedRecord};
use coalition_protocol::{Attempt, Epoch, Incarnation, IntervalSet, RunId, Seq, SiteId};

#[derive(Debug)]
pub struct Site {
    pub workers: u32,
    pub store: PathBuf,
    pub desired: Desired,
    pub incarnation: Incarnation,
    /// Left out of commits while true.
    pub silent: bool,
    pub attempt: Attempt,
    pub members: Vec<JoinRequest>,
    pub joining: BTreeMap<u32, JoinRequest>,
    pub report: Option<TrainerReport>,
    pub held: BTreeSet<ContributionKey>,
    pub exits: Vec<ExitReport>,
    /// Every way in which an attempt resumed, in order.
    pub resumed: Vec<String>,
}

#[derive(Debug)]
pub struct State_ {
    key: HubKey,
    pub chain: Vec<SignedRecord>,
    pub view: View,
    pub spec: serde_json::Value,
    pub sites: BTreeMap<SiteId, Site>,
    pub version: u64,
    pub steps: u64,
    /// Digests reported for each commit, by site: all must be equal.
    pub states: BTreeMap<Seq, BTreeMap<SiteId, String>>,
}

#[derive(Clone)]
pub struct Hub(pub Arc<(Mutex<State_>, Condvar)>);

pub struct Setup {
    pub run: RunId,
    pub genesis: Genesis,
    pub spec: serde_json::Value,
    /// Sites with workers and store.
    pub sites: Vec<(SiteId, u32, PathBuf)>,
    /// Inner steps of a site's part of a round.
    pub steps: u64,
}

impl Hub {
    pub fn new(setup: Setup) -> Self {
        let key = HubKey::from_seed(&[5; 32]);
        let mut genesis = setup.genesis;
        genesis.hub_key = key.public().0;
        let record = coalition_protocol::record::Record {
            version: coalition_protocol::record::VERSION,
            run: setup.run,
            epoch: Epoch(1),
            seq: Seq(0),
            parent: coalition_protocol::Digest::ZERO,
            body: Body::Genesis(genesis),
        };
        let signed = key.sign(record).unwrap();
        let view = View::start(&signed).unwrap();
        let sites = setup
            .sites
            .into_iter()
            .map(|(id, workers, store)| {
                let site = Site {
                    workers,
                    store,
                    desired: Desired::Run,
                    incarnation: Incarnation(1),
                    silent: false,
                    attempt: Attempt(0),
                    members: Vec::new(),
                    joining: BTreeMap::new(),
                    report: None,
                    held: BTreeSet::new(),
                    exits: Vec::new(),
                    resumed: Vec::new(),
                };
                (id, site)
            })
            .collect();
        let mut state = State_ {
            key,
            chain: vec![signed],
            view,
            spec: setup.spec,
            sites,
            version: 1,
            steps: setup.steps,
            states: BTreeMap::new(),
        };
        state.advance();
        Self(Arc::new((Mutex::new(state), Condvar::new())))
    }

    pub fn lock(&self) -> MutexGuard<'_, State_> {
        self.0.0.lock().unwrap()
    }

    pub fn change(&self, what: impl FnOnce(&mut State_)) {
        let mut s = self.lock();
        what(&mut s);
        s.advance();
        s.version += 1;
        self.0.1.notify_all();
    }

    /// Waits until `done`, at most `limit`; on a timeout says what was waited for.
    pub fn wait(&self, what: &str, limit: Duration, mut done: impl FnMut(&State_) -> bool) {
        let until = Instant::now() + limit;
        let mut s = self.lock();
        while !done(&s) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited {limit:?} for {what}; the hub stands at:\n{}", s.describe());
            s = self.0.1.wait_timeout(s, left).unwrap().0;
        }
    }
}

impl State_ {
    pub fn site(&mut self, id: &SiteId) -> &mut Site {
        self.sites.get_mut(id).unwrap()
    }

    pub fn describe(&self) -> String {
        let mut out =
            format!("head {} T {} round {}\n", self.view.head().seq, self.view.tokens(), self.view.last_round());
        for (id, s) in &self.sites {
            let report = s.report.as_ref().map(|r| (r.head.seq, &r.progress, r.offers.len(), r.step.is_some()));
            let _ = writeln!(out, "{id}: attempt {} joining {} {report:?}", s.attempt, s.joining.len());
            if let Some(e) = s.exits.last() {
                let _ = writeln!(out, "  last exit {}: {}", e.exit_code, e.log);
            }
        }
        out
    }

    fn append(&mut self, body: Body) {
        let signed = self.key.sign(self.view.next(body)).unwrap();
        self.view.extend(&signed).unwrap();
        self.chain.push(signed);
    }

    /// Appends whatever may be appended.
    fn advance(&mut self) {
        while let Some(body) = self.next_record() {
            self.append(body);
        }
    }

    fn present(&self) -> Vec<SiteId> {
        let alive = |s: &Site| !s.silent && s.desired == Desired::Run;
        self.sites.iter().filter(|(_, s)| alive(s)).map(|(id, _)| id.clone()).collect()
    }

    fn next_record(&mut self) -> Option<Body> {
        if self.view.ended().is_some() {
            return None;
        }
        let (of, round, _) = self.view.last_commit();
        if self.view.state(of).is_none() {
            let present = self.present();
            let found: Vec<_> = present.iter().filter_map(|s| Some((s, self.states.get(&of)?.get(s)?))).collect();
            if found.len() == present.len() && !found.is_empty() {
                assert!(found.iter().all(|f| f.1 == found[0].1), "sites disagree about record {of}: {found:?}");
                let digest = found[0].1.parse().unwrap();
                return Some(Body::State(State { of, digest, confirmers: present }));
            }
        }
        let budget = self.view.genesis().budget;
        if self.view.tokens() >= budget {
            return self.end(of);
        }
        let planned: u64 = self.view.open_plans().map(|(_, p)| p.tokens()).sum();
        if self.view.open_plans().count() < 2 && self.left(budget) > 0 {
            return Some(Body::Plan(self.plan(planned, budget)));
        }
        let (seq, plan) = self.view.current_plan().map(|(s, p)| (s, p.clone()))?;
        if plan.one_member() {
            self.step(seq, &plan)
        } else {
            self.outer(seq, &plan, round.0 > 0 || self.view.state(of).is_some())
        }
    }

    /// Positions that are neither used nor leased.
    fn left(&self, budget: u64) -> u64 {
        let leased: u64 = self.view.ledger().all_leases().map(|(_, l)| l.ranges.len()).sum();
        budget.div_ceil(self.view.genesis().sequence_length) - self.view.ledger().used().len() - leased
    }

    fn plan(&self, planned: u64, budget: u64) -> Plan {
        let g = self.view.genesis();
        let rows = g.batch_tokens / g.sequence_length;
        let mut left = self.left(budget);
        let mut taken = IntervalSet::new();
        let mut parts = Vec::new();
        let round = self.view.open_plans().last().map_or(self.view.last_round(), |(_, p)| p.round).next();
        for (id, s) in &self.sites {
            let want = (self.steps * rows).min(left);
            if want == 0 {
                continue;
            }
            left -= want;
            let ranges = self.view.ledger().next_free(want, &taken);
            taken = taken.union(&ranges);
            let inner_steps = want.div_ceil(rows);
            let tokens = want * g.sequence_length;
            let (site, incarnation, drop_late) = (id.clone(), s.incarnation, false);
            parts.push(Part { site, incarnation, inner_steps, ranges, tokens, drop_late });
        }
        let quorum = 1;
        let tokens_before = self.view.tokens() + planned;
        Plan { round, tokens_before, budget, parts, stretch: 1, grace_millis: 1000, quorum, norm_limit: None }
    }

    fn step(&self, seq: Seq, plan: &Plan) -> Option<Body> {
        let part = &plan.parts[0];
        let step = self.sites[&part.site].report.as_ref()?.step.clone().filter(|s| s.plan == seq)?;
        assert_eq!(step.tokens, part.tokens);
        Some(Body::Step(Step {
            plan: seq,
            round: plan.round,
            site: part.site.clone(),
            incarnation: part.incarnation,
            checkpoint: step.checkpoint,
            state: step.state,
            used: step.used,
            batch_hash: step.batch_hash,
            tokens: self.view.tokens() + step.tokens,
        }))
    }

    /// Commits once every site that is not silent has offered; couriers are a copy of files.
    fn outer(&mut self, seq: Seq, plan: &Plan, may: bool) -> Option<Body> {
        if !may || self.view.state(self.view.last_commit().0).is_none() {
            return None;
        }
        let mut included = Vec::new();
        let mut left_out = Vec::new();
        for part in &plan.parts {
            let site = &self.sites[&part.site];
            if site.silent {
                let missed = self.view.members()[&part.site].missed;
                let returned = missed >= 1;
                left_out.push(LeftOut { site: part.site.clone(), incarnation: part.incarnation, returned });
                continue;
            }
            let offer = site.report.as_ref()?.offers.iter().find(|o| o.key.plan == seq)?.clone();
            included.push(Included {
                key: offer.key,
                digest: offer.digest,
                tokens: offer.tokens,
                used: offer.used,
                batch_hash: offer.batch_hash,
                norm: offer.norm,
            });
        }
        if included.is_empty() {
            return None;
        }
        let run = self.view.run().clone();
        let makers: BTreeMap<SiteId, PathBuf> =
            self.sites.iter().map(|(id, s)| (id.clone(), s.store.clone())).collect();
        for i in &included {
            let folder = keys::contribution(&run, &i.key);
            for s in self.sites.values_mut().filter(|s| s.store != makers[&i.key.site]) {
                copy(&makers[&i.key.site].join(&folder), &s.store.join(&folder));
                s.held.insert(i.key.clone());
            }
        }
        let tokens = self.view.tokens() + included.iter().map(|i| i.tokens).sum::<u64>();
        let holders = included.iter().map(|i| i.key.site.clone()).collect();
        Some(Body::Outer(Outer { plan: seq, round: plan.round, fragment: 0, included, holders, left_out, tokens }))
    }

    fn end(&self, of: Seq) -> Option<Body> {
        let (digest, _) = self.view.state(of)?;
        let stored = |s: &Site| {
            s.report.as_ref().is_some_and(|r| r.checkpoints.iter().any(|c| c.seq == of && c.state == digest))
        };
        let confirmers: Vec<SiteId> = self.present();
        confirmers.iter().all(|id| stored(&self.sites[id])).then(|| {
            Body::End(End {
                outcome: Outcome::Complete,
                message: String::new(),
                tokens: self.view.tokens(),
                of,
                state: Some(digest),
                confirmers,
            })
        })
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
