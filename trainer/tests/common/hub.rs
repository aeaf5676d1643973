//! A hub and a courier in one small state machine: enough to take real trainer processes through a whole run. What it
//! appends next is in `records`; here is what it knows, and how a test looks at it and changes it.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use coalition_protocol::history::View;
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::messages::{Desired, ExitReport, JoinRequest, StateReport, TrainerReport};
use coalition_protocol::record::{Assignment, Body, Genesis, Members, Removal};
use coalition_protocol::sign::{HubKey, SignedRecord};
use coalition_protocol::{Attempt, Epoch, Incarnation, Round, RunId, Seq, SiteId};
use coalition_store::{BlockingStore, Location, opening};

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
    /// The longest time that a permit's renewal said a worker had done nothing, milliseconds.
    pub still: u64,
    /// Every way in which an attempt resumed, in order.
    pub resumed: Vec<String>,
}

#[derive(Debug)]
pub struct State_ {
    pub(super) key: HubKey,
    pub chain: Vec<SignedRecord>,
    pub view: View,
    pub spec: serde_json::Value,
    pub sites: BTreeMap<SiteId, Site>,
    pub version: u64,
    pub steps: u64,
    /// States reported for each commit, by site: all must be equal, unless the test says that they may differ.
    pub states: BTreeMap<Seq, BTreeMap<SiteId, StateReport>>,
    pub may_differ: bool,
    /// No commit beyond this round.
    pub hold_at: Option<Round>,
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
                    still: 0,
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
            may_differ: false,
            hold_at: None,
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

    /// Retires the incarnation of a site and assigns it anew, in one record; its store is opened for the new one, as its
    /// courier would.
    pub fn assign_anew(&mut self, id: &SiteId) {
        let old = self.sites[id].incarnation;
        let incarnation = old.next();
        let open = BlockingStore::open(&Location::Folder(self.sites[id].store.clone())).unwrap();
        open.wait(opening::open(open.store(), self.view.run(), id, incarnation)).unwrap();
        self.site(id).incarnation = incarnation;
        self.append(Body::Members(Members {
            retired: vec![Removal { site: id.clone(), incarnation: old, reason: "Gone".to_owned() }],
            joined: vec![Assignment { site: id.clone(), incarnation }],
            ..Members::default()
        }));
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
}
