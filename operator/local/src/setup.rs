//! Everything a local run needs before anything starts: the resolved run, its pretended sites, its data set, the trainer
//! program, and the folder it lives in. All checks come before the first write.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coalition_crds::names::{SITE_LABEL, pretended_sites};
use coalition_data::index::TokenizerRef;
use coalition_data::{Dataset, Samples, Verify};
use coalition_outer::VectorLayout;
use coalition_protocol::{Digest, RunId, SiteId};
use coalition_spec::RunSpec;
use coalition_spec::data::Tokenizer;
use serde::{Deserialize, Serialize};

use crate::LocalError;
use crate::durable::{self, Mode};
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
    /// Switches for tests, written into the workers' configuration; null for none.
    pub test: serde_json::Value,
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
}

/// Checks everything, then makes the folder.
pub fn prepare(options: &RunOptions) -> Result<Setup, LocalError> {
    let layout = Layout::new(&options.dir).map_err(|e| LocalError::read(&options.dir, &e))?;
    let stored = durable::read_json::<Stored>(&layout.resolved())?;
    let path = options.manifest.clone().unwrap_or_else(|| layout.manifest());
    if options.manifest.is_none() && stored.is_none() {
        return Err(LocalError::Input {
            path: layout.dir().to_owned(),
            what: "it holds no run: start one with `kubectl coalition local RUN.yaml --dir DIR`".to_owned(),
        });
    }
    let text = manifest::text(&path)?;
    let resolved = manifest::one(&path, &text)?;
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
    let sites = sites(&path, &spec)?;
    let base = path.parent().unwrap_or(Path::new("."));
    let data = data_folder(options, stored.as_ref().map(|s| s.data.as_path()), base, &spec.data.dataset)?;
    let samples = read_data(&data, &spec)?;
    let elements = VectorLayout::new(spec.model.config.parameters().into_iter().map(|p| (p.name, p.shape)))
        .map_err(|e| LocalError::Bug(e.to_string()))?
        .elements() as u64;
    let trainer = trainer(options.trainer.as_deref())?;

    durable::folder(layout.dir())?;
    if stored.is_none() || options.manifest.is_some() {
        durable::replace(&layout.manifest(), text.as_bytes(), Mode::Plain)?;
    }
    let stored = Stored { run: run.clone(), identity, data: data.clone(), spec: spec.clone() };
    durable::replace_json(&layout.resolved(), &stored, Mode::Plain)?;
    Ok(Setup {
        layout,
        run,
        spec,
        data,
        data_digest: samples.dataset().index().digest,
        samples_per_pass: samples.per_pass(),
        elements,
        sites,
        trainer,
        test: options.test.clone(),
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
fn sites(path: &Path, spec: &RunSpec) -> Result<BTreeMap<SiteId, Shape>, LocalError> {
    let refused = |what: String| LocalError::Manifest { path: path.to_owned(), problems: format!("  {what}") };
    let matching: Vec<String> = pretended_sites(PRETENDED)
        .into_iter()
        .filter(|n| coalition_spec::run::matches(&spec.sites.selector, &labels(n)))
        .take(spec.sites.max as usize)
        .collect();
    if (matching.len() as u32) < spec.sites.min.max(1) {
        return Err(refused(format!(
            "spec.sites: {} pretended sites match the selector, spec.sites.min is {}: each pretended site has one label, \
             {SITE_LABEL}: NAME, and the names are {}, … Drop the selector or lower min.",
            matching.len(),
            spec.sites.min,
            pretended_sites(4).join(", ")
        )));
    }
    matching
        .into_iter()
        .map(|name| {
            let shape = spec.shape_for(&labels(&name)).ok_or_else(|| {
                refused(format!(
                    "spec.siteTemplates: no selector matches site {name} (label {SITE_LABEL}: {name}). Add a template \
                     without a selector as the last one."
                ))
            })?;
            let site = name.parse().map_err(|e: coalition_protocol::ids::BadName| LocalError::Bug(e.to_string()))?;
            Ok((site, Shape { workers: shape.workers, threads: shape.cpu_threads }))
        })
        .collect()
}

/// Where the data set lies: as given with `--data`, below `COALITION_DATA`, where it lay before, or next to the manifest.
fn data_folder(options: &RunOptions, before: Option<&Path>, base: &Path, name: &str) -> Result<PathBuf, LocalError> {
    let holds = |p: &Path| p.join(coalition_data::index::FILE).is_file();
    let absolute = |p: &Path| std::path::absolute(p).map_err(|e| LocalError::read(p, &e));
    if let Some(dir) = options.data.get(name) {
        return absolute(dir);
    }
    let mut tried = Vec::new();
    if let Some(all) = std::env::var_os("COALITION_DATA").filter(|v| !v.is_empty()).map(PathBuf::from) {
        tried.extend([all.join(name), all]);
    }
    tried.extend(before.map(Path::to_owned));
    tried.push(base.join(name));
    match tried.iter().find(|p| holds(p)) {
        Some(found) => absolute(found),
        None => Err(LocalError::Data {
            name: name.to_owned(),
            what: format!(
                "spec.data.mixture names it, and there is no data set in {}: make it with `coalition-trainer data prepare --out DIR \
                 FILES`, then say where it lies with `--data {name}=DIR`",
                tried
                    .iter()
                    .map(|p| absolute(p).map(|p| p.display().to_string()))
                    .collect::<Result<Vec<_>, _>>()?
                    .join(" or ")
            ),
        }),
    }
}

/// Opens the data set and checks that it fits the model.
fn read_data(folder: &Path, spec: &RunSpec) -> Result<Samples, LocalError> {
    let name = &spec.data.dataset;
    let bad = |what: String| LocalError::Data { name: name.clone(), what };
    let dataset = Dataset::open(folder, Verify::Small).map_err(|e| bad(e.to_string()))?;
    let index = dataset.index();
    let model = spec.model.config.vocab_size as u64;
    if u64::from(index.vocab_size) > model {
        return Err(bad(format!(
            "it has a vocabulary of {0} tokens, spec.model has {model}: must be at most the model's. Prepare it with a \
             smaller one, or give the model vocab_size {0}",
            index.vocab_size
        )));
    }
    let (wants_bytes, has_bytes) =
        (matches!(spec.data.tokenizer, Tokenizer::Builtin(_)), matches!(index.tokenizer, TokenizerRef::Bytes));
    if wants_bytes != has_bytes {
        let kind = |bytes: bool| if bytes { "builtin: bytes" } else { "a tokenizer file" };
        return Err(bad(format!(
            "spec.data.tokenizer is {}, it was prepared with {}: prepare it again, or change the manifest",
            kind(wants_bytes),
            kind(has_bytes)
        )));
    }
    Samples::new(std::sync::Arc::new(dataset), spec.data.sequence_length, spec.training.seed)
        .map_err(|e| bad(e.to_string()))
}

/// The trainer: as given, beside this program, or on the PATH.
fn trainer(given: Option<&Path>) -> Result<PathBuf, LocalError> {
    const NAME: &str = "coalition-trainer";
    let missing = |program: &Path, what: &str| LocalError::Program {
        program: program.to_owned(),
        what: format!("{what}: build it with `cargo build -p coalition-trainer`, or name it with --trainer PATH"),
    };
    if let Some(path) = given {
        let path = std::path::absolute(path).map_err(|e| LocalError::read(path, &e))?;
        return if !path.is_file() {
            Err(missing(&path, "there is no such file"))
        } else if rustix::fs::access(&path, rustix::fs::Access::EXEC_OK).is_err() {
            Err(missing(&path, "it is not a program that this user may start"))
        } else {
            Ok(path)
        };
    }
    // Beside this program; test programs lie one folder deeper.
    let here = std::env::current_exe().ok();
    let beside = here.iter().flat_map(|p| p.ancestors().skip(1).take(2)).map(|d| d.join(NAME));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|d| d.join(NAME)).collect::<Vec<_>>();
    beside
        .chain(on_path)
        .find(|p| p.is_file())
        .ok_or_else(|| missing(Path::new(NAME), "it is neither beside this program nor on the PATH"))
}
