//! What the hub role measures beside what every role does. Must not know how the figures are shown.
use coalition_kit::metrics::Metrics;
use coalition_planner::status::Phase;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InPhase {
    phase: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfSite {
    site: String,
}

/// The figures.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    runs: Family<InPhase, Gauge>,
    /// Rounds committed by this process.
    pub commits: Counter,
    silence: Family<OfSite, Gauge>,
}

impl Figures {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Self {
        let figures = Self::default();
        metrics.register("runs", "TrainingRuns by what they do", figures.runs.clone());
        metrics.register("rounds_committed", "Rounds committed by this process", figures.commits.clone());
        let help = "Seconds since anything was heard of a site, by this hub's clock";
        metrics.register("site_silence_seconds", help, figures.silence.clone());
        figures
    }

    /// A run does something else now, or is gone.
    pub fn moved(&self, before: Option<Phase>, now: Option<Phase>) {
        let of = |phase: Phase| self.runs.get_or_create_owned(&InPhase { phase: phase.to_string() });
        before.map(|phase| of(phase).dec());
        now.map(|phase| of(phase).inc());
    }

    /// A site was heard of so long ago, milliseconds; none if never.
    pub fn silent(&self, site: &str, age: Option<u64>) {
        let label = OfSite { site: site.to_owned() };
        match age.and_then(|age| i64::try_from(age / 1000).ok()) {
            Some(seconds) => {
                self.silence.get_or_create(&label).set(seconds);
            }
            None => {
                self.silence.remove(&label);
            }
        }
    }
}
