//! A site as the gateway of one gang sees it: the formation in the status of its Gang, the report at the hub, what the hub asks
//! and the history from watches. Must not know pods beyond what makes a caller known.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coalition_courier::Findings;
use coalition_courier::compose::{Parts, compose};
use coalition_gateway::{BackendError, GangState, SiteBackend, Snapshot, Stillness, Versioned};
use coalition_protocol::messages::{Desired, GangReport, SiteReport, SiteRun, TrainerReport};
use coalition_protocol::sign::SignedRecord;
use coalition_protocol::{Attempt, Incarnation, Seq};
use tokio::sync::watch;

use crate::callers::{self, CurrentPod, Sender};
use crate::gang_object::GangObject;
use crate::history::History;
use crate::report_object::{ReportObject, Unwritten};

#[derive(Debug, Default)]
struct Inner {
    asked: Option<Arc<SiteRun>>,
    owner_stop: bool,
    parts: Parts,
    gang: Versioned<GangState>,
    /// The newest trainer's report merged: an older one never replaces a newer.
    merged: (Incarnation, Attempt, u64),
    asked_writes: u64,
    written: u64,
    still: Stillness,
    current: BTreeMap<u32, CurrentPod>,
}

/// The state of one gang at this site. Shared by gateway, courier and the gang's controller.
#[derive(Debug)]
pub struct ClusterSite {
    workers: u32,
    history: Arc<History>,
    object: GangObject,
    report: tokio::sync::Mutex<ReportObject>,
    durable: watch::Sender<Option<Arc<SiteReport>>>,
    inner: Mutex<Inner>,
    version: watch::Sender<u64>,
}

impl ClusterSite {
    /// The gang as its object holds it; what the hub asked last stands there too.
    pub fn new(object: GangObject, state: GangState, report: ReportObject, history: Arc<History>) -> Arc<Self> {
        let gang = object.seen();
        let workers = u32::try_from(gang.spec.site_run.shape.workers).unwrap_or(0);
        let mut inner = Inner { gang: Versioned { version: 1, value: state }, ..Inner::default() };
        inner.asked = Some(Arc::new(gang.spec.site_run.message.clone()));
        // That workers of an earlier life saved and left is no news of this one, and would be read as if it were.
        inner.parts.gang = GangReport { stopped: false, ..inner.gang.value.report(workers) };
        inner.parts.damaged = inner.gang.value.damaged;
        let (durable, version) = (watch::Sender::new(report.known()), watch::Sender::new(1));
        let report = tokio::sync::Mutex::new(report);
        Arc::new(Self { workers, history, object, report, durable, inner: Mutex::new(inner), version })
    }

    /// Workers of the gang.
    pub fn workers(&self) -> u32 {
        self.workers
    }
    /// The Gang.
    pub fn object(&self) -> &GangObject {
        &self.object
    }
    /// The history of its run.
    pub fn history(&self) -> &Arc<History> {
        &self.history
    }
    /// What the hub asks now.
    pub fn asked(&self) -> Option<Arc<SiteRun>> {
        self.locked(|i| i.asked.clone())
    }
    /// The newest report that is durable at the hub, as far as this life knows.
    pub fn durable(&self) -> Option<Arc<SiteReport>> {
        self.durable.borrow().clone()
    }
    /// The gang's formation.
    pub fn state(&self) -> GangState {
        self.locked(|i| i.gang.value.clone())
    }
    /// The newest record the trainer has applied under the present incarnation.
    pub fn applied(&self, run: &SiteRun) -> Option<Seq> {
        let durable = self.durable();
        self.locked(|i| compose(run, durable.as_deref(), &i.parts).head.map(|h| h.seq))
    }

    /// Says that something a view shows has changed.
    pub fn touch(&self) {
        self.version.send_modify(|v| *v += 1);
    }

    fn locked<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the hub asks has changed and is mirrored in the Gang.
    pub fn ask(&self, run: SiteRun) {
        self.locked(|i| i.asked = Some(Arc::new(run)));
        self.touch();
    }

    /// The owner stopped the gang, or took that back.
    pub fn owner_stop(&self, stopped: bool) {
        if self.locked(|i| std::mem::replace(&mut i.owner_stop, stopped)) != stopped {
            self.touch();
        }
    }

    /// The workers' current pods.
    pub fn set_current(&self, current: BTreeMap<u32, CurrentPod>) {
        self.locked(|i| i.current = current);
    }

    /// Whose current pod has this name and identity.
    pub fn sender(&self, pod: &str, uid: &str) -> Sender {
        self.locked(|i| callers::sender(&i.current, pod, uid))
    }

    /// What the site cannot do for this run, beside what the courier finds.
    pub fn found(&self, findings: Findings, endpoint: Option<&str>, nonce: &str) {
        let changed = self.locked(|i| i.parts.take(findings, endpoint, nonce));
        if changed {
            self.touch();
        }
    }

    /// What is known of its workers' stillness changes; a view shows a new step of it.
    pub fn stillness(&self, change: impl FnOnce(&mut Stillness)) {
        let changed = self.locked(|i| {
            change(&mut i.still);
            let seconds = i.still.seconds(&i.gang.value);
            std::mem::replace(&mut i.parts.still_seconds, seconds) != seconds
        });
        if changed {
            self.touch();
        }
    }

    /// Writes the report if it says anything new; returns once everything known at the call is durable at the hub. Calls
    /// that come while one writes share the next write.
    pub async fn publish(&self) -> Result<(), Unwritten> {
        let mine = self.locked(|i| {
            i.asked_writes += 1;
            i.asked_writes
        });
        let mut object = self.report.lock().await;
        let Some(run) = self.asked() else { return Ok(()) };
        object.read().await?;
        let before = object.known();
        let next = self.locked(|i| {
            let report = compose(&run, before.as_deref(), &i.parts);
            (i.written < mine).then_some((report, i.asked_writes))
        });
        let Some((mut report, upto)) = next else { return Ok(()) };
        if before.as_deref() != Some(&report) {
            report.counter += 1;
            object.write(report).await?;
            if let Some(opened) = object.known().and_then(|r| r.opened) {
                self.object.note_opened(opened).await.map_err(|e| Unwritten::Local(e.to_string()))?;
            }
        }
        let opened = before.and_then(|b| b.opened);
        let now = object.known();
        // Trainers may start once the opening entry is reported.
        let news = now.as_ref().and_then(|n| n.opened) != opened || self.durable().is_none();
        self.durable.send_replace(now);
        if news {
            self.touch();
        }
        self.locked(|i| i.written = i.written.max(upto));
        Ok(())
    }
}

fn unavailable(e: impl std::fmt::Display) -> BackendError {
    BackendError::Unavailable(e.to_string())
}

impl SiteBackend for ClusterSite {
    fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn snapshot(&self) -> Snapshot {
        let over = self.history.is_over();
        let reported = self.durable().and_then(|d| d.opened);
        // Without a hub this life knows what an earlier one noted: that the hub has heard of the opening entry.
        let opened = reported.or_else(|| self.object.opened());
        let hub_seen = self.history.is_seen();
        self.locked(|i| {
            // A hub that was not seen in this life shows no records, and what trainers read is this site's own mirror.
            let whole = |r: &SiteRun| i.parts.is_whole(r, hub_seen);
            // Before the opening entry is durably reported, no trainer may write under this incarnation (D8).
            let site_run = i.asked.clone().filter(|r| opened == Some(r.incarnation) && whole(r));
            let damaged = site_run.as_ref().is_some_and(|r| i.parts.damaged == Some(r.incarnation));
            let site_run = site_run.map(|r| if i.owner_stop { stopped_by_owner(&r) } else { r });
            let store_lost = i.parts.findings.store_lost || damaged;
            let wanted = i.asked.as_ref().is_some_and(|r| r.desired == Desired::Run);
            let pending = wanted && !i.owner_stop && !store_lost;
            Snapshot { site_run, held: i.parts.findings.held.clone(), store_lost, over, pending }
        })
    }

    async fn records(&self, after: Option<Seq>, limit: usize) -> Result<Vec<SignedRecord>, BackendError> {
        self.history.after(after, limit).await.map_err(unavailable)
    }

    async fn gang(&self) -> Result<Versioned<GangState>, BackendError> {
        Ok(self.locked(|i| i.gang.clone()))
    }

    async fn swap_gang(&self, seen: u64, next: GangState) -> Result<bool, BackendError> {
        let mut object = self.object.lock().await;
        let now = self.locked(|i| i.gang.clone());
        if now.version != seen {
            return Ok(false);
        }
        let ready = i32::try_from(next.report(self.workers).workers_ready).unwrap_or(i32::MAX);
        let stands = object.write_formation(&now.value, &next, ready).await.map_err(unavailable)?;
        // Somebody else wrote: what stands there is the gang.
        let (value, done) = stands.map_or((next, true), |stands| (stands, false));
        self.locked(|i| {
            i.parts.gang = value.report(self.workers);
            i.parts.damaged = value.damaged.or(i.parts.damaged);
            i.parts.still_seconds = i.still.seconds(&value);
            i.gang = Versioned { version: seen + 1, value };
        });
        drop(object);
        // The hub hears of it with the next report: a gang forms whether the hub is there or not.
        self.touch();
        Ok(done)
    }

    fn still(&self, worker: u32, process: &str, time: Duration) {
        self.stillness(|s| s.told(worker, process, time));
    }

    async fn report(&self, part: TrainerReport) -> Result<(), BackendError> {
        self.locked(|i| {
            let mark = (part.incarnation, part.attempt, part.counter);
            if mark > i.merged {
                i.merged = mark;
                i.parts.trainer = Some(part);
            }
        });
        match self.publish().await {
            Ok(()) => Ok(()),
            Err(e @ Unwritten::Refused(_)) => Err(BackendError::Broken(e.to_string())),
            Err(e) => Err(unavailable(e)),
        }
    }
}

/// The same request, as a trainer sees it that the owner stopped: it saves and leaves.
fn stopped_by_owner(run: &SiteRun) -> Arc<SiteRun> {
    let desired = if run.desired == Desired::Run { Desired::Suspend } else { run.desired };
    Arc::new(SiteRun { desired, ..run.clone() })
}
