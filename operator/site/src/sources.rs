//! What the site role watches: gangs and pods of the listed namespaces, nodes, and the hub's requests. Runs in every replica, so
//! that a standby takes over at once. Must not know what is made of it.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use coalition_crds::names::{RUN_LABEL, site_namespace};
use coalition_crds::{Gang, SiteRun};
use coalition_kit::metrics::Metrics;
use coalition_kit::watch::Watched;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::runtime::watcher::Config;
use kube::{Api, Client, Resource as _};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::settings::Settings;

/// Who is woken: a gang by its own objects and its pods, all gangs by a node.
#[derive(Debug, Default)]
pub struct Bells {
    gangs: Mutex<BTreeMap<String, Arc<Notify>>>,
    /// A Gang or a request of the hub came, changed or went.
    pub list: Notify,
}

impl Bells {
    /// The bell of one gang, by its name: it is the run's, and runs differ.
    pub fn of(&self, gang: &str) -> Arc<Notify> {
        self.locked(|g| g.entry(gang.to_owned()).or_default().clone())
    }

    /// Forgets a gang.
    pub fn forget(&self, gang: &str) {
        self.locked(|g| g.remove(gang));
    }

    fn ring(&self, gang: &str) {
        self.locked(|g| g.get(gang).map(|n| n.notify_one()));
    }

    fn ring_all(&self) {
        self.locked(|g| g.values().for_each(|n| n.notify_one()));
    }

    fn locked<T>(&self, f: impl FnOnce(&mut BTreeMap<String, Arc<Notify>>) -> T) -> T {
        f(&mut self.gangs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The watches.
#[derive(Debug)]
pub struct Sources {
    gangs: BTreeMap<String, Watched<Gang>>,
    pods: BTreeMap<String, Watched<Pod>>,
    /// Where pods run.
    pub nodes: Watched<Node>,
    /// What the hub asks. Ready once the hub was reached in this life.
    pub asked: Watched<SiteRun>,
    /// Who is woken.
    pub bells: Arc<Bells>,
}

impl Sources {
    /// Starts all watches.
    pub fn start(
        local: &Client,
        hub: &Client,
        settings: &Settings,
        figures: &Metrics,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let (bells, figures) = (Arc::new(Bells::default()), Some(figures));
        let namespaces: BTreeSet<String> = settings.site_namespaces();
        let ours = || Config::default().labels(RUN_LABEL);
        let (mut gangs, mut pods) = (BTreeMap::new(), BTreeMap::new());
        for namespace in namespaces {
            let b = bells.clone();
            let api = Api::namespaced(local.clone(), &namespace);
            let watched = Watched::start_telling(tasks, "Gang", figures, api, ours(), move |g: &Gang, _| {
                b.list.notify_one();
                b.ring(g.meta().name.as_deref().unwrap_or_default());
            });
            gangs.insert(namespace.clone(), watched);
            let b = bells.clone();
            let api = Api::namespaced(local.clone(), &namespace);
            let watched = Watched::start_telling(tasks, "Pod", figures, api, ours(), move |p: &Pod, _| {
                if let Some(run) = p.meta().labels.as_ref().and_then(|l| l.get(RUN_LABEL)) {
                    b.ring(run);
                }
            });
            pods.insert(namespace, watched);
        }
        let b = bells.clone();
        let nodes = Watched::start_telling(
            tasks,
            "Node",
            figures,
            Api::all(local.clone()),
            Config::default(),
            move |_: &Node, _| {
                b.ring_all();
            },
        );
        let b = bells.clone();
        let api = Api::namespaced(hub.clone(), &site_namespace(settings.name.as_str()));
        let asked = Watched::start_telling(tasks, "SiteRun", figures, api, Config::default(), move |r: &SiteRun, _| {
            b.list.notify_one();
            b.ring(r.meta().name.as_deref().unwrap_or_default());
        });
        Self { gangs, pods, nodes, asked, bells }
    }

    /// What was not seen yet of this cluster; none once everything was. The hub is no part of it: a site goes on without.
    pub fn waiting(&self) -> Option<&'static str> {
        let all = |ready: bool, what| (!ready).then_some(what);
        all(self.gangs.values().all(Watched::is_ready), "Gangs")
            .or_else(|| all(self.pods.values().all(Watched::is_ready), "Pods"))
            .or_else(|| all(self.nodes.is_ready(), "Nodes"))
    }

    /// One Gang.
    pub fn gang(&self, namespace: &str, name: &str) -> Option<Arc<Gang>> {
        self.gangs.get(namespace)?.get(Some(namespace), name)
    }

    /// All Gangs.
    pub fn all_gangs(&self) -> Vec<Arc<Gang>> {
        self.gangs.values().flat_map(Watched::all).collect()
    }

    /// Pods of one gang.
    pub fn pods(&self, namespace: &str, gang: &str) -> Vec<Arc<Pod>> {
        let all = self.pods.get(namespace).map(Watched::all).unwrap_or_default();
        let ours = |p: &Arc<Pod>| p.metadata.labels.as_ref().and_then(|l| l.get(RUN_LABEL)).is_some_and(|r| r == gang);
        all.into_iter().filter(ours).collect()
    }
}
