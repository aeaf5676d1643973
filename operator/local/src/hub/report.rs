//! Report: status, events and what a later hub should remember. Written when something changed and not too often; all of it
//! may be lost without harm.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use coalition_planner::restarts::Restarts;
use coalition_planner::{Decision, Event, Millis, World};
use coalition_protocol::messages::Evaluation;
use coalition_protocol::{Seq, SiteId};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::LocalError;
use crate::durable;
use crate::hub::snapshot::{Measured, Snapshot, Steps, Told};
use crate::hub::times::Times;
use crate::setup::Setup;

/// Least time between two writes of the status when nothing but progress changed, milliseconds.
const QUIET: u64 = 1000;
/// Events kept.
const EVENTS: usize = 100;
/// Evaluations kept; beyond them every second of the older ones goes.
const EVALUATIONS: usize = 512;

/// What a later hub in this folder remembers (`hub/memory.json`).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Remembered {
    /// The clock.
    pub now: Millis,
    /// Failures seen and charged, so that none is charged twice.
    pub restarts: Restarts,
    /// Checkpoints announced.
    pub announced: Vec<Seq>,
    /// The last snapshot.
    pub snapshot: Option<Snapshot>,
}

/// Writes status and memory.
#[derive(Debug)]
pub struct Reporter {
    status_file: PathBuf,
    memory_file: PathBuf,
    snapshot: watch::Sender<Arc<Snapshot>>,
    run: coalition_protocol::RunId,
    events: Vec<Told>,
    evaluations: Vec<Evaluation>,
    times: Times,
    steps: BTreeMap<SiteId, Steps>,
    measured: Option<Measured>,
    written: Option<Millis>,
    /// True while status and memory cannot be written: said once.
    unwritten: bool,
}

impl Reporter {
    /// Goes on from what was remembered.
    pub fn new(setup: &Setup, remembered: Remembered, now: Millis) -> (Self, watch::Receiver<Arc<Snapshot>>) {
        let before = remembered.snapshot;
        let (events, evaluations, spent, steps, measured) =
            before.map(|s| (s.events, s.evaluations, s.spent, s.steps, s.measured)).unwrap_or_default();
        let world = World::new(empty_facts(setup), setup.spec.clone(), None, String::new(), now);
        let status = coalition_planner::report::queued(&world, now);
        let run = setup.run.clone();
        let snapshot = Snapshot {
            run: run.clone(),
            runner: std::process::id(),
            seconds: seconds(now),
            status,
            events: events.clone(),
            evaluations: evaluations.clone(),
            spent: spent.clone(),
            steps: steps.clone(),
            measured,
            unsaved: Vec::new(),
        };
        let (to, from) = watch::channel(Arc::new(snapshot));
        let reporter = Self {
            status_file: setup.layout.status(),
            memory_file: setup.layout.memory(),
            snapshot: to,
            run,
            events,
            evaluations,
            times: Times::new(spent, now),
            steps,
            measured,
            written: None,
            unwritten: false,
        };
        (reporter, from)
    }

    /// Takes a decision that was carried out. What it writes may be lost without harm, so a disk that is full for a while ends
    /// nothing: a person is told, once, and it is written when it can be.
    pub fn report(&mut self, world: &World, decision: Decision, now: Millis) {
        let news = !decision.events.is_empty() || decision.append.is_some();
        for event in decision.events {
            tracing::info!(reason = event.reason, "{}", event.message);
            self.events.push(Told { seconds: seconds(now), event });
        }
        let extra = self.events.len().saturating_sub(EVENTS);
        self.events.drain(..extra);
        for site in world.sites.values() {
            let e = site.report.value().and_then(|r| r.progress.evaluation.clone());
            if let Some(e) = e
                && !self.evaluations.iter().any(|x| x.of == e.of)
            {
                self.evaluations.push(e);
                self.evaluations.sort_by_key(|e| e.of);
                thin(&mut self.evaluations);
            }
        }
        self.measured = self.evaluations.last().and_then(|e| measured(world, e.of)).or(self.measured);
        for line in &decision.status.sites {
            self.steps.entry(line.site.clone()).or_default().see(line.incarnation, line.step);
        }
        let before = self.snapshot.borrow().clone();
        let doing =
            before.status.sites.iter().map(|l| (&l.site, l.state, world.sites.get(&l.site).and_then(|s| s.contact)));
        self.times.count(doing, now);
        let changed =
            news || before.status.phase != decision.status.phase || before.status.head != decision.status.head;
        let snapshot = Arc::new(Snapshot {
            run: self.run.clone(),
            runner: std::process::id(),
            seconds: seconds(now),
            status: decision.status,
            events: self.events.clone(),
            evaluations: self.evaluations.clone(),
            spent: self.times.spent.clone(),
            steps: self.steps.clone(),
            measured: self.measured,
            unsaved: Vec::new(),
        });
        self.snapshot.send_replace(snapshot.clone());
        if changed || self.written.is_none_or(|w| now.since(w) >= QUIET) {
            self.written = Some(now);
            let remembered = Remembered {
                now,
                restarts: world.memory.restarts.clone(),
                announced: world.memory.announced.clone(),
                snapshot: Some((*snapshot).clone()),
            };
            let written = durable::replace_view(&self.status_file, &*snapshot)
                .and_then(|()| durable::replace_view(&self.memory_file, &remembered));
            self.tell_unwritten(written.err().as_ref(), now);
        }
    }

    fn tell_unwritten(&mut self, e: Option<&LocalError>, now: Millis) {
        let before = std::mem::replace(&mut self.unwritten, e.is_some());
        if let (false, Some(e)) = (before, e) {
            let message = format!("{e}; the run goes on, and what people read of it is behind until it can be written");
            tracing::warn!("{message}");
            let event = Event { reason: "StatusNotWritten".to_owned(), site: None, message, warning: true };
            self.events.push(Told { seconds: seconds(now), event });
        }
    }
}

/// The commit that a measurement names; none if the history has no such commit.
fn measured(world: &World, of: Seq) -> Option<Measured> {
    let mark = world.view.as_ref()?.mark(of)?;
    Some(Measured { of, round: mark.round, tokens: mark.tokens })
}

fn seconds(now: Millis) -> f64 {
    now.0 as f64 / 1000.0
}

/// Keeps the first, the newest half, and every second of the older ones.
fn thin(list: &mut Vec<Evaluation>) {
    if list.len() > EVALUATIONS {
        let half = EVALUATIONS / 2;
        let mut n = 0;
        list.retain(|_| {
            n += 1;
            n % 2 == 1 || n > half
        });
    }
}

fn empty_facts(setup: &Setup) -> coalition_planner::Setup {
    coalition_planner::Setup {
        run: setup.run.clone(),
        hub_key: String::new(),
        data: setup.data_digest,
        samples_per_pass: setup.samples_per_pass,
        elements: setup.elements,
    }
}
