//! A pretended site as its gateway sees it: the gang in a file, the report at the hub, hub and history through the line.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coalition_courier::Findings;
use coalition_courier::compose::{Parts, compose};
use coalition_gateway::{BackendError, GangState, SiteBackend, Snapshot, Stillness, Versioned};
use coalition_protocol::messages::{GangReport, SiteReport, SiteRun, TrainerReport};
use coalition_protocol::record::Body;
use coalition_protocol::sign::SignedRecord;
use coalition_protocol::{Attempt, Incarnation, Seq, SiteId};
use tokio::sync::watch;

use crate::LocalError;
use crate::durable::{self, Mode};
use crate::hub::link::Link;
use crate::layout::Layout;
use crate::paste;

#[derive(Debug, Default)]
struct Inner {
    parts: Parts,
    gang: Versioned<GangState>,
    /// The newest trainer's report merged: an older one never replaces a newer.
    merged: (Incarnation, Attempt, u64),
    durable: Option<Arc<SiteReport>>,
    asked: u64,
    written: u64,
    still: Stillness,
}

/// The state of one pretended site. Shared by gateway, courier loop and gang.
#[derive(Debug)]
pub struct LocalSite {
    site: SiteId,
    workers: u32,
    layout: Layout,
    link: Link,
    inner: Mutex<Inner>,
    version: watch::Sender<u64>,
    reports: tokio::sync::Mutex<()>,
    gang_file: tokio::sync::Mutex<()>,
    /// Without power: a request that was under way then must change nothing any more.
    dead: AtomicBool,
}

/// The gang as it was left. Where the note of it is damaged or gone, attempts and failures go on from the last report: a lower
/// attempt would be shut out by the fences that stand in the site's log.
fn gang(layout: &Layout, site: &SiteId, link: &Link, reported: Option<&SiteReport>) -> Result<GangState, LocalError> {
    let (gang, damage) = durable::read_or_absent::<GangState>(&layout.gang(site))?;
    if let Some(what) = damage {
        link.tell("GangDamaged", format!("{what}: it counts as absent, and {site} goes on from what it last reported"));
    }
    Ok(gang.or_else(|| reported.map(|r| GangState::recovered(&r.gang))).unwrap_or_default())
}

impl LocalSite {
    /// The site's state as its files and the hub remember it.
    pub fn open(layout: &Layout, site: &SiteId, workers: u32, link: Link) -> Result<Arc<Self>, LocalError> {
        durable::folder(&layout.logs(site))?;
        durable::sweep(&layout.site(site))?;
        let durable = link.stored();
        let gang = gang(layout, site, &link, durable.as_deref())?;
        let mut inner = Inner { gang: Versioned { version: 1, value: gang }, durable, ..Inner::default() };
        // That workers of an earlier life saved and left is no news of this one, and would be read as if it were.
        inner.parts.gang = GangReport { stopped: false, ..inner.gang.value.report(workers) };
        inner.parts.damaged = inner.gang.value.damaged;
        Ok(Arc::new(Self {
            site: site.clone(),
            workers,
            layout: layout.clone(),
            link,
            inner: Mutex::new(inner),
            version: watch::Sender::new(1),
            reports: tokio::sync::Mutex::default(),
            gang_file: tokio::sync::Mutex::default(),
            dead: AtomicBool::new(false),
        }))
    }

    /// The site.
    pub fn site(&self) -> &SiteId {
        &self.site
    }
    /// Workers of its gang.
    pub fn workers(&self) -> u32 {
        self.workers
    }
    /// Its line to the hub.
    pub fn link(&self) -> &Link {
        &self.link
    }
    /// What the hub asks now.
    pub fn site_run(&self) -> Option<Arc<SiteRun>> {
        self.link.site_run().borrow().clone()
    }
    /// The newest report that is durable at the hub.
    pub fn durable(&self) -> Option<Arc<SiteReport>> {
        self.locked(|i| i.durable.clone())
    }
    /// The gang's state.
    pub fn gang_state(&self) -> GangState {
        self.locked(|i| i.gang.value.clone())
    }
    /// The newest record the trainer has applied under the present incarnation.
    pub fn applied(&self, run: &SiteRun) -> Option<Seq> {
        self.locked(|i| compose(run, i.durable.as_deref(), &i.parts).head.map(|h| h.seq))
    }

    /// Says that something a view shows has changed.
    pub fn touch(&self) {
        self.version.send_modify(|v| *v += 1);
    }

    fn locked<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what the courier found under the leader's `nonce` into the next report.
    pub fn found(&self, findings: Findings, endpoint: &str, nonce: &str) {
        let changed = self.locked(|i| i.parts.take(findings, Some(endpoint), nonce));
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

    /// Takes its power: from now on it writes nothing and says nothing.
    pub fn lose_power(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    fn powered(&self) -> Result<(), LocalError> {
        if self.dead.load(Ordering::SeqCst) {
            return Err(LocalError::NoPower { site: self.site.to_string() });
        }
        Ok(())
    }

    /// Writes the report if it says anything new; returns once everything known at the call is durable at the hub. Calls
    /// that come while one writes share the next write.
    pub async fn publish(&self) -> Result<(), LocalError> {
        let mine = self.locked(|i| {
            i.asked += 1;
            i.asked
        });
        let _one = self.reports.lock().await;
        self.powered()?;
        let Some(run) = self.site_run() else { return Ok(()) };
        let next = self.locked(|i| {
            let report = compose(&run, i.durable.as_deref(), &i.parts);
            (i.written < mine).then_some((report, i.asked))
        });
        let Some((mut report, upto)) = next else { return Ok(()) };
        if self.locked(|i| i.durable.as_deref() == Some(&report)) {
            self.link.alive();
        } else {
            report.counter += 1;
            self.link.report(report.clone()).await?;
            let opened = report.opened;
            let before = self.locked(|i| i.durable.replace(Arc::new(report))).and_then(|d| d.opened);
            // Trainers may start once the opening entry is reported.
            if before != opened {
                self.touch();
            }
        }
        self.locked(|i| i.written = i.written.max(upto));
        Ok(())
    }
}

fn unavailable(e: LocalError) -> BackendError {
    BackendError::Broken(e.to_string())
}

impl SiteBackend for LocalSite {
    fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn snapshot(&self) -> Snapshot {
        let history = self.link.history().borrow().clone();
        let over = matches!(history.last().map(|r| &r.record.body), Some(Body::End(_)));
        let site_run = self.site_run();
        self.locked(|i| {
            // Before the opening entry is durably reported, no trainer may write under this incarnation (D8).
            let opened = i.durable.as_ref().and_then(|d| d.opened);
            let site_run = site_run.filter(|r| opened == Some(r.incarnation) && i.parts.is_whole(r, true));
            let damaged = site_run.as_ref().is_some_and(|r| i.parts.damaged == Some(r.incarnation));
            let store_lost = i.parts.findings.store_lost || damaged;
            Snapshot { site_run, held: i.parts.findings.held.clone(), store_lost, over, pending: false }
        })
    }

    async fn records(&self, after: Option<Seq>, limit: usize) -> Result<Vec<SignedRecord>, BackendError> {
        let history = self.link.history().borrow().clone();
        let start = after.map_or(0, |a| history.partition_point(|r| r.record.seq <= a));
        Ok(history.iter().skip(start).take(limit).cloned().collect())
    }

    async fn gang(&self) -> Result<Versioned<GangState>, BackendError> {
        Ok(self.locked(|i| i.gang.clone()))
    }

    async fn swap_gang(&self, seen: u64, next: GangState) -> Result<bool, BackendError> {
        let _one = self.gang_file.lock().await;
        self.powered().map_err(unavailable)?;
        if self.locked(|i| i.gang.version) != seen {
            return Ok(false);
        }
        let (path, to_write) = (self.layout.gang(&self.site), next.clone());
        // The file holds the collective's secret.
        tokio::task::spawn_blocking(move || durable::replace_json(&path, &to_write, Mode::Secret))
            .await
            .map_err(|e| BackendError::Broken(e.to_string()))?
            .map_err(unavailable)?;
        let damaged = self.locked(|i| {
            i.parts.gang = next.report(self.workers);
            let damaged = next.damaged.filter(|d| i.parts.damaged.replace(*d) != Some(*d));
            i.parts.still_seconds = i.still.seconds(&next);
            i.gang = Versioned { version: seen + 1, value: next };
            damaged
        });
        if let Some(incarnation) = damaged {
            let what = format!(
                "{}: its workers found its store damaged, with nothing in it to go on from: it counts as lost, and the site begins \
                 anew after incarnation {incarnation}. `{}` names what is damaged",
                self.site,
                paste::command(&format!("logs {}", self.site), self.layout.dir())
            );
            self.link.tell("StoreDamaged", what);
        }
        self.touch();
        self.publish().await.map_err(unavailable)?;
        Ok(true)
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
        self.publish().await.map_err(unavailable)
    }
}
