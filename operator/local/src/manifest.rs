//! From a manifest file to a resolved run, with every problem in one form: line, object, field, value, bound, way out.
use std::path::Path;

use coalition_crds::{Problem, TrainingRun, manifest};
use coalition_planner::resolve::resolve;
use coalition_protocol::RunId;
use coalition_spec::RunSpec;

use crate::LocalError;

/// Longest manifest read; what is longer is refused by `coalition_crds::manifest` with a message.
const MAX_BYTES: u64 = 2 << 20;

/// A run read from a manifest.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Its name.
    pub run: RunId,
    /// The run.
    pub spec: RunSpec,
    /// What stands beside it in the file, as `Kind/name`.
    pub others: Vec<String>,
}

/// Reads the file, shortened if it is far too long.
pub fn text(path: &Path) -> Result<String, LocalError> {
    use std::io::Read;
    let unreadable = |e: std::io::Error| LocalError::Input {
        path: path.to_owned(),
        what: format!("{e}: name a manifest, such as crds/examples/quickstart.yaml"),
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|e| LocalError::Input {
        path: path.to_owned(),
        what: format!("it is not UTF-8 text (byte {}): name a YAML or JSON manifest", e.utf8_error().valid_up_to()),
    })
}

/// Everything that is wrong with a manifest, or the runs in it.
pub fn check(text: &str) -> Result<Vec<Resolved>, Vec<Problem>> {
    let objects = manifest::read(text)?;
    let mut problems = Vec::new();
    let mut runs = Vec::new();
    for run in &objects.runs {
        let object = format!("TrainingRun/{}", run.metadata.name.as_deref().unwrap_or("?"));
        let place = |p: coalition_spec::Problem| {
            let line = objects.line(&object, &p.field);
            Problem { field: p.field, value: p.value, bound: p.bound, way_out: p.way_out, ..Problem::default() }
                .of(&object)
                .at(line)
        };
        match (name(run), resolve(run, objects.policy_of(run))) {
            (Ok(run), Ok(spec)) => runs.push(Resolved { run, spec, others: objects.others.clone() }),
            (named, spec) => {
                problems.extend(named.err().map(|p| p.of(&object)));
                problems.extend(spec.err().into_iter().flatten().map(place));
            }
        }
    }
    problems.sort_by_key(|p| p.line);
    if problems.is_empty() { Ok(runs) } else { Err(problems) }
}

fn name(run: &TrainingRun) -> Result<RunId, Box<Problem>> {
    let name = run.metadata.name.clone().unwrap_or_default();
    RunId::try_from(name.clone())
        .map_err(|e| Box::new(Problem::new("metadata.name", name, e.to_string(), "Rename the run.")))
}

/// The one run of the manifest at `path`.
pub fn one(path: &Path, text: &str) -> Result<Resolved, LocalError> {
    let refused = |problems: String| LocalError::Manifest { path: path.to_owned(), problems };
    let runs = check(text).map_err(|p| refused(p.iter().map(|p| format!("  {p}")).collect::<Vec<_>>().join("\n")))?;
    let names: Vec<String> = runs.iter().map(|r| r.run.to_string()).collect();
    let mut runs = runs.into_iter();
    match (runs.next(), runs.next()) {
        (Some(run), None) => Ok(run),
        (None, _) => Err(refused("  it has no TrainingRun: add one".to_owned())),
        (Some(_), Some(_)) => Err(refused(format!(
            "  it has {} TrainingRuns ({}): a local run takes a file with one",
            names.len(),
            names.join(", ")
        ))),
    }
}
