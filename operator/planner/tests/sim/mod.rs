//! A whole run in one process: the planner as the hub, simulated sites, a network that delays, repeats, reorders and cuts,
//! and faults by seed. Time is a number; invariants are checked after every record.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
pub mod answers;
pub mod network;
pub mod site;
pub mod spec;
mod twin;

use std::collections::{BTreeMap, BTreeSet};

use coalition_planner::{Intent, Millis, Setup, World, plan};
use coalition_protocol::history::View;
use coalition_protocol::messages::{Desired, SiteReport};
use coalition_protocol::philox::{Draws, Purpose};
use coalition_protocol::record::{Body, Record};
use coalition_protocol::sign::HubKey;
use coalition_protocol::{Digest, Incarnation, Seq, SiteId};
use coalition_spec::RunSpec;

use site::Site;

/// Length of a tick, milliseconds.
pub const TICK: u64 = 100;

/// Something that happens to a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    KillTrainer { site: usize, millis: u64 },
    Down { site: usize, millis: u64 },
    LoseStore { site: usize, millis: u64 },
    Cut { a: usize, b: usize, millis: u64 },
    HubRestart,
    Flip { site: usize },
}

pub struct Sim {
    pub now: u64,
    pub world: World,
    pub chain: Vec<Record>,
    pub sites: Vec<Site>,
    /// Reports on their way: (arrives at, report).
    pub wire: Vec<(u64, SiteReport)>,
    pub cuts: BTreeMap<(usize, usize), u64>,
    pub faults: Vec<(u64, Fault)>,
    pub draws: Draws,
    pub drawn: u64,
    /// The state every site must compute for a commit.
    pub states: BTreeMap<Seq, Digest>,
    pub stalls: Vec<String>,
    pub events: Vec<String>,
    /// The history as a hub that forgets has it, and how often it forgot: must decide the same.
    pub twin: Option<(View, u64)>,
}

impl Sim {
    pub fn new(spec: RunSpec, speeds: &[u64], seed: u64) -> Self {
        let setup = Setup {
            run: "sim".parse().unwrap(),
            hub_key: HubKey::from_seed(&[7; 32]).public().0,
            data: Digest::of(b"data"),
            samples_per_pass: 1000,
            elements: 4096,
        };
        let names = ["alpha", "beta", "gamma", "delta"];
        let sites: Vec<Site> = names.iter().zip(speeds).map(|(n, v)| Site::new(n, *v)).collect();
        let mut world = World::new(setup, spec, None, "leader-0", Millis(0));
        for s in &sites {
            world.add_site(s.id.clone(), Millis(0));
        }
        let draws = Draws::new(seed, Purpose::Test, 0, 0);
        Self {
            now: 0,
            world,
            chain: Vec::new(),
            sites,
            wire: Vec::new(),
            cuts: BTreeMap::new(),
            faults: Vec::new(),
            draws,
            drawn: 0,
            states: [(Seq(0), site::initial())].into(),
            stalls: Vec::new(),
            events: Vec::new(),
            twin: None,
        }
    }

    pub fn draw(&mut self, below: u64) -> u64 {
        self.drawn += 1;
        self.draws.u64(self.drawn) % below.max(1)
    }

    pub fn view(&self) -> Option<&View> {
        self.world.view.as_ref()
    }

    pub fn index(&self, id: &SiteId) -> usize {
        self.sites.iter().position(|s| s.id == *id).unwrap()
    }

    pub fn inflict(&mut self, fault: Fault) {
        self.events.push(format!("{} ms: {fault:?}", self.now));
        let now = self.now;
        match fault {
            Fault::KillTrainer { site, millis } => self.sites[site].kill_trainer(now, millis),
            Fault::Down { site, millis } => {
                self.sites[site].down_until = now + millis;
                self.sites[site].kill_trainer(now, millis);
            }
            Fault::LoseStore { site, millis } => {
                let s = &mut self.sites[site];
                s.down_until = now + millis;
                s.kill_trainer(now, millis);
                s.store = None;
            }
            Fault::Cut { a, b, millis } => {
                self.cuts.insert((a.min(b), a.max(b)), now + millis);
            }
            Fault::HubRestart => {
                self.world.new_leader(format!("leader-{now}"), Millis(now));
            }
            Fault::Flip { site } => self.sites[site].flips = true,
        }
    }

    /// One tick of everything.
    pub fn tick(&mut self) {
        self.now += TICK;
        while let Some(n) = self.faults.iter().position(|(t, _)| *t <= self.now) {
            let (_, f) = self.faults.remove(n);
            self.inflict(f);
        }
        for n in 0..self.sites.len() {
            if self.sites[n].up(self.now) {
                self.site(n);
            }
        }
        let due: Vec<SiteReport> = {
            let now = self.now;
            let (due, rest): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.wire).into_iter().partition(|(t, _)| *t <= now);
            self.wire = rest;
            due.into_iter().map(|(_, r)| r).collect()
        };
        for r in due {
            self.world.report(r, Millis(self.now));
        }
        self.hub();
    }

    fn site(&mut self, n: usize) {
        self.world.sites.get_mut(&self.sites[n].id).unwrap().contact = Some(Millis(self.now));
        let asked = self.world.sites[&self.sites[n].id].asked.clone();
        let chain = std::mem::take(&mut self.chain);
        let s = &mut self.sites[n];
        s.asked = asked.or(s.asked.take());
        let lost = s.open();
        if !lost {
            s.read(&chain, self.now);
        }
        self.chain = chain;
        if !lost {
            self.fetch(n);
            let every = self.world.spec.checkpoint.keep_every_rounds;
            self.sites[n].train(self.now, every);
        }
        let delay = self.draw(3) * TICK;
        let now = self.now;
        if let Some(r) = self.sites[n].report(lost, now) {
            if self.draw(10) == 0 {
                let late = now + self.draw(3000);
                self.wire.push((late, r.clone()));
            }
            self.wire.push((now + delay, r));
        }
    }

    fn hub(&mut self) {
        let now = Millis(self.now);
        self.world.tick(now);
        for pass in 0.. {
            assert!(pass < 30, "the planner does not come to rest at {} ms: {:?}", self.now, self.chain.last());
            let d = plan(&self.world, now);
            self.compare(&d);
            if d.is_quiet() {
                self.forget();
                if d.status.phase == coalition_planner::status::Phase::Stalled {
                    self.stalls.push(d.status.message);
                }
                assert!(d.next_deadline.is_none_or(|t| t > now));
                return;
            }
            for i in d.intents {
                match i {
                    Intent::AskSite(run) => {
                        let member = &self.view().unwrap().members()[&run.site];
                        assert_eq!(run.incarnation, member.incarnation, "one valid fence for a part, the one in force");
                        assert_eq!(run.desired == Desired::Stop, member.retired);
                        self.world.asked(&run.site.clone(), *run);
                    }
                    Intent::AnnounceCheckpoint(c) => self.world.announced(c.seq),
                }
            }
            if let Some(r) = d.append {
                self.append(r);
            }
        }
    }

    fn append(&mut self, r: Record) {
        let before = self.view().map_or(0, View::tokens);
        self.world.appended(&r, Millis(self.now)).expect("what the planner proposes is legal");
        if let Some((twin, _)) = &mut self.twin {
            twin.apply(&r).expect("legal for one that forgets as well");
        }
        let view = self.world.view.as_ref().unwrap();
        assert!(view.ledger().is_partition(), "D24 after {r:?}");
        let used = view.ledger().used().len() * view.genesis().sequence_length;
        assert_eq!(used, view.tokens(), "D25: used positions add up to T");
        assert!(view.tokens() >= before);
        assert!(view.tokens() <= self.end(), "D11: {} tokens, the run ends at {}", view.tokens(), self.end());
        match &r.body {
            Body::Outer(o) => {
                let fences: BTreeSet<(SiteId, Incarnation)> =
                    o.included.iter().map(|i| (i.key.site.clone(), i.key.incarnation)).collect();
                assert!(fences.iter().all(|(s, inc)| view.incarnation(s) == Some(*inc)));
                let base = view.commits().rev().nth(1).unwrap().0;
                let state = site::after(self.states[&base], &o.included);
                self.states.insert(r.seq, state);
            }
            Body::Step(s) => {
                self.states.insert(r.seq, s.state);
            }
            Body::State(s) if s.confirmers.len() == 1 => {
                // Unconfirmed: what one site computed is the state, a flipped bit or not (D17).
                self.states.insert(s.of, s.digest);
            }
            Body::State(s) => assert_eq!(self.states[&s.of], s.digest, "equal state wherever a record is applied"),
            _ => {}
        }
        self.events.push(format!("{} ms: {} {}", self.now, r.seq, r.body.kind()));
        self.chain.push(r);
    }

    /// T of every run with this budget, whatever happens: the budget, rounded up to whole samples (D11).
    pub fn end(&self) -> u64 {
        let length = self.world.spec.data.sequence_length as u64;
        self.world.spec.training.tokens.div_ceil(length) * length
    }

    pub fn ended(&self) -> bool {
        self.view().is_some_and(|v| v.ended().is_some())
    }

    /// Runs until `done`, at most so long.
    pub fn until(&mut self, limit: u64, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while self.now < end {
            if done(self) {
                return true;
            }
            self.tick();
        }
        done(self)
    }
}
