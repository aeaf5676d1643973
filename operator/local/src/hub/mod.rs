//! The hub of a local run: observe, plan, apply, report, a file each; this one is only the loop.
pub mod apply;
pub mod history;
pub mod link;
pub mod observe;
pub mod report;
mod restore;
pub mod snapshot;
mod times;

use std::sync::Arc;
use std::time::Duration;

use coalition_planner::{Millis, World, plan};
use coalition_protocol::record::Outcome;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::LocalError;
use crate::clock::Clock;
use crate::durable;
use crate::lock::RunnerLock;
use crate::setup::Setup;
use crate::site::random_hex;
use history::Chain;
use link::Exchange;
use report::{Remembered, Reporter};
use snapshot::Snapshot;

/// Longest wait between two passes: ages grow and status lines change even when nothing is heard.
const LONGEST: Duration = Duration::from_millis(500);

/// A pass that comes so much later than it should was kept from running. Twice the longest wait: well above what a busy machine
/// costs, below the shortest grace that people set.
const ASLEEP: Duration = Duration::from_secs(1);

/// The hub.
#[derive(Debug)]
pub struct Hub {
    world: World,
    chain: Chain,
    exchange: Arc<Exchange>,
    clock: Clock,
    seen: observe::Seen,
    reporter: Reporter,
    suspend: watch::Receiver<bool>,
    lock: Arc<RunnerLock>,
}

impl Hub {
    /// A new leader over what is on disk.
    pub fn open(
        setup: &Setup,
        exchange: Arc<Exchange>,
        lock: Arc<RunnerLock>,
        suspend: watch::Receiver<bool>,
    ) -> Result<(Self, watch::Receiver<Arc<Snapshot>>), LocalError> {
        let mirror = restore::look(&setup.layout, &setup.run, setup.sites.keys())?;
        let (mut chain, mut view) = Chain::open(&setup.layout)?;
        if let Some(mirror) = mirror.filter(|_| view.is_none()) {
            view = restore::restore(&mut chain, &setup.layout, &mirror)?;
            let message = format!(
                "the hub's history was gone: {} records came back from the mirror of {}; keep the hub's folder on storage that \
                 does not forget",
                mirror.records.len(),
                mirror.site
            );
            exchange.tell(&mirror.site, "RecordsRestored", message);
        }
        let remembered = remember(setup, &exchange)?;
        let clock = Clock::from(remembered.now);
        let facts = coalition_planner::Setup {
            run: setup.run.clone(),
            hub_key: chain.public_key(),
            data: setup.data_digest,
            samples_per_pass: setup.samples_per_pass,
            elements: setup.elements,
        };
        let noted = exchange.noted(&setup.run);
        let damaged = exchange.inbox().values().any(|i| i.damaged);
        if view.is_none() && (noted.is_some() || damaged) {
            let reported = noted.map_or("records".to_owned(), |seq| format!("record {seq}"));
            return Err(LocalError::Damaged {
                path: setup.layout.history(),
                what: format!(
                    "it is empty, and sites of this run reported {reported}: restore it from a copy, or start a new run in \
                     another folder"
                ),
            });
        }
        if let Some(v) = &view {
            let g = v.genesis();
            let budget = setup.spec.training.tokens;
            if let Some(before) = setup.budget_before
                && v.ended().is_some_and(|e| e.outcome == Outcome::Complete)
                && budget > v.tokens()
            {
                return Err(LocalError::Ended { dir: setup.layout.dir().to_owned(), before, budget });
            }
            // What was planned and trained bounds the budget from below, whatever notes of it are left.
            let samples = budget.div_ceil(g.sequence_length.max(1));
            let planned = v.open_plans().map(|(_, p)| p.budget).max().unwrap_or(0).max(g.budget);
            if budget < planned || samples.saturating_mul(g.sequence_length) < v.tokens() {
                let there = planned.max(v.tokens());
                let what = format!("spec.training.tokens ({budget} here, {there} there: a budget may only rise)");
                return Err(LocalError::OtherRun { dir: setup.layout.dir().to_owned(), what });
            }
            let identity = setup.spec.identity().map_err(|e| LocalError::Bug(e.to_string()))?;
            let dir = setup.layout.dir().to_owned();
            if g.spec != identity {
                return Err(LocalError::OtherRun { dir, what: "spec".to_owned() });
            }
            if g.data != setup.data_digest {
                let name = &setup.spec.data.dataset;
                let now = (setup.data.as_path(), setup.data_digest);
                return Err(LocalError::other_data(&dir, name, now, (setup.data_before.as_deref(), g.data)));
            }
        }
        let now = clock.now();
        let mut world = World::new(facts, setup.spec.clone(), view, random_hex()?, now);
        world.began = Millis(0);
        world.leader.noted = noted;
        world.memory.restarts = remembered.restarts.clone();
        world.memory.announced.clone_from(&remembered.announced);
        for site in setup.sites.keys() {
            world.add_site(site.clone(), now);
        }
        exchange.show_history(chain.records());
        // What is true already is shown before anyone is heard: a run that is complete was never queued.
        let status = plan(&world, now).status;
        let (reporter, snapshot) = Reporter::new(setup, remembered, status, now);
        Ok((Self { world, chain, exchange, clock, seen: observe::Seen::default(), reporter, suspend, lock }, snapshot))
    }

    /// Runs until the run has ended, until it is suspended and every site has stopped, or until `enough` is true. The caller
    /// stops polling it to end it at once.
    pub async fn run(mut self, mut enough: watch::Receiver<bool>) -> Result<(), LocalError> {
        loop {
            self.lock.keep()?;
            self.world.suspend = *self.suspend.borrow_and_update();
            observe::observe(&mut self.world, &self.exchange, &self.clock, &mut self.seen);
            let now = self.clock.now();
            self.world.tick(now);
            let mut decision = plan(&self.world, now);
            let appended = decision.append.is_some() || !decision.adopt.is_empty();
            let deadline = decision.next_deadline;
            let done = apply::apply(&mut self.world, &mut self.chain, &self.exchange, &decision, now)?;
            decision.events.extend(self.exchange.take_told());
            self.reporter.report(&self.world, decision, self.exchange.down(), now);
            if appended {
                continue;
            }
            if done || *enough.borrow_and_update() {
                return Ok(());
            }
            let latest = Instant::now() + LONGEST;
            let wake = deadline.map_or(latest, |d| self.clock.instant(d).min(latest));
            tokio::select! {
                () = self.exchange.changed.notified() => {}
                _ = self.suspend.changed() => {}
                _ = enough.changed() => {}
                () = tokio::time::sleep_until(wake) => {}
            }
            // A runner that was stopped (Ctrl-Z) or got no processor heard nobody: that is no silence of theirs.
            let late = Instant::now().saturating_duration_since(wake);
            if late >= ASLEEP {
                tracing::warn!(
                    seconds = late.as_secs_f64(),
                    "the hub did not run for a while: that time does not count"
                );
                self.clock.hold(late);
            }
        }
    }
}

/// What an earlier hub in this folder left. Without it the clock of the run begins anew, or goes on from the status if that
/// can be read, and failures that sites reported before count as looked at: none is charged a second time.
fn remember(setup: &Setup, exchange: &Exchange) -> Result<Remembered, LocalError> {
    let (remembered, damage) = durable::read_or_absent::<Remembered>(&setup.layout.memory())?;
    if let Some(remembered) = remembered {
        return Ok(remembered);
    }
    if let Some(what) = damage {
        let message = format!(
            "{what}: it counts as absent. What it held are observations: restarts charged before are forgotten, records and \
             stores are untouched"
        );
        exchange.tell(None::<&coalition_protocol::SiteId>, "MemoryDamaged", message);
    }
    let snapshot = durable::read_or_absent::<Snapshot>(&setup.layout.status())?.0.filter(|s| s.run == setup.run);
    let now = Millis(snapshot.as_ref().map_or(0, |s| (s.seconds * 1000.0) as u64));
    let mut remembered = Remembered { now, snapshot, ..Remembered::default() };
    for (site, inbox) in exchange.inbox() {
        if let Some(r) = inbox.report.filter(|r| r.run == setup.run) {
            let newest = r.gang.failures.iter().map(|f| f.number).max().unwrap_or(0);
            remembered.restarts.seen.insert(site, newest);
        }
    }
    Ok(remembered)
}
