//! What every role measures, and the registry that all of them share. Must not know what a role does: its own figures are
//! registered by it ([`Metrics::register`]).
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

/// One write at an API server.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Write {
    /// What was written, as paths name it.
    pub resource: String,
    /// How.
    pub verb: String,
}

/// Something that has a kind.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Kind {
    /// Which.
    pub kind: Name,
}

/// A role.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Role {
    /// Which.
    pub role: Name,
}

/// An error of a pass.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Failure {
    /// Of which kind the object is.
    pub kind: Name,
    /// What sort of error.
    pub category: Name,
}

/// A label's value that the program text names: labels never come from objects, so their number is bounded.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Name(pub &'static str);

impl EncodeLabelValue for Name {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        self.0.encode(encoder)
    }
}

/// Bounds of the histogram of passes, seconds: from a pass that writes nothing (below a millisecond) to one that waits for
/// a busy API server.
const PASS: [f64; 9] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// The figures.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Writes at API servers.
    pub writes: Family<Write, Counter>,
    /// 1 while this process holds the role's Lease.
    pub lease: Family<Role, Gauge>,
    /// 1 while a watch has seen every object and works.
    pub watches: Family<Kind, Gauge>,
    /// Objects that stand at an API server and cannot be read.
    pub unreadable: Family<Kind, Gauge>,
    passes: Family<Kind, Histogram, fn() -> Histogram>,
    errors: Family<Failure, Counter>,
}

impl Metrics {
    /// A registry with the figures of all roles.
    pub fn new(version: &'static str) -> Self {
        let mut registry = Registry::with_prefix("coalition");
        let writes = Family::default();
        registry.register("api_writes", "Writes at API servers", writes.clone());
        let lease = Family::default();
        registry.register("lease_held", "1 while this process holds the role's Lease", lease.clone());
        let watches = Family::default();
        registry.register("watch_synced", "1 while a watch has seen every object and works", watches.clone());
        let unreadable = Family::default();
        let help = "Objects that stand at an API server and cannot be read";
        registry.register("objects_unreadable", help, unreadable.clone());
        let passes: Family<Kind, Histogram, fn() -> Histogram> = Family::new_with_constructor(|| Histogram::new(PASS));
        registry.register("reconcile_duration_seconds", "How long passes took", passes.clone());
        let errors = Family::default();
        registry.register("reconcile_errors", "Passes that ended with an error", errors.clone());
        registry.register("build", "The program", Info::new(vec![("version", version)]));
        Self { registry: Mutex::new(registry), writes, lease, watches, unreadable, passes, errors }
    }

    /// Adds a role's own figures.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).register(name, help, metric);
    }

    /// A pass of one object of this kind ended; `failed` names the sort of error, if it did.
    pub fn passed(&self, kind: &'static str, took: Duration, failed: Option<&'static str>) {
        let kind = Name(kind);
        self.passes.get_or_create(&Kind { kind }).observe(took.as_secs_f64());
        if let Some(category) = failed {
            self.errors.get_or_create(&Failure { kind, category: Name(category) }).inc();
        }
    }

    /// All of them as text, in the form of OpenMetrics.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a String cannot fail; what there is of it is shown in any case.
        if encode(&mut text, &registry).is_err() {
            tracing::error!("the metrics have no text");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_what_was_counted() {
        let m = Metrics::new("1.2.3");
        m.writes.get_or_create(&Write { resource: "siteruns".into(), verb: "patch".into() }).inc();
        m.passed("TrainingRun", Duration::from_millis(2), Some("conflict"));
        m.lease.get_or_create(&Role { role: Name("hub") }).set(1);
        let text = m.text();
        for line in [
            r#"coalition_api_writes_total{resource="siteruns",verb="patch"} 1"#,
            r#"coalition_reconcile_errors_total{kind="TrainingRun",category="conflict"} 1"#,
            r#"coalition_lease_held{role="hub"} 1"#,
            r#"coalition_build_info{version="1.2.3"} 1"#,
            r#"coalition_reconcile_duration_seconds_count{kind="TrainingRun"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
