//! Report: status, events and what a later hub should remember. Written when something changed and not too often; all of it
//! may be lost without harm.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coalition_planner::restarts::Restarts;
use coalition_planner::status::{Phase, SiteState, SiteStatus};
use coalition_planner::{Decision, Event, Millis, RunStatus, World};
use coalition_protocol::messages::Evaluation;
use coalition_protocol::{Seq, SiteId};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::LocalError;
use crate::durable;
use crate::hub::snapshot::{Down, Measured, Snapshot, Steps, Told};
use crate::hub::times::Times;
use crate::paste;
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
    /// The state folder, for commands that people are told.
    dir: PathBuf,
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
    pub fn new(
        setup: &Setup,
        remembered: Remembered,
        mut status: RunStatus,
        now: Millis,
    ) -> (Self, watch::Receiver<Arc<Snapshot>>) {
        let before = remembered.snapshot;
        keep_checkpoint(&mut status, before.as_ref());
        let (events, evaluations, spent, steps, measured) =
            before.map(|s| (s.events, s.evaluations, s.spent, s.steps, s.measured)).unwrap_or_default();
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
            down: BTreeMap::new(),
            unsaved: Vec::new(),
        };
        let (to, from) = watch::channel(Arc::new(snapshot));
        let reporter = Self {
            dir: setup.layout.dir().to_owned(),
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
    pub fn report(&mut self, world: &World, mut decision: Decision, down: BTreeMap<SiteId, Down>, now: Millis) {
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
        keep_checkpoint(&mut decision.status, Some(&before));
        for line in &mut decision.status.sites {
            if let Some(down) = down.get(&line.site) {
                put_down(line, *down, &self.dir);
            }
        }
        let doing =
            before.status.sites.iter().map(|l| (&l.site, l.state, world.sites.get(&l.site).and_then(|s| s.contact)));
        self.times.count(doing, now);
        let changed = news
            || before.down != down
            || before.status.phase != decision.status.phase
            || before.status.head != decision.status.head;
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
            down,
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

/// The checkpoint of a run that is over stays where it was, though no site says so any more.
fn keep_checkpoint(status: &mut RunStatus, before: Option<&Snapshot>) {
    if matches!(status.phase, Phase::Complete | Phase::Failed) && status.checkpoint.is_none() {
        status.checkpoint = before.and_then(|s| s.status.checkpoint.clone());
    }
}

/// What a site without power said last is not what it does: it is down, and this runner knows it before its silence is noticed.
fn put_down(line: &mut SiteStatus, down: Down, dir: &Path) {
    if matches!(line.state, SiteState::Finished | SiteState::Retired | SiteState::SetAside) {
        return;
    }
    // What becomes of the round without it: the planner says so once the silence counts.
    if line.state != SiteState::Silent {
        line.next.clear();
    }
    let back = format!("`{}`", paste::fault_return(&line.site, dir));
    line.state = SiteState::Silent;
    line.workers_ready = 0;
    line.tokens_per_second = None;
    line.waiting_for =
        if down.by_itself { format!("its return, as --kill says; {back} starts it at once") } else { back };
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_site_that_is_down_on_request_says_what_starts_it() {
        let mut line: SiteStatus = serde_json::from_value(serde_json::json!({
            "site": "south", "state": "Training", "incarnation": 1, "attempt": 2, "workersReady": 2, "workers": 2, "step": 9,
            "round": 3, "innerStep": 1, "innerSteps": 4, "loss": null, "tokensPerSecond": "10.0", "waitingFor": "",
            "next": "offers", "missed": 0
        }))
        .unwrap();
        put_down(&mut line, Down::default(), Path::new("/a b"));
        assert_eq!((line.state, line.workers_ready, line.tokens_per_second), (SiteState::Silent, 0, None));
        assert_eq!(
            (line.waiting_for.as_str(), line.next.as_str()),
            ("`kubectl-coalition fault return south '/a b'`", "")
        );
        line.next = String::from("retired in 9 s");
        put_down(&mut line, Down { by_itself: true }, Path::new("/a"));
        assert!(line.waiting_for.starts_with("its return, as --kill says"), "{}", line.waiting_for);
        assert_eq!((line.next.as_str(), line.step), ("retired in 9 s", 9));
        line.state = SiteState::Finished;
        line.waiting_for.clear();
        put_down(&mut line, Down::default(), Path::new("/a"));
        assert_eq!((line.state, line.waiting_for.as_str()), (SiteState::Finished, ""));
    }
}
