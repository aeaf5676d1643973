//! Figures of the site role for machines; passes and writes are counted with every role's. Must not be read by anything that
//! decides.
use std::sync::Arc;
use std::time::Duration;

use coalition_kit::metrics::{Metrics as Shared, Name};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// A gang. Its label comes from an object, and goes when that does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfGang {
    gang: String,
}

/// Why a pod ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: Name,
}

/// The figures.
#[derive(Clone, Debug)]
pub struct Metrics {
    shared: Arc<Shared>,
    running: Family<OfGang, Gauge>,
    created: Counter,
    ended: Family<Why, Counter>,
}

impl Metrics {
    /// Figures that are shown with those of all roles.
    pub fn new(shared: Arc<Shared>) -> Self {
        let (running, created, ended) = (Family::default(), Counter::default(), Family::default());
        shared.register("gang_pods_running", "Workers' pods that run", running.clone());
        shared.register("gang_pods_created", "Workers' pods made", created.clone());
        shared.register("gang_pods_ended", "Workers' pods that ended whole, by reason", ended.clone());
        Self { shared, running, created, ended }
    }

    /// A pass over a gang ended.
    pub fn pass(&self, took: Duration, failed: Option<&'static str>) {
        self.shared.passed("Gang", took, failed);
    }

    /// So many pods of a gang run.
    pub fn running(&self, gang: &str, running: usize) {
        let gauge = self.running.get_or_create(&OfGang { gang: gang.to_owned() });
        gauge.set(i64::try_from(running).unwrap_or(i64::MAX));
    }

    /// A gang is gone.
    pub fn forget(&self, gang: &str) {
        self.running.remove(&OfGang { gang: gang.to_owned() });
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
