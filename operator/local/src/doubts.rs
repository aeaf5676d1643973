//! What of a run can be seen to go wrong before it starts, from its numbers and this machine's: what looks like a mistake is told,
//! what cannot fit is refused. Must not read files of the run.
use std::collections::BTreeMap;
use std::path::Path;

use coalition_protocol::SiteId;
use coalition_spec::run::SiteShape;
use coalition_spec::{RunSpec, memory};

use crate::LocalError;
use crate::setup::labels;
use crate::site::Shape;

/// Compute threads for each core above which a run is warned of. Pretended sites share a machine, so a few threads more than
/// cores are what any small machine has (the quick start has three, on two cores) and cost little: a worker that waits for a
/// collective sleeps. From twice as many on, every step waits for threads that are not running.
const CROWDED: u64 = 2;

/// What of a run looks like a mistake and can be trained all the same, in sentences. `cores` of this machine run all its sites.
pub(crate) fn doubts(spec: &RunSpec, sites: &BTreeMap<SiteId, Shape>, cores: u64) -> Vec<String> {
    let mut out = selectors(spec, sites);
    let threads: u64 = sites.values().map(|s| u64::from(s.workers) * u64::from(s.threads)).sum();
    if threads > CROWDED.saturating_mul(cores) {
        out.push(format!(
            "cpuThreads × workers of all sites come to {threads} compute threads, this machine has {cores} cores: sites will \
             wait for each other. Lower spec.siteTemplates[].cpuThreads or workers, or spec.sites.max"
        ));
    }
    out
}

/// Selectors of templates that no site of the run has the labels for.
fn selectors(spec: &RunSpec, sites: &BTreeMap<SiteId, Shape>) -> Vec<String> {
    let mut out = Vec::new();
    let names = || sites.keys().map(SiteId::as_str).collect::<Vec<_>>().join(", ");
    for (i, t) in spec.site_templates.iter().enumerate() {
        let mut labels = sites.keys().map(|s| labels(s.as_str()));
        if !labels.any(|l| coalition_spec::run::matches(&t.selector, &l)) {
            let selector: Vec<String> = t.selector.iter().map(|(k, v)| format!("{k}: {v}")).collect();
            out.push(format!(
                "spec.siteTemplates[{i}].selector ({}) matches no site of this run: it has {}",
                selector.join(", "),
                names()
            ));
        }
    }
    out
}

/// What of a manifest `local` would warn of or refuse on any machine, in sentences: for whoever only looks at the manifest.
pub fn of_manifest(spec: &RunSpec) -> Vec<String> {
    match crate::setup::sites(spec) {
        Ok(sites) => selectors(spec, &sites),
        Err(what) => vec![what],
    }
}

/// What the state of all sites takes must fit into this machine: parameters, moments and gradients of every worker, and the outer
/// states. Activations come on top. `memory` is (all, free) of this machine, bytes; a doubt is given where it is more than free.
pub(crate) fn fits(
    path: &Path,
    spec: &RunSpec,
    sites: &BTreeMap<SiteId, Shape>,
    memory: Option<(u64, u64)>,
) -> Result<Option<String>, LocalError> {
    let Some((all, free)) = memory else { return Ok(None) };
    let shape = |s: &Shape| SiteShape { workers: s.workers, cpu_threads: s.threads };
    let site = |s| memory::count(&spec.model.config, spec.training.precision, shape(s)).site;
    let needed = sites.values().map(site).fold(0u64, u64::saturating_add);
    let gigabytes = |n: u64| format!("{:.1} GB", n as f64 / 1e9);
    let way_out =
        "Choose a smaller spec.model, or fewer sites or workers (spec.sites.max, spec.siteTemplates[].workers)";
    let text = |has: u64, what: &str| {
        format!(
            "spec.model: the state of all sites takes {} without activations, this machine has {}{what}. {way_out}",
            gigabytes(needed),
            gigabytes(has)
        )
    };
    if needed > all {
        return Err(LocalError::Manifest { path: path.to_owned(), problems: format!("  {}", text(all, "")) });
    }
    Ok((needed > free).then(|| text(free, " free")))
}

/// Memory of this machine, and what of it programs may still take, bytes (`MemTotal` and `MemAvailable` of proc(5)). None where it
/// cannot be read.
pub(crate) fn of_this_machine() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name))?;
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().ok()?.checked_mul(1024)
    };
    Some((field("MemTotal")?, field("MemAvailable")?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn shipped() -> (RunSpec, BTreeMap<SiteId, Shape>) {
        let text = include_str!("../../../crds/examples/quickstart.yaml");
        let spec = crate::manifest::one(Path::new("quickstart.yaml"), text).unwrap().spec;
        let shapes = [("north", 2), ("south", 1)].map(|(s, workers)| (s, Shape { workers, threads: 1 }));
        (spec, shapes.into_iter().map(|(s, shape)| (s.parse().unwrap(), shape)).collect())
    }

    #[test]
    fn a_model_that_cannot_fit_is_refused_with_both_sizes() {
        let (spec, sites) = shipped();
        let fits = |all, free| fits(Path::new("run.yaml"), &spec, &sites, Some((all, free)));
        // 0.8 M parameters: three workers with 16 bytes each, two outer states with 8.
        let needed: u64 = spec.model.config.parameter_count() * (3 * 16 + 2 * 8);
        assert_eq!(fits(needed, needed).unwrap(), None);
        let doubt = fits(needed, needed - 1).unwrap().unwrap();
        assert!(doubt.contains("GB free") && doubt.contains("spec.sites.max"), "{doubt}");
        let refused = fits(needed - 1, 0).unwrap_err();
        assert_eq!(refused.exit_code(), crate::exit_code::MANIFEST);
        assert!(refused.to_string().contains("spec.model: the state of all sites takes"), "{refused}");
        assert!(
            super::of_this_machine().is_some_and(|(all, free)| all >= free && free > 0),
            "this machine tells its memory"
        );
    }

    #[test]
    fn what_looks_like_a_mistake_is_told() {
        let (mut spec, shipped) = shipped();
        let shape = Shape { workers: 2, threads: 3 };
        let sites: BTreeMap<SiteId, Shape> =
            ["north", "south"].into_iter().map(|s| (s.parse().unwrap(), shape)).collect();
        assert_eq!(doubts(&spec, &sites, 6), Vec::<String>::new());
        assert!(doubts(&spec, &sites, 5)[0].contains("12 compute threads, this machine has 5 cores"));
        assert_eq!(
            doubts(&spec, &shipped, 2),
            Vec::<String>::new(),
            "the quick start on the smallest machine it is for"
        );
        let mut other = spec.site_templates[0].clone();
        other.selector = [("coalition.training/site".to_owned(), "nroth".to_owned())].into();
        spec.site_templates.insert(0, other);
        let told = doubts(&spec, &sites, 6);
        assert!(
            told[0].contains("siteTemplates[0].selector (coalition.training/site: nroth) matches no site"),
            "{told:?}"
        );
    }
}
