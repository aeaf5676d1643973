//! Everything a local run needs before anything starts: the resolved run, its pretended sites, its data set, the trainer
//! program, and the folder it lives in. Only looks; [`Setup::keep`] writes, once the caller is sure.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coalition_crds::names::{SITE_LABEL, pretended_sites};
use coalition_outer::VectorLayout;
use coalition_protocol::{Digest, RunId, SiteId};
use coalition_spec::RunSpec;
use serde::{Deserialize, Serialize};

use crate::LocalError;
use crate::doubts;
use crate::durable::{self, Mode};
use crate::faults::KillPlan;
use crate::inputs;
use crate::layout::Layout;
use crate::manifest;
use crate::site::Shape;

/// Pretended sites of one machine: the most that `spec.sites.max` may ask for.
const PRETENDED: usize = 64;

/// What the user gave.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The manifest; none to go on with the one in the folder.
    pub manifest: Option<PathBuf>,
    /// The state folder.
    pub dir: PathBuf,
    /// Folders of data sets, by name.
    pub data: BTreeMap<String, PathBuf>,
    /// The trainer; none to look for it.
    pub trainer: Option<PathBuf>,
    /// Sites to kill on the way.
    pub kills: Vec<KillPlan>,
    /// Switches for tests, written into the workers' configuration; null for none.
    pub test: serde_json::Value,
    /// By site: how long its courier waits before it fetches a contribution. For tests that need a slow link.
    pub lag: BTreeMap<SiteId, Duration>,
}

/// What stands in `resolved.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    run: RunId,
    identity: Digest,
    data: PathBuf,
    spec: RunSpec,
}

/// A local run, ready to start.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where it lives.
    pub layout: Layout,
    /// Its name.
    pub run: RunId,
    /// The run.
    pub spec: RunSpec,
    /// Folder of its data set.
    pub data: PathBuf,
    /// The folder that it lay in when the run was last at work, if that is known.
    pub data_before: Option<PathBuf>,
    /// Digest of the data set.
    pub data_digest: Digest,
    /// Samples in one pass over it.
    pub samples_per_pass: u64,
    /// Elements of the padded parameter vector (D3).
    pub elements: u64,
    /// The pretended sites and their shapes.
    pub sites: BTreeMap<SiteId, Shape>,
    /// The trainer.
    pub trainer: PathBuf,
    /// Switches for tests.
    pub test: serde_json::Value,
    /// By site: how long its courier waits before a fetch.
    pub lag: BTreeMap<SiteId, Duration>,
    /// The budget that stood in the folder, if it was another: tokens.
    pub budget_before: Option<u64>,
    /// What may not be what the user wants, in sentences.
    pub warnings: Vec<String>,
    /// The manifest's text, unless it is the one in the folder.
    manifest: Option<String>,
}

impl Setup {
    /// Writes the manifest and what it was resolved to into the folder, which must be there.
    pub fn keep(&self) -> Result<(), LocalError> {
        if let Some(text) = &self.manifest {
            durable::replace(&self.layout.manifest(), text.as_bytes(), Mode::Plain)?;
        }
        let identity = self.spec.identity().map_err(|e| LocalError::Bug(e.to_string()))?;
        let stored = Stored { run: self.run.clone(), identity, data: self.data.clone(), spec: self.spec.clone() };
        durable::replace_json(&self.layout.resolved(), &stored, Mode::Plain)
    }
}

/// Checks everything that the manifest, the arguments and the files they name can say. Writes nothing.
pub fn prepare(options: &RunOptions) -> Result<Setup, LocalError> {
    let layout = Layout::new(&options.dir).map_err(|e| LocalError::read(&options.dir, &e))?;
    inputs::state_folder(layout.dir())?;
    // What was resolved before is a note: the manifest beside it says the same, and the history what of it is fixed.
    let (stored, damage) = durable::read_or_absent::<Stored>(&layout.resolved())?;
    let path = options.manifest.clone().unwrap_or_else(|| layout.manifest());
    if options.manifest.is_none() && !path.is_file() {
        return Err(LocalError::Input {
            path: layout.dir().to_owned(),
            what: "it holds no run: start one with `kubectl-coalition local RUN.yaml --dir DIR`".to_owned(),
        });
    }
    let text = manifest::text(&path)?;
    let resolved = manifest::one(&path, &text)?;
    let left_aside = resolved.left_aside();
    let (run, spec) = (resolved.run, resolved.spec);
    let identity = spec.identity().map_err(|e| LocalError::Bug(e.to_string()))?;
    if let Some(s) = &stored {
        let differs = |what: &str| LocalError::OtherRun { dir: layout.dir().to_owned(), what: what.to_owned() };
        if s.run != run {
            return Err(differs(&format!("name ({})", s.run)));
        }
        if s.identity != identity {
            return Err(differs(&differences(&s.spec, &spec)));
        }
        if spec.training.tokens < s.spec.training.tokens {
            let (before, now) = (s.spec.training.tokens, spec.training.tokens);
            return Err(differs(&format!("spec.training.tokens ({now} here, {before} there: a budget may only rise)")));
        }
    }
    let budget_before = stored.as_ref().map(|s| s.spec.training.tokens).filter(|t| *t != spec.training.tokens);
    let sites =
        sites(&spec).map_err(|what| LocalError::Manifest { path: path.clone(), problems: format!("  {what}") })?;
    let cores = std::thread::available_parallelism().map_or(usize::MAX, std::num::NonZero::get);
    let mut warnings = doubts::doubts(&spec, &sites, cores as u64);
    warnings.extend(left_aside);
    warnings.extend(damage.map(|what| format!("{what}: it counts as absent and is written anew")));
    warnings.extend(doubts::fits(&path, &spec, &sites, doubts::of_this_machine())?);
    inputs::kills(&options.kills, &sites, &spec)?;
    inputs::data_names(options, &spec.data.dataset)?;
    let base = path.parent().unwrap_or(Path::new("."));
    let before = stored.as_ref().map(|s| s.data.as_path());
    let data = inputs::data_folder(options, before, base, &spec.data.dataset)?;
    let samples = inputs::read_data(&data, &spec)?;
    let data_before = stored.map(|s| s.data);
    let elements = VectorLayout::new(spec.model.config.parameters().into_iter().map(|p| (p.name, p.shape)))
        .map_err(|e| LocalError::Bug(e.to_string()))?
        .elements() as u64;
    let trainer = inputs::trainer(options.trainer.as_deref())?;
    Ok(Setup {
        layout,
        run,
        spec,
        data,
        data_before,
        data_digest: samples.dataset().index().digest,
        samples_per_pass: samples.per_pass(),
        elements,
        sites,
        trainer,
        test: options.test.clone(),
        lag: options.lag.clone(),
        budget_before,
        warnings,
        manifest: options.manifest.is_some().then_some(text),
    })
}

/// The fields in which two runs differ that cannot change, with both values; at most four of them. Derived numbers count.
fn differences(before: &RunSpec, now: &RunSpec) -> String {
    let [before, now] = [before, now].map(|s| serde_json::to_value(s).unwrap_or_default());
    let mut found = Vec::new();
    for section in ["model", "data", "training", "siteTemplates"] {
        collect(&format!("spec.{section}"), &before[section], &now[section], &mut found);
    }
    found.truncate(4);
    found.join(", ")
}

/// Adds each place at or below `path` where two values differ.
fn collect(path: &str, before: &serde_json::Value, now: &serde_json::Value, found: &mut Vec<String>) {
    use serde_json::Value;
    match (before, now) {
        _ if before == now || path == "spec.training.tokens" => {}
        (Value::Object(b), Value::Object(n)) if b.keys().eq(n.keys()) => {
            for (key, value) in b {
                // The manifest writes the shape of a template beside its selector.
                let deeper = if key == "shape" { path.to_owned() } else { format!("{path}.{key}") };
                collect(&deeper, value, &n[key], found);
            }
        }
        (Value::Array(b), Value::Array(n)) if b.len() == n.len() => {
            for (i, (b, n)) in b.iter().zip(n).enumerate() {
                collect(&format!("{path}[{i}]"), b, n, found);
            }
        }
        _ => found.push(format!("{path} ({now} here, {before} there)")),
    }
}

/// The labels of a pretended site.
pub fn labels(site: &str) -> BTreeMap<String, String> {
    [(SITE_LABEL.to_owned(), site.to_owned())].into()
}

/// Pretended sites: the first `sites.max` names that the selector matches, each with the shape of its template.
/// Or why there are none, in a sentence.
pub(crate) fn sites(spec: &RunSpec) -> Result<BTreeMap<SiteId, Shape>, String> {
    let matching: Vec<String> = pretended_sites(PRETENDED)
        .into_iter()
        .filter(|n| coalition_spec::run::matches(&spec.sites.selector, &labels(n)))
        .take(spec.sites.max as usize)
        .collect();
    if (matching.len() as u32) < spec.sites.min.max(1) {
        return Err(format!(
            "spec.sites: {} pretended sites match the selector, spec.sites.min is {}: each pretended site has one label, \
             {SITE_LABEL}: NAME, and the names are {}, … Drop the selector or lower min.",
            matching.len(),
            spec.sites.min,
            pretended_sites(4).join(", ")
        ));
    }
    matching
        .into_iter()
        .map(|name| {
            let shape = spec.shape_for(&labels(&name)).ok_or_else(|| {
                format!(
                    "spec.siteTemplates: no selector matches site {name} (label {SITE_LABEL}: {name}). Add a template \
                     without a selector as the last one."
                )
            })?;
            let site = name.parse().map_err(|e: coalition_protocol::ids::BadName| e.to_string())?;
            Ok((site, Shape { workers: shape.workers, threads: shape.cpu_threads }))
        })
        .collect()
}
