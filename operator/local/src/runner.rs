//! The runner: takes the folder, starts the hub's loop and every pretended site, and hands out control over them.
mod ending;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use coalition_protocol::SiteId;
use serde::Serialize;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::LocalError;
use crate::control::{self, Command};
use crate::durable;
use crate::hub::Hub;
use crate::hub::link::Exchange;
use crate::hub::snapshot::{Down, Snapshot};
use crate::layout::Layout;
use crate::lock::RunnerLock;
use crate::setup::{self, RunOptions, Setup};
use crate::site::{Site, SiteOptions, random_hex};

pub use ending::Ending;

/// A supervisor that runs, with the processes it started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Its site.
    pub site: SiteId,
    /// Its worker.
    pub worker: u32,
    /// Its process.
    pub supervisor: u32,
    /// Processes it started.
    pub workers: Vec<u32>,
}

/// A local run at work.
#[derive(Debug)]
pub struct Runner {
    setup: Setup,
    options: SiteOptions,
    exchange: Arc<Exchange>,
    sites: Mutex<BTreeMap<SiteId, Option<Site>>>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    suspend: watch::Sender<bool>,
    /// True once the hub shall end although some site has not said that it stopped.
    enough: watch::Sender<bool>,
    /// Sites with a running process since a stop was asked for.
    ran: std::sync::Mutex<BTreeSet<SiteId>>,
    hub: Mutex<Option<JoinHandle<Result<(), LocalError>>>>,
    commands: Mutex<Option<JoinHandle<()>>>,
    /// Shared with the hub, which makes sure of it before it appends.
    _lock: Arc<RunnerLock>,
}

impl Runner {
    /// Starts a run, or goes on with the one in the folder.
    pub async fn start(options: &RunOptions) -> Result<Arc<Self>, LocalError> {
        let options = options.clone();
        // Reads and hashes the data set.
        let setup = tokio::task::spawn_blocking(move || setup::prepare(&options))
            .await
            .map_err(|e| LocalError::Bug(e.to_string()))??;
        durable::folder(setup.layout.dir())?;
        let lock = Arc::new(RunnerLock::take(&setup.layout)?);
        // Commands for an earlier runner are not for this one.
        control::take(&setup.layout);
        let names: Vec<SiteId> = setup.sites.keys().cloned().collect();
        let exchange = Exchange::open(&setup.layout, &names)?;
        let suspend = watch::Sender::new(false);
        let (hub, snapshot) = Hub::open(&setup, exchange.clone(), lock.clone(), suspend.subscribe())?;
        setup.keep()?;
        let options = SiteOptions {
            run: setup.run.clone(),
            trainer: setup.trainer.clone(),
            data: setup.data.clone(),
            exchange_token: random_hex()?,
            lag: setup.lag.clone(),
            test: setup.test.clone(),
        };
        let runner = Arc::new(Self {
            options,
            exchange,
            sites: Mutex::new(names.iter().map(|n| (n.clone(), None)).collect()),
            snapshot,
            suspend,
            enough: watch::Sender::new(false),
            ran: std::sync::Mutex::default(),
            hub: Mutex::default(),
            commands: Mutex::default(),
            _lock: lock,
            setup,
        });
        for site in &names {
            runner.bring_up(site).await?;
        }
        *runner.hub.lock().await = Some(tokio::spawn(hub.run(runner.enough.subscribe())));
        *runner.commands.lock().await = Some(tokio::spawn(obey(Arc::downgrade(&runner))));
        let here = serde_json::json!({"process": std::process::id(), "control": runner.setup.layout.control()});
        durable::replace_view(&runner.setup.layout.runner(), &here)?;
        Ok(runner)
    }

    /// What is known of the run before it starts.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }
    /// Where it lives.
    pub fn layout(&self) -> &Layout {
        &self.setup.layout
    }
    /// What is happening; changes with every pass of the hub.
    pub fn snapshot(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// Waits until `met` holds for the snapshot; none if `limit` passed first or the hub ended.
    pub async fn wait_for(&self, limit: Duration, mut met: impl FnMut(&Snapshot) -> bool) -> Option<Arc<Snapshot>> {
        let mut snapshot = self.snapshot();
        let found = timeout(limit, snapshot.wait_for(|s| met(s))).await.ok()?.ok()?;
        Some(found.clone())
    }

    /// Takes a site's power: all its processes die, gateway and courier are gone, the hub hears nothing. Its files stay.
    pub async fn kill_site(&self, site: &SiteId) -> Result<(), LocalError> {
        let mut sites = self.sites.lock().await;
        let slot = sites.get_mut(site).ok_or_else(|| self.no_site(site))?;
        let told = match slot.take() {
            Some(s) => {
                self.exchange.set_down(site, Some(Down::default()));
                s.kill().await;
                "was killed on request, with all its processes"
            }
            None => "was to be killed, and is down already",
        };
        self.tell(site, "SiteKilled", told);
        Ok(())
    }

    /// Says of a site that was killed that it comes back without being asked to, so that people are told.
    pub(crate) fn comes_back(&self, site: &SiteId) {
        self.exchange.set_down(site, Some(Down { by_itself: true }));
    }

    /// Brings a site up again; nothing happens if it is up.
    pub async fn return_site(&self, site: &SiteId) -> Result<(), LocalError> {
        let told = if self.bring_up(site).await? {
            "was started again on request"
        } else {
            "was to be started again, and is up already"
        };
        self.tell(site, "SiteStarted", told);
        Ok(())
    }

    /// Starts a site; false if it is up.
    async fn bring_up(&self, site: &SiteId) -> Result<bool, LocalError> {
        let mut sites = self.sites.lock().await;
        let no_site = || self.no_site(site);
        let slot = sites.get_mut(site).ok_or_else(no_site)?;
        if slot.is_some() {
            return Ok(false);
        }
        let shape = self.setup.sites.get(site).copied().ok_or_else(no_site)?;
        let link = self.exchange.link(site).ok_or_else(no_site)?;
        *slot = Some(Site::start(&self.setup.layout, site, shape, link, &self.options).await?);
        self.exchange.set_down(site, None);
        Ok(true)
    }

    /// Removes a site's store with all it holds.
    pub async fn lose_store(&self, site: &SiteId) -> Result<(), LocalError> {
        if !self.setup.sites.contains_key(site) {
            return Err(self.no_site(site));
        }
        let store = self.setup.layout.store(site);
        // Out of the way in one step: a write of the site that is still under way would else fill a folder that is being
        // emptied.
        let lost = store.with_extension(format!("lost-{}", random_hex()?));
        tokio::task::spawn_blocking(move || {
            let gone = std::fs::rename(&store, &lost).and_then(|()| std::fs::remove_dir_all(&lost));
            match gone {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(LocalError::write(&store, &e)),
                _ => Ok(()),
            }
        })
        .await
        .map_err(|e| LocalError::Bug(e.to_string()))??;
        self.tell(site, "StoreRemoved", "lost its store on request");
        Ok(())
    }

    /// Makes a fault on request an event of the run, so that whoever looks later knows what happened.
    pub(crate) fn tell(&self, site: &SiteId, reason: &str, what: &str) {
        self.exchange.tell(site, reason, format!("{site} {what}"));
    }

    /// Supervisors that run, each with its worker processes.
    pub async fn processes(&self) -> Vec<Process> {
        let sites = self.sites.lock().await;
        let of = |(name, site): (&SiteId, &Option<Site>)| -> Vec<Process> {
            let list = site.as_ref().map(Site::processes).unwrap_or_default();
            list.into_iter()
                .map(|(worker, supervisor, workers)| Process { site: name.clone(), worker, supervisor, workers })
                .collect()
        };
        sites.iter().flat_map(of).collect()
    }

    /// Asks all sites to save and stop; [`Runner::finished`] then returns.
    pub fn stop(&self) {
        self.suspend.send_replace(true);
    }

    /// Ends everything at once: what a kill of this process does, in order.
    pub async fn shut_down(&self) {
        if let Some(hub) = self.hub.lock().await.take() {
            hub.abort();
            // A pass that has begun ends before another runner reads the folder.
            let _ = hub.await;
        }
        if let Some(commands) = self.commands.lock().await.take() {
            commands.abort();
        }
        let sites: Vec<Site> = self.sites.lock().await.values_mut().filter_map(Option::take).collect();
        for site in sites {
            site.kill().await;
        }
        let _ = std::fs::remove_file(self.setup.layout.runner());
    }

    fn no_site(&self, site: &SiteId) -> LocalError {
        let names: Vec<&str> = self.setup.sites.keys().map(SiteId::as_str).collect();
        LocalError::NoSite { site: site.to_string(), sites: names.join(", ") }
    }
}

/// Carries out commands from other processes while the runner lives.
async fn obey(runner: std::sync::Weak<Runner>) {
    let mut poll = tokio::time::interval(control::POLL);
    loop {
        poll.tick().await;
        let Some(runner) = runner.upgrade() else { return };
        for command in control::take(&runner.setup.layout) {
            tracing::info!(?command, "command");
            let done = match &command {
                Command::Stop => {
                    runner.stop();
                    Ok(())
                }
                Command::Kill { site } => runner.kill_site(site).await,
                Command::Return { site } => runner.return_site(site).await,
                Command::LoseStore { site } => runner.lose_store(site).await,
            };
            if let Err(e) = done {
                tracing::error!(error = %e, "the command was not carried out");
            }
        }
    }
}
