//! What the site role watches: gangs and pods of the listed namespaces, nodes, and the hub's requests. Runs in every replica, so
//! that a standby takes over at once. Must not know what is made of it.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use coalition_crds::names::{RUN_LABEL, site_namespace};
use coalition_crds::{Gang, SiteRun};
use coalition_kit::metrics::Metrics;
use coalition_kit::watch::{News, Watched};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::runtime::watcher::Config;
use kube::{Api, Client, Resource as _};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::gang::observe::is_ready;
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

/// Which nodes there are, and which of them answer: all that gangs go by. A node tells much more, every few minutes each, and a
/// thousand nodes that woke all gangs by that would leave them no rest.
#[derive(Debug, Default)]
struct Standing(BTreeMap<String, bool>);

impl Standing {
    /// Takes note of a node: whether it answers, or none if it is gone. True if that is news.
    fn changed(&mut self, node: &str, ready: Option<bool>) -> bool {
        match ready {
            Some(ready) => self.0.insert(node.to_owned(), ready) != Some(ready),
            None => self.0.remove(node).is_some(),
        }
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
        let (b, standing) = (bells.clone(), Mutex::new(Standing::default()));
        let changed = move |n: &Node, news| {
            let mut standing = standing.lock().unwrap_or_else(PoisonError::into_inner);
            if standing.changed(n.meta().name.as_deref().unwrap_or_default(), (news != News::Gone).then(|| is_ready(n)))
            {
                b.ring_all();
            }
        };
        let nodes = Watched::start_telling(tasks, "Node", figures, Api::all(local.clone()), Config::default(), changed);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_news_when_it_comes_answers_otherwise_or_goes() {
        let mut standing = Standing::default();
        let told: Vec<bool> = [Some(true), Some(true), Some(false), Some(false), None, None, Some(false)]
            .map(|ready| standing.changed("n", ready))
            .into();
        assert_eq!(told, [true, false, true, false, true, false, true]);
        assert!(standing.changed("m", Some(true)));
    }
}
