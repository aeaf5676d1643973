//! Builds legal chains, one move at a time.
#![allow(dead_code)]
use coalition_protocol::bits::BatchHash;
use coalition_protocol::history::{View, Violation};
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::record::{
    Assignment, Body, Genesis, Included, LeaseUse, Members, Outer, Part, Plan, Record, Removal, State, Step, VERSION,
    Void,
};
use coalition_protocol::sign::HubKey;
use coalition_protocol::{Digest, Epoch, Incarnation, IntervalSet, Real, Seq, SiteId};

pub fn site(n: usize) -> SiteId {
    format!("s{n}").parse().unwrap()
}

pub struct Chain {
    pub records: Vec<Record>,
    pub view: View,
    /// The budget that plans name.
    pub budget: u64,
}

impl Chain {
    pub fn new(sites: usize) -> Self {
        let one = Real::new(1.0).unwrap();
        let genesis = Genesis {
            hub_key: HubKey::from_seed(&[7; 32]).public().0,
            hub_generation: 1,
            spec: Digest::ZERO,
            data: Digest::ZERO,
            samples_per_pass: 100,
            sequence_length: 8,
            batch_tokens: 32,
            inner_steps: 2,
            budget: 1 << 40,
            seed: 1,
            elements: 4096,
            fragments: 1,
            outer_lr: one,
            outer_momentum: one,
            members: (0..sites).map(|n| Assignment { site: site(n), incarnation: Incarnation(1) }).collect(),
            origin: None,
        };
        let run = "test".parse().unwrap();
        let (epoch, seq, parent) = (Epoch(1), Seq(0), Digest::ZERO);
        let first = Record { version: VERSION, run, epoch, seq, parent, body: Body::Genesis(genesis) };
        let view = View::start_unsigned(&first).unwrap();
        Self { records: vec![first], view, budget: 1 << 40 }
    }

    pub fn append(&mut self, body: Body) {
        let r = self.view.next(body);
        self.view.apply(&r).unwrap();
        self.records.push(r);
    }

    fn standing(&self) -> Vec<SiteId> {
        self.view.plannable(self.view.next_round()).cloned().collect()
    }

    /// A plan for everyone that may have a part.
    pub fn plan(&self) -> Body {
        let mut taken = IntervalSet::new();
        let mut parts = Vec::new();
        for (n, site) in self.standing().into_iter().enumerate() {
            // Unequal parts.
            let ranges = self.view.ledger().next_free(4 + n as u64, &taken);
            taken = taken.union(&ranges);
            let incarnation = self.view.incarnation(&site).unwrap();
            parts.push(Part { site, incarnation, inner_steps: 4, tokens: ranges.len() * 8, ranges, drop_late: false });
        }
        Body::Plan(Plan {
            round: self.view.next_round(),
            parts,
            tokens_before: self.view.tokens() + self.view.in_flight(),
            budget: self.budget,
            stretch: 1,
            grace_millis: 1000,
            quorum: 1,
            norm_limit: None,
        })
    }

    pub fn state(&self) -> Body {
        let (of, ..) = self.view.last_commit();
        let confirmers = self.view.members().iter().filter(|(_, m)| !m.retired).map(|(s, _)| s.clone()).collect();
        Body::State(State { of, digest: Digest::of(&of.0.to_le_bytes()), confirmers })
    }

    fn used(&self, site: &SiteId, plan: Seq) -> Vec<LeaseUse> {
        let leases = self.view.ledger().leases(site).filter(|(p, _)| *p <= plan);
        leases.map(|(plan, l)| LeaseUse { plan, used: l.ranges.clone() }).collect()
    }

    /// A commit of the open plan with the parts of these indices.
    pub fn outer(&self, parts: &[usize]) -> Outer {
        let (seq, plan) = self.view.current_plan().unwrap();
        let mut included = Vec::new();
        for n in parts {
            let p = &plan.parts[*n];
            let used = self.used(&p.site, seq);
            let (site, incarnation) = (p.site.clone(), p.incarnation);
            let key = ContributionKey { site, epoch: Epoch(1), incarnation, plan: seq, fragment: 0, entry: 1 };
            let tokens = used.iter().map(|u| u.used.len()).sum::<u64>() * 8;
            let digest = Digest::of(key.to_string().as_bytes());
            included.push(Included {
                key,
                digest,
                tokens,
                used,
                batch_hash: BatchHash(0),
                norm: Real::new(1.0).unwrap(),
            });
        }
        let tokens = self.view.tokens() + included.iter().map(|i| i.tokens).sum::<u64>();
        let left_out = self.view.left_out(plan, |s| included.iter().any(|i| i.key.site == *s));
        let holders = included.iter().map(|i| i.key.site.clone()).collect();
        Outer { plan: seq, round: plan.round, fragment: 0, included, holders, left_out, tokens }
    }

    fn able(&self) -> Vec<usize> {
        let Some((_, plan)) = self.view.current_plan() else { return Vec::new() };
        let ok = |s: &SiteId, i: Incarnation| {
            self.view.members().get(s).is_some_and(|m| m.in_good_standing() && m.incarnation == i)
        };
        (0..plan.parts.len()).filter(|n| ok(&plan.parts[*n].site, plan.parts[*n].incarnation)).collect()
    }

    fn commit(&self, pick: usize) -> Option<Body> {
        let able = self.able();
        let (seq, plan) = self.view.current_plan()?;
        if !plan.one_member() {
            self.view.state(Seq(0))?;
            let some: Vec<usize> = able.into_iter().filter(|n| (pick >> (n % 12)) & 1 == 0).collect();
            return (!some.is_empty()).then(|| Body::Outer(self.outer(&some)));
        }
        let p = plan.parts.first()?;
        if self.view.incarnation(&p.site) != Some(p.incarnation) {
            return None;
        }
        let used = self.used(&p.site, seq);
        let tokens = self.view.tokens() + used.iter().map(|u| u.used.len()).sum::<u64>() * 8;
        Some(Body::Step(Step {
            plan: seq,
            round: plan.round,
            site: p.site.clone(),
            incarnation: p.incarnation,
            checkpoint: Digest::ZERO,
            state: Digest::ZERO,
            used,
            batch_hash: BatchHash(0),
            tokens,
        }))
    }

    fn membership(&self, kind: u16, pick: usize) -> Option<Members> {
        let none = Members::default();
        if kind == 13 {
            let (s, m) = self.view.members().iter().find(|(_, m)| m.retired)?;
            return Some(Members {
                joined: vec![Assignment { site: s.clone(), incarnation: m.incarnation.next() }],
                ..none
            });
        }
        let members: Vec<_> = self.view.members().iter().filter(|(_, m)| !m.retired).collect();
        let (s, m) = members.get(pick % members.len().max(1))?;
        let removal = |why: &str| vec![Removal { site: (*s).clone(), incarnation: m.incarnation, reason: why.into() }];
        Some(match (kind, &m.set_aside) {
            (12, _) => Members { retired: removal("Lost"), ..none },
            (_, Some(_)) => Members { lifted: vec![(*s).clone()], ..none },
            (_, None) => Members { set_aside: removal("PeersUnreachable"), ..none },
        })
    }

    /// The record that move `m` stands for, if one of its kind is possible now.
    pub fn propose(&self, m: u16) -> Option<Body> {
        let pick = usize::from(m >> 4);
        let open: Vec<Seq> = self.view.open_plans().map(|(s, _)| s).collect();
        match m & 15 {
            0..=4 => (open.len() < 2 && !self.standing().is_empty()).then(|| self.plan()),
            5..=9 => self.commit(pick),
            10 | 11 => {
                let members = self.view.members().values().any(|m| !m.retired);
                (members && self.view.state(self.view.last_commit().0).is_none()).then(|| self.state())
            }
            14 => {
                let round = self.view.last_round().next();
                (!open.is_empty()).then(|| Body::Void(Void { round, plans: open, reason: "NoQuorum".into() }))
            }
            kind => self.membership(kind, pick).map(Body::Members),
        }
    }

    /// Appends the record of move `m`, which must be legal.
    pub fn step(&mut self, m: u16) {
        if let Some(body) = self.propose(m) {
            self.append(body);
        }
    }
}

/// Changes one thing about a record.
pub fn spoil(r: &mut Record, how: usize) {
    match (&mut r.body, how) {
        (_, 0) => r.seq = r.seq.next(),
        (_, 1) => r.parent = Digest::ZERO,
        (Body::Plan(p), 2) => p.tokens_before += 1,
        (Body::Plan(p), 3) => p.parts[0].ranges = IntervalSet::span(0, p.parts[0].ranges.len()),
        (Body::Plan(p), 4) => p.parts.reverse(),
        (Body::Outer(o), 5) => o.tokens += 1,
        (Body::Outer(o), 6) => o.included[0].used.clear(),
        (Body::Outer(o), 7) => o.left_out.clear(),
        (Body::Members(m), 2) => m.retired.extend(m.set_aside.clone()),
        (Body::Void(v), _) => drop(v.plans.pop()),
        (Body::State(s), _) => s.of = Seq(99),
        (Body::Step(s), _) => s.tokens += 1,
        _ => {}
    }
}

/// The rule that refuses this record next; `reserved` and `legal` if none does.
pub fn rule_of(c: &Chain, body: Body) -> &'static str {
    match c.view.check(&c.view.next(body)) {
        Err(Violation::Rule { rule, .. }) => rule,
        Err(Violation::Reserved { .. }) => "reserved",
        Ok(()) => "legal",
        Err(e) => panic!("{e}"),
    }
}

/// The same for the first plan of two sites, changed.
pub fn with_plan(change: impl FnOnce(&mut Plan)) -> &'static str {
    let c = Chain::new(2);
    let Body::Plan(mut p) = c.plan() else { panic!("a chain's plan is a plan") };
    change(&mut p);
    rule_of(&c, Body::Plan(p))
}
