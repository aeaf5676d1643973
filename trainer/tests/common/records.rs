//! The records of the test's hub: plans for everyone who may be planned for, commits once every site that is not silent has
//! offered. It appends only what `View::apply` accepts, so its runs are legal runs.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coalition_protocol::messages::{Desired, StateNotice, StateReport};
use coalition_protocol::record::{Body, End, Included, Outcome, Outer, Part, Plan, State, Step};
use coalition_protocol::{Digest, IntervalSet, Seq, SiteId, keys};

use super::hub::{Site, State_};

impl State_ {
    pub(super) fn append(&mut self, body: Body) {
        let signed = self.key.sign(self.view.next(body)).unwrap();
        self.view.extend(&signed).unwrap();
        self.chain.push(signed);
    }

    /// Appends whatever may be appended.
    pub(super) fn advance(&mut self) {
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
        if self.view.state(of).is_none()
            && let Some((digest, confirmers)) = self.agreed(of)
        {
            return Some(Body::State(State { of, digest, confirmers }));
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

    /// The state that every present site has, or more of them than have any other (D17).
    fn agreed(&self, of: Seq) -> Option<(Digest, Vec<SiteId>)> {
        let present = self.present();
        let mut found: BTreeMap<Digest, Vec<SiteId>> = BTreeMap::new();
        for site in &present {
            found.entry(self.states.get(&of)?.get(site)?.digest).or_default().push(site.clone());
        }
        assert!(self.may_differ || found.len() < 2, "sites disagree about record {of}: {found:?}");
        let most = found.values().map(Vec::len).max()?;
        let mut with_most = found.into_iter().filter(|(_, sites)| sites.len() == most);
        with_most.next().filter(|_| with_most.next().is_none())
    }

    /// What sites are shown once two of them differ about the newest state.
    pub fn disagreement(&self) -> Vec<StateNotice> {
        let Some(all) = self.states.get(&self.view.last_commit().0) else { return Vec::new() };
        let differ = all.values().any(|r| all.values().any(|other| other.digest != r.digest));
        let notice = |(site, state): (&SiteId, &StateReport)| StateNotice { site: site.clone(), state: state.clone() };
        if differ { all.iter().map(notice).collect() } else { Vec::new() }
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
        let plannable: Vec<&SiteId> = self.view.plannable(round).collect();
        for (n, id) in plannable.iter().enumerate() {
            // What is left at the end is shared: a plan for one member is another thing (D30).
            let want = (self.steps * rows).min(left.div_ceil((plannable.len() - n) as u64));
            if want == 0 {
                continue;
            }
            left -= want;
            let ranges = self.view.ledger().next_free(want, &taken);
            taken = taken.union(&ranges);
            let inner_steps = want.div_ceil(rows);
            let tokens = want * g.sequence_length;
            parts.push(Part {
                site: (*id).clone(),
                incarnation: self.sites[*id].incarnation,
                inner_steps,
                ranges,
                tokens,
                drop_late: false,
            });
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
        let held = self.hold_at.is_some_and(|last| plan.round > last);
        if !may || held || self.view.state(self.view.last_commit().0).is_none() {
            return None;
        }
        let mut included: Vec<Included> = Vec::new();
        for part in &plan.parts {
            let site = &self.sites[&part.site];
            if site.silent || site.incarnation != part.incarnation {
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
        let left_out = self.view.left_out(plan, |s| included.iter().any(|i| i.key.site == *s));
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
