//! Figures of the site role for machines; passes and writes are counted with every role's. Must not be read by anything that
//! decides.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coalition_kit::metrics::{Metrics as Shared, Name};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// A namespace of workers: as many as the settings list. Gangs come and go without bound, so none is a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct In {
    namespace: String,
}

/// Running pods by namespace and gang.
type Pods = BTreeMap<(String, String), i64>;

/// Why a pod ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: Name,
}

/// The figures.
#[derive(Clone, Debug)]
pub struct Metrics {
    shared: Arc<Shared>,
    running: Family<In, Gauge>,
    pods: Arc<Mutex<Pods>>,
    created: Counter,
    ended: Family<Why, Counter>,
}

impl Metrics {
    /// Figures that are shown with those of all roles.
    pub fn new(shared: Arc<Shared>) -> Self {
        let (running, created, ended) = (Family::default(), Counter::default(), Family::default());
        shared.register("gang_pods_running", "Workers' pods that run, by namespace", running.clone());
        shared.register("gang_pods_created", "Workers' pods made", created.clone());
        shared.register("gang_pods_ended", "Workers' pods that ended whole, by reason", ended.clone());
        Self { shared, running, pods: Arc::default(), created, ended }
    }

    /// A pass over a gang ended.
    pub fn pass(&self, took: Duration, failed: Option<&'static str>) {
        self.shared.passed("Gang", took, failed);
    }

    /// So many pods of a gang run.
    pub fn running(&self, namespace: &str, gang: &str, running: usize) {
        let running = i64::try_from(running).unwrap_or(i64::MAX);
        self.counted(namespace, |pods| {
            pods.insert((namespace.to_owned(), gang.to_owned()), running);
        });
    }

    /// A gang is gone.
    pub fn forget(&self, namespace: &str, gang: &str) {
        self.counted(namespace, |pods| {
            pods.remove(&(namespace.to_owned(), gang.to_owned()));
        });
    }

    fn counted(&self, namespace: &str, change: impl FnOnce(&mut Pods)) {
        let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut pods);
        let all = pods.iter().filter(|((n, _), _)| n == namespace).map(|(_, running)| running).sum();
        self.running.get_or_create(&In { namespace: namespace.to_owned() }).set(all);
    }

    /// A pod was made.
    pub fn created(&self) {
        self.created.inc();
    }

    /// A pod ended whole.
    pub fn ended(&self, reason: &'static str) {
        self.ended.get_or_create(&Why { reason: Name(reason) }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_pods_are_told_by_namespace_however_many_gangs_there_are() {
        let shared = Arc::new(Shared::new("0"));
        let metrics = Metrics::new(shared.clone());
        let lines = || -> Vec<String> {
            let text = shared.text();
            text.lines().filter(|l| l.starts_with("coalition_gang_pods_running{")).map(str::to_owned).collect()
        };
        for n in 0..200 {
            metrics.running("research", &format!("run-{n}"), 1);
        }
        metrics.running("research", "run-0", 3);
        assert_eq!(lines(), [r#"coalition_gang_pods_running{namespace="research"} 202"#]);
        metrics.forget("research", "run-0");
        assert_eq!(lines(), [r#"coalition_gang_pods_running{namespace="research"} 199"#]);
    }
}
