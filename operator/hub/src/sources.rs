//! What the hub role watches, shared by all runs: one watch a kind, each with its own pauses. Must not know what a run does with
//! what it finds.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use coalition_crds::names::{RUN_LABEL, SITE_LABEL, site_namespace};
use coalition_crds::site::{Facts, Site};
use coalition_crds::site_report::{SITE, SiteReport};
use coalition_crds::{CheckpointPolicy, TrainingRun};
use coalition_planner::Millis;
use coalition_protocol::{RunId, SiteId};
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::watcher::Config;
use kube::{Api, Client, Resource as _};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use coalition_kit::watch::Watched;

/// Who is woken by what: a run by its own objects, all runs by a site's.
#[derive(Debug, Default)]
pub struct Wake {
    runs: Mutex<BTreeMap<String, Arc<Notify>>>,
    /// A TrainingRun came, changed or went.
    pub list: Notify,
}

impl Wake {
    /// The bell of one run, by its identity or by `namespace/name` of its object.
    pub fn of(&self, key: &str) -> Arc<Notify> {
        self.locked(|runs| runs.entry(key.to_owned()).or_default().clone())
    }

    fn run(&self, key: &str) {
        self.locked(|runs| runs.get(key).map(|n| n.notify_one()));
    }

    fn all(&self) {
        self.locked(|runs| runs.values().for_each(|n| n.notify_one()));
    }

    fn locked<T>(&self, f: impl FnOnce(&mut BTreeMap<String, Arc<Notify>>) -> T) -> T {
        f(&mut self.runs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// When sites were heard of, on this hub's clock.
#[derive(Debug)]
pub struct Heard {
    origin: Instant,
    at: Mutex<BTreeMap<String, (String, Millis)>>,
}

impl Heard {
    fn new() -> Self {
        Self { origin: Instant::now(), at: Mutex::default() }
    }

    /// This hub's clock.
    pub fn now(&self) -> Millis {
        Millis(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// The instant of `at` for timers.
    pub fn instant(&self, at: Millis) -> Instant {
        self.origin + std::time::Duration::from_millis(at.0)
    }

    /// An object of a site was seen; one that was seen before in this version says nothing new.
    fn see(&self, namespace: &str, kind: &str, version: &str) {
        let mut all = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = format!("{kind} {version}");
        let entry = all.entry(namespace.to_owned()).or_insert_with(|| (String::new(), Millis(0)));
        if entry.0 != mark {
            *entry = (mark, self.now());
        }
    }

    fn of(&self, namespace: &str) -> Option<Millis> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).get(namespace).map(|(_, at)| *at)
    }
}

/// The watches.
#[derive(Debug)]
pub struct Sources {
    /// What users ask for.
    pub runs: Watched<TrainingRun>,
    /// When they want state saved and kept.
    pub policies: Watched<CheckpointPolicy>,
    /// Who may take part.
    pub sites: Watched<Site>,
    reports: Watched<SiteReport>,
    leases: Watched<Lease>,
    /// Who is woken.
    pub wake: Arc<Wake>,
    /// When sites were heard of.
    pub clock: Arc<Heard>,
}

impl Sources {
    /// Starts all watches.
    pub fn start(client: &Client, tasks: &mut JoinSet<()>) -> Self {
        let (wake, clock) = (Arc::new(Wake::default()), Arc::new(Heard::new()));
        let any = Config::default;
        let w = wake.clone();
        let runs = Watched::start(tasks, "TrainingRun", Api::all(client.clone()), any(), move |r: &TrainingRun| {
            w.list.notify_one();
            w.run(&key(r.metadata.namespace.as_deref(), r.metadata.name.as_deref()));
        });
        let w = wake.clone();
        let policies =
            Watched::start(tasks, "CheckpointPolicy", Api::all(client.clone()), any(), move |_: &CheckpointPolicy| {
                w.all()
            });
        let w = wake.clone();
        let sites = Watched::start(tasks, "Site", Api::all(client.clone()), any(), move |_: &Site| w.all());
        let (w, c) = (wake.clone(), clock.clone());
        let reports = Watched::start(tasks, "SiteReport", Api::all(client.clone()), any(), move |r: &SiteReport| {
            let meta = r.meta();
            c.see(
                meta.namespace.as_deref().unwrap_or_default(),
                meta.name.as_deref().unwrap_or_default(),
                meta.resource_version.as_deref().unwrap_or_default(),
            );
            match meta.labels.as_ref().and_then(|l| l.get(RUN_LABEL)) {
                Some(run) => w.run(run),
                None => w.all(),
            }
        });
        let c = clock.clone();
        // A renewal wakes nobody: who waits for a site has a deadline of its own.
        let leases = Watched::start(
            tasks,
            "Lease",
            Api::all(client.clone()),
            Config::default().labels(SITE_LABEL),
            move |l: &Lease| {
                let meta = l.meta();
                c.see(
                    meta.namespace.as_deref().unwrap_or_default(),
                    "lease",
                    meta.resource_version.as_deref().unwrap_or_default(),
                );
            },
        );
        Self { runs, policies, sites, reports, leases, wake, clock }
    }

    /// True once every object of every kind was seen.
    pub fn is_ready(&self) -> bool {
        self.runs.is_ready()
            && self.policies.is_ready()
            && self.sites.is_ready()
            && self.reports.is_ready()
            && self.leases.is_ready()
    }

    /// What a site says that it has.
    pub fn facts(&self, site: &SiteId) -> Option<Facts> {
        let report = self.reports.get(Some(&site_namespace(site.as_str())), SITE)?;
        report.spec.site.as_ref().map(|s| s.facts.clone())
    }

    /// What a site answers about a run.
    pub fn report(&self, site: &SiteId, run: &RunId) -> Option<Arc<SiteReport>> {
        self.reports.get(Some(&site_namespace(site.as_str())), run.as_str())
    }

    /// When a site was heard of last.
    pub fn heard(&self, site: &SiteId) -> Option<Millis> {
        self.clock.of(&site_namespace(site.as_str()))
    }
}

/// How a TrainingRun's bell is named.
pub fn key(namespace: Option<&str>, name: Option<&str>) -> String {
    format!("{}/{}", namespace.unwrap_or_default(), name.unwrap_or_default())
}
