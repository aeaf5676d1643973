//! What the hub role watches, shared by all runs: one watch a kind, each with its own pauses. Must not know what a run does with
//! what it finds.
use std::sync::Arc;

use coalition_crds::names::{RUN_LABEL, SITE_LABEL, site_namespace};
use coalition_crds::site::{Facts, Site};
use coalition_crds::site_report::{SITE, SiteReport};
use coalition_crds::{Checkpoint, CheckpointPolicy, SiteRun, TrainingRun};
use coalition_kit::metrics::Metrics;
use coalition_kit::unreadable::Unreadable;
use coalition_kit::watch::{News, Watched};
use coalition_planner::Millis;
use coalition_protocol::{RunId, SiteId};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use tokio::task::JoinSet;

use crate::heard::Heard;
use crate::wake::{Wake, key};

/// The watches.
#[derive(Debug)]
pub struct Sources {
    /// What users ask for.
    pub runs: Watched<TrainingRun>,
    /// When they want state saved and kept.
    pub policies: Watched<CheckpointPolicy>,
    /// What is kept.
    pub checkpoints: Watched<Checkpoint>,
    /// Who may take part.
    pub sites: Watched<Site>,
    /// What sites were asked.
    pub asked: Watched<SiteRun>,
    reports: Watched<SiteReport>,
    leases: Watched<Lease>,
    /// What is remembered of runs, in the hub's own namespace.
    pub memories: Watched<ConfigMap>,
    /// Who is woken.
    pub wake: Arc<Wake>,
    /// When sites were heard of.
    pub heard: Arc<Heard>,
}

fn text(field: Option<&String>) -> &str {
    field.map_or("", String::as_str)
}

fn see(heard: &Heard, wake: &Wake, kind: &str, meta: &ObjectMeta, news: News) {
    let object = format!("{kind}/{}", text(meta.name.as_ref()));
    if heard.see(text(meta.namespace.as_ref()), &object, text(meta.resource_version.as_ref()), news) {
        // Who waits for sites to come did not count on this one.
        wake.all();
        wake.sites.notify_one();
        wake.strays.notify_one();
    }
}

impl Sources {
    /// Starts all watches as tasks of `tasks`. `namespace` is the hub's own.
    pub fn start(client: &Client, namespace: &str, metrics: &Metrics, tasks: &mut JoinSet<()>) -> Self {
        let (wake, heard) = (Arc::new(Wake::default()), Arc::new(Heard::default()));
        let (all, m) = (Config::default, Some(metrics));
        let w = wake.clone();
        let runs = move |r: &TrainingRun, _| {
            w.list.notify_one();
            w.strays.notify_one();
            w.run(&key(r.metadata.namespace.as_deref(), r.metadata.name.as_deref()));
        };
        let runs = Watched::start_telling(tasks, "TrainingRun", m, Api::all(client.clone()), all(), runs);
        let w = wake.clone();
        let policies = move |_: &CheckpointPolicy, _| w.all();
        let policies = Watched::start_telling(tasks, "CheckpointPolicy", m, Api::all(client.clone()), all(), policies);
        let w = wake.clone();
        let checkpoints = move |c: &Checkpoint, _| {
            if !w.run(&c.spec.run_id) {
                w.strays.notify_one();
            }
        };
        let checkpoints = Watched::start_telling(tasks, "Checkpoint", m, Api::all(client.clone()), all(), checkpoints);
        let w = wake.clone();
        let sites = move |_: &Site, _| {
            w.all();
            w.sites.notify_one();
            w.strays.notify_one();
        };
        let sites = Watched::start_telling(tasks, "Site", m, Api::all(client.clone()), all(), sites);
        let w = wake.clone();
        let asked = move |r: &SiteRun, news| {
            // Its own writes wake no run; what somebody else removed is written again.
            if news == News::Gone {
                w.run(text(r.metadata.name.as_ref()));
            }
            w.strays.notify_one();
            w.sites.notify_one();
        };
        let asked = Watched::start_telling(tasks, "SiteRun", m, Api::all(client.clone()), all(), asked);
        let (w, h) = (wake.clone(), heard.clone());
        let reports = move |r: &SiteReport, news| {
            see(&h, &w, "report", &r.metadata, news);
            let name = text(r.metadata.name.as_ref());
            if name == SITE {
                w.all();
                w.sites.notify_one();
            } else if !w.run(name) {
                w.strays.notify_one();
            }
        };
        let reports = Watched::start_telling(tasks, "SiteReport", m, Api::all(client.clone()), all(), reports);
        let (w, h) = (wake.clone(), heard.clone());
        // A renewal wakes nobody: who waits for a site has a deadline of its own.
        let leases = move |l: &Lease, news| see(&h, &w, "lease", &l.metadata, news);
        let of_sites = Config::default().labels(SITE_LABEL);
        let leases = Watched::start_telling(tasks, "Lease", m, Api::all(client.clone()), of_sites, leases);
        let w = wake.clone();
        // Its own writes wake nobody, but for one that comes after its run went.
        let memories = move |m: &ConfigMap, news| {
            if news == News::Listed || !m.metadata.labels.iter().flatten().any(|(_, run)| w.knows(run)) {
                w.strays.notify_one();
            }
        };
        let own = Api::namespaced(client.clone(), namespace);
        let of_runs = Config::default().labels(RUN_LABEL);
        let memories = Watched::start_telling(tasks, "ConfigMap", m, own, of_runs, memories);
        Self { runs, policies, checkpoints, sites, asked, reports, leases, memories, wake, heard }
    }

    /// True once every object of every kind was seen.
    pub fn is_ready(&self) -> bool {
        self.runs.is_ready()
            && self.policies.is_ready()
            && self.checkpoints.is_ready()
            && self.sites.is_ready()
            && self.asked.is_ready()
            && self.reports.is_ready()
            && self.leases.is_ready()
            && self.memories.is_ready()
    }

    /// Ends once every object of every kind was seen.
    pub async fn ready(&self) {
        tokio::join!(
            self.runs.ready(),
            self.policies.ready(),
            self.checkpoints.ready(),
            self.sites.ready(),
            self.asked.ready(),
            self.reports.ready(),
            self.leases.ready(),
            self.memories.ready(),
        );
    }

    /// What a site says that it has.
    pub fn facts(&self, site: &str) -> Option<Facts> {
        let report = self.reports.get(Some(&site_namespace(site)), SITE)?;
        report.spec.site.as_ref().map(|s| s.facts.clone())
    }

    /// A report of a site that cannot be read, if there is one.
    pub fn unreadable_of(&self, site: &str) -> Option<Unreadable> {
        let namespace = site_namespace(site);
        self.reports.unreadable().into_iter().find(|bad| bad.namespace.as_deref() == Some(&namespace))
    }

    /// True if there is such a Site, readable or not.
    pub fn is_site(&self, name: &str) -> bool {
        self.sites.get(None, name).is_some() || self.sites.unreadable_one(None, name).is_some()
    }

    /// What a site answers about a run.
    pub fn report(&self, site: &SiteId, run: &RunId) -> Option<Arc<SiteReport>> {
        self.reports.get(Some(&site_namespace(site.as_str())), run.as_str())
    }

    /// All that was asked for one run.
    pub fn asked_for(&self, run: &RunId) -> Vec<Arc<SiteRun>> {
        self.asked.all().into_iter().filter(|r| r.metadata.name.as_deref() == Some(run.as_str())).collect()
    }

    /// When a site was heard of last.
    pub fn heard(&self, site: &str) -> Option<Millis> {
        self.heard.of(&site_namespace(site))
    }
}
