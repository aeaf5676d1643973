//! What the hub role measures beside what every role does. Must not know how the figures are shown.
use std::collections::BTreeSet;

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

    fn count(&self, phase: Phase, change: i64) {
        self.runs.get_or_create_owned(&InPhase { phase: phase.to_string() }).inc_by(change);
    }
}

/// One run as it is counted, for as long as this is there: a hub that leads no more counts none.
#[derive(Debug)]
pub struct Counted {
    figures: Figures,
    phase: Option<Phase>,
}

impl Counted {
    /// A run that does nothing yet.
    pub const fn new(figures: Figures) -> Self {
        Self { figures, phase: None }
    }

    /// It does this now; none if it is gone.
    pub fn set(&mut self, phase: Option<Phase>) {
        if self.phase != phase {
            if let Some(before) = self.phase {
                self.figures.count(before, -1);
            }
            if let Some(now) = phase {
                self.figures.count(now, 1);
            }
            self.phase = phase;
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.set(None);
    }
}

/// For how long nothing was heard of each site, for as long as this is there: what a hub that leads no more saw last would look
/// like news.
#[derive(Debug)]
pub struct Silences {
    figures: Figures,
    shown: BTreeSet<String>,
}

impl Silences {
    /// Of no site yet.
    pub const fn new(figures: Figures) -> Self {
        Self { figures, shown: BTreeSet::new() }
    }

    /// A site was heard of so long ago, milliseconds; none if never.
    pub fn set(&mut self, site: &str, age: Option<u64>) {
        let Some(seconds) = age.and_then(|age| i64::try_from(age / 1000).ok()) else { return };
        self.figures.silence.get_or_create_owned(&OfSite { site: site.to_owned() }).set(seconds);
        self.shown.insert(site.to_owned());
    }

    /// Forgets the sites that are not there any more.
    pub fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        let silence = &self.figures.silence;
        self.shown.retain(|site| is_there(site) || !silence.remove(&OfSite { site: site.clone() }));
    }
}

impl Drop for Silences {
    fn drop(&mut self) {
        self.keep(|_| false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leads_no_more_counts_nothing() {
        let metrics = Metrics::new("0");
        let figures = Figures::new(&metrics);
        for _ in 0..2 {
            let mut run = Counted::new(figures.clone());
            run.set(Some(Phase::Starting));
            run.set(Some(Phase::Training));
            let mut sites = Silences::new(figures.clone());
            sites.set("north", Some(61_000));
            sites.set("south", Some(1_000));
            sites.set("west", None);
            let text = metrics.text();
            for line in [
                r#"coalition_runs{phase="Starting"} 0"#,
                r#"coalition_runs{phase="Training"} 1"#,
                r#"coalition_site_silence_seconds{site="north"} 61"#,
            ] {
                assert!(text.contains(line), "{line} is not in\n{text}");
            }
            assert!(!text.contains(r#"site="west""#), "{text}");
            sites.keep(|site| site != "north");
            assert!(!metrics.text().contains(r#"site="north""#), "it is no site any more");
        }
        let text = metrics.text();
        assert!(text.contains(r#"coalition_runs{phase="Training"} 0"#) && !text.contains(r#"site="south""#), "{text}");
    }
}
