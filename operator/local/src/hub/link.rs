//! The line between hub and sites. In a cluster it is two objects in the site's namespace; here it is memory for what the hub
//! asks, and a durable file for what a site answers.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use coalition_planner::Event;
use coalition_protocol::messages::{SiteReport, SiteRun};
use coalition_protocol::sign::SignedRecord;
use coalition_protocol::{RunId, Seq, SiteId};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::LocalError;
use crate::durable::{self, Mode};
use crate::hub::snapshot::Down;
use crate::layout::Layout;

/// What the hub knows of a site.
#[derive(Clone, Debug, Default)]
pub struct Inbox {
    /// Its newest report.
    pub report: Option<Arc<SiteReport>>,
    /// When it was last heard in this life of the hub.
    pub heard: Option<Instant>,
    /// True if the report that was kept is damaged and no newer one came yet.
    pub damaged: bool,
}

/// The hub's end, shared with all sites.
#[derive(Debug)]
pub struct Exchange {
    layout: Layout,
    history: watch::Sender<Arc<Vec<SignedRecord>>>,
    site_runs: BTreeMap<SiteId, watch::Sender<Option<Arc<SiteRun>>>>,
    inbox: Mutex<BTreeMap<SiteId, Inbox>>,
    told: Mutex<Vec<Event>>,
    /// Sites without power, on request.
    down: Mutex<BTreeMap<SiteId, Down>>,
    /// Wakes the hub's loop.
    pub changed: Notify,
}

impl Exchange {
    /// Lines to `sites`, with what they reported before.
    pub fn open(layout: &Layout, sites: &[SiteId]) -> Result<Arc<Self>, LocalError> {
        durable::folder(&layout.reports())?;
        durable::sweep(&layout.reports())?;
        let (mut inbox, mut told) = (BTreeMap::new(), Vec::new());
        for site in sites {
            let (report, damage) = durable::read_or_absent::<SiteReport>(&layout.report(site))?;
            let damaged = damage.is_some();
            told.extend(damage.map(|what| {
                let message = format!(
                    "{what}: it counts as absent, and {site} reports again. If its store does not show that this run was at \
                     work there, it counts as lost"
                );
                Event { reason: "ReportDamaged".to_owned(), site: Some(site.clone()), message, warning: true }
            }));
            inbox.insert(site.clone(), Inbox { report: report.map(Arc::new), heard: None, damaged });
        }
        Ok(Arc::new(Self {
            layout: layout.clone(),
            history: watch::Sender::new(Arc::default()),
            site_runs: sites.iter().map(|s| (s.clone(), watch::Sender::new(None))).collect(),
            inbox: Mutex::new(inbox),
            told: Mutex::new(told),
            down: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// What every site said last.
    pub fn inbox(&self) -> BTreeMap<SiteId, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest record of `run` that any kept report names: the history had it.
    pub fn noted(&self, run: &RunId) -> Option<Seq> {
        let reports = self.inbox().into_values().filter_map(|i| i.report).filter(|r| r.run == *run);
        reports.filter_map(|r| r.mirrored.max(r.head.map(|h| h.seq))).max()
    }

    /// Tells a person something that no report can say, of a site or of the run.
    pub fn tell<'a>(&self, site: impl Into<Option<&'a SiteId>>, reason: &str, message: String) {
        let event = Event { reason: reason.to_owned(), site: site.into().cloned(), message, warning: true };
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        self.changed.notify_one();
    }

    /// What was told since the last call.
    pub fn take_told(&self) -> Vec<Event> {
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that a site lost its power on request, or that it has it again.
    pub fn set_down(&self, site: &SiteId, down: Option<Down>) {
        let mut all = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        match down {
            Some(down) => all.insert(site.clone(), down),
            None => all.remove(site),
        };
        drop(all);
        self.changed.notify_one();
    }

    /// Sites without power.
    pub fn down(&self) -> BTreeMap<SiteId, Down> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows the records to all sites.
    pub fn show_history(&self, records: Arc<Vec<SignedRecord>>) {
        self.history.send_if_modified(|old| {
            let new = old.len() != records.len();
            *old = records;
            new
        });
    }

    /// Asks something of a site; no change wakes nobody.
    pub fn ask(&self, site: &SiteId, run: Option<Arc<SiteRun>>) {
        if let Some(line) = self.site_runs.get(site) {
            line.send_if_modified(|old| {
                let new = *old != run;
                *old = run;
                new
            });
        }
    }

    /// A site's end of its line.
    pub fn link(self: &Arc<Self>, site: &SiteId) -> Option<Link> {
        Some(Link { site_run: self.site_runs.get(site)?.subscribe(), site: site.clone(), exchange: self.clone() })
    }
}

/// A site's end of its line to the hub.
#[derive(Clone, Debug)]
pub struct Link {
    exchange: Arc<Exchange>,
    site: SiteId,
    site_run: watch::Receiver<Option<Arc<SiteRun>>>,
}

impl Link {
    /// What the hub asks.
    pub fn site_run(&self) -> watch::Receiver<Option<Arc<SiteRun>>> {
        self.site_run.clone()
    }

    /// The records.
    pub fn history(&self) -> watch::Receiver<Arc<Vec<SignedRecord>>> {
        self.exchange.history.subscribe()
    }

    /// This site's newest report at the hub.
    pub fn stored(&self) -> Option<Arc<SiteReport>> {
        self.exchange.inbox().get(&self.site).and_then(|i| i.report.clone())
    }

    /// Sends a report; returns once it is durable at the hub. One that is not newer than the stored one is dropped.
    pub async fn report(&self, report: SiteReport) -> Result<(), LocalError> {
        if self.stored().is_some_and(|s| s.counter >= report.counter) {
            self.alive();
            return Ok(());
        }
        let (path, to_write) = (self.exchange.layout.report(&self.site), report.clone());
        tokio::task::spawn_blocking(move || durable::replace_json(&path, &to_write, Mode::Plain))
            .await
            .map_err(|e| LocalError::Bug(format!("a report was not written: {e}")))??;
        self.heard(Some(report));
        Ok(())
    }

    /// True if this site's report at the hub is damaged and it has not said since what its store holds. Whatever the store held then
    /// was opened: a damaged word must not hide that it is gone (D8).
    pub fn is_damaged(&self) -> bool {
        self.exchange.inbox().get(&self.site).is_some_and(|i| i.damaged)
    }

    /// Tells a person something that the hub cannot see, as its reports do not come.
    pub fn tell(&self, reason: &str, message: String) {
        self.exchange.tell(&self.site, reason, message);
    }

    /// Says that the site is there, without anything new.
    pub fn alive(&self) {
        self.heard(None);
    }

    fn heard(&self, report: Option<SiteReport>) {
        let news = report.is_some();
        let mut inbox = self.exchange.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = inbox.entry(self.site.clone()).or_default();
        let first = entry.heard.replace(Instant::now()).is_none();
        if let Some(r) = report {
            // One that was sent before the store was looked at makes nothing good.
            entry.damaged &= r.opened.is_none();
            entry.report = Some(Arc::new(r));
        }
        drop(inbox);
        if news || first {
            self.exchange.changed.notify_one();
        }
    }
}
