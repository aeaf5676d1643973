//! A site and the legal history it sees, for tests of the judgement.
use std::collections::BTreeSet;

use coalition_protocol::bits::BatchHash;
use coalition_protocol::history::View;
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::messages::Desired;
use coalition_protocol::record::{
    Assignment, Body, Genesis, Included, LeaseUse, LeftOut, Origin, Outer, Part, Plan, Record, State, VERSION,
};
use coalition_protocol::sign::HubKey;
use coalition_protocol::{Attempt, Digest, Epoch, Incarnation, IntervalSet, Real, Seq, SiteId};
use coalition_spec::run::Interval;

use super::super::*;

pub const ROWS: u64 = 2;

pub fn site(name: &str) -> SiteId {
    name.parse().unwrap()
}

pub fn digest() -> Digest {
    Digest::of(b"state")
}

pub struct World {
    pub view: View,
    pub cursor: Cursor,
    pub saved: Option<Cursor>,
    pub offered: Option<Seq>,
    pub stored: BTreeSet<Seq>,
    pub held: BTreeSet<ContributionKey>,
    pub desired: Desired,
    pub fence: Fence,
    pub store_lost: bool,
    pub disagreement: bool,
    pub refuted: bool,
    pub terminate: bool,
}

impl World {
    /// A run of these sites at its beginning, seen by `a`; θ was measured.
    pub fn new(sites: &[&str]) -> Self {
        Self::from(sites, None)
    }

    /// The same, from the state of another run.
    pub fn from(sites: &[&str], origin: Option<Digest>) -> Self {
        let origin = origin.map(|state| Origin { run: "old".parse().unwrap(), seq: Seq(50), state });
        let genesis = Genesis {
            hub_key: HubKey::from_seed(&[1; 32]).public().0,
            hub_generation: 1,
            spec: Digest::ZERO,
            data: Digest::ZERO,
            samples_per_pass: 1000,
            sequence_length: 8,
            batch_tokens: 8 * ROWS,
            inner_steps: 3,
            budget: 10_000,
            seed: 1,
            elements: 4096,
            fragments: 1,
            outer_lr: Real::new(0.7).unwrap(),
            outer_momentum: Real::new(0.9).unwrap(),
            members: sites.iter().map(|s| Assignment { site: site(s), incarnation: Incarnation(1) }).collect(),
            origin,
        };
        let record = Record {
            version: VERSION,
            run: "r".parse().unwrap(),
            epoch: Epoch(1),
            seq: Seq(0),
            parent: Digest::ZERO,
            body: Body::Genesis(genesis),
        };
        let view = View::start(&HubKey::from_seed(&[1; 32]).sign(record).unwrap()).unwrap();
        let mut cursor = Cursor::fresh(digest());
        cursor.measured = Some(Seq(0));
        Self {
            view,
            cursor,
            saved: None,
            offered: None,
            stored: BTreeSet::new(),
            held: BTreeSet::new(),
            desired: Desired::Run,
            fence: Fence { epoch: Epoch(1), incarnation: Incarnation(1), attempt: Attempt(1) },
            store_lost: false,
            disagreement: false,
            refuted: false,
            terminate: false,
        }
    }

    pub fn append(&mut self, body: Body) -> Seq {
        let record = self.view.next(body);
        self.view.apply(&record).unwrap();
        record.seq
    }

    /// Plans the next round for these sites, three steps each.
    pub fn plan(&mut self, sites: &[&str]) -> Seq {
        let parts: Vec<(&str, u64, bool)> = sites.iter().map(|s| (*s, 3 * ROWS, false)).collect();
        self.plan_of(&parts)
    }

    /// Plans the next round: (site, positions, whether its late work is dropped).
    pub fn plan_of(&mut self, parts: &[(&str, u64, bool)]) -> Seq {
        let mut taken = IntervalSet::new();
        let parts = parts
            .iter()
            .map(|(s, positions, drop_late)| {
                let ranges = self.view.ledger().next_free(*positions, &taken);
                taken = taken.union(&ranges);
                let (tokens, drop_late) = (ranges.len() * 8, *drop_late);
                Part { site: site(s), incarnation: Incarnation(1), inner_steps: 3, ranges, tokens, drop_late }
            })
            .collect();
        let round = self.view.open_plans().last().map_or(self.view.last_round(), |(_, p)| p.round).next();
        let in_flight: u64 = self.view.open_plans().map(|(_, p)| p.tokens()).sum();
        self.append(Body::Plan(Plan {
            round,
            tokens_before: self.view.tokens() + in_flight,
            budget: 10_000,
            parts,
            stretch: 1,
            grace_millis: 1,
            quorum: 1,
            norm_limit: None,
        }))
    }

    pub fn fix_state(&mut self) {
        let of = self.view.last_commit().0;
        let confirmers = vec![site("a")];
        self.append(Body::State(State { of, digest: digest(), confirmers }));
    }

    /// Commits the current plan with the contributions of `sites`; the others are left out.
    pub fn commit(&mut self, sites: &[&str]) -> Seq {
        let (seq, plan) = self.view.current_plan().map(|(s, p)| (s, p.clone())).unwrap();
        let has = |s: &SiteId| sites.contains(&s.as_str());
        let included: Vec<Included> = plan
            .parts
            .iter()
            .filter(|p| has(&p.site))
            .map(|p| Included {
                key: key(p.site.as_str(), seq),
                digest: Digest::ZERO,
                tokens: p.tokens,
                used: vec![LeaseUse { plan: seq, used: p.ranges.clone() }],
                batch_hash: BatchHash(0),
                norm: Real::ZERO,
            })
            .collect();
        let left_out = plan
            .parts
            .iter()
            .filter(|p| !has(&p.site))
            .map(|p| LeftOut {
                site: p.site.clone(),
                incarnation: p.incarnation,
                returned: self.view.members()[&p.site].missed >= 1,
            })
            .collect();
        let tokens = self.view.tokens() + included.iter().map(|i| i.tokens).sum::<u64>();
        let holders = included.iter().map(|i| i.key.site.clone()).collect();
        self.append(Body::Outer(Outer {
            plan: seq,
            round: plan.round,
            fragment: 0,
            included,
            holders,
            left_out,
            tokens,
        }))
    }

    pub fn next(&self) -> Action {
        let me = site("a");
        let situation = Situation {
            site: &me,
            fence: Fence { epoch: Epoch(1), incarnation: Incarnation(1), attempt: Attempt(1) },
            cursor: &self.cursor,
            rows: ROWS,
            offered: self.offered,
            saved: self.saved.as_ref(),
            since_saved: 0,
            stored: &self.stored,
            interval: Interval::Steps(2),
            keep_every: 10,
            measures: true,
        };
        let outside = Outside {
            view: &self.view,
            desired: self.desired,
            fence: self.fence,
            store_lost: self.store_lost,
            held: &self.held,
            save: &[],
            disagreement: self.disagreement,
            refuted: self.refuted,
            terminate: self.terminate,
        };
        next(&situation, &outside)
    }

    pub fn step(&mut self) {
        self.cursor.stepped(BatchHash(1), true, self.cursor.round.next());
    }

    pub fn save(&mut self) {
        self.saved = Some(self.cursor.clone());
    }

    pub fn is_waiting(&self) -> bool {
        matches!(self.next(), Action::Wait(_))
    }
}

pub fn key(maker: &str, plan: Seq) -> ContributionKey {
    ContributionKey { site: site(maker), epoch: Epoch(1), incarnation: Incarnation(1), plan, fragment: 0, entry: 1 }
}
