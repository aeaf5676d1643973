//! Numbers of the site role for machines. Must not be read by anything that decides.
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// A gang.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfGang {
    gang: String,
}

/// Why a pod ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: String,
}

/// Upper bounds of a pass's seconds: from one that found nothing to one that made a thousand pods.
const PASS_SECONDS: [f64; 8] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0];

/// The numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    passes: Histogram,
    running: Family<OfGang, Gauge>,
    created: Counter,
    ended: Family<Why, Counter>,
}

impl Metrics {
    /// Numbers that `registry` shows.
    pub fn new(registry: &mut Registry) -> Self {
        let this = Self {
            passes: Histogram::new(PASS_SECONDS),
            running: Family::default(),
            created: Counter::default(),
            ended: Family::default(),
        };
        let r = registry.sub_registry_with_prefix("coalition_site");
        r.register("pass_seconds", "Seconds that a pass over one gang took", this.passes.clone());
        r.register("pods_running", "Workers' pods that run, by gang", this.running.clone());
        r.register("pods_created", "Workers' pods made", this.created.clone());
        r.register("pods_ended", "Workers' pods that ended whole, by reason", this.ended.clone());
        this
    }

    /// A pass over a gang ended.
    pub fn pass(&self, gang: &str, took: Duration, running: usize) {
        self.passes.observe(took.as_secs_f64());
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
    pub fn ended(&self, reason: &str) {
        self.ended.get_or_create(&Why { reason: reason.to_owned() }).inc();
    }
}
