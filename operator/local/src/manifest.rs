//! From a manifest file to a resolved run, with every problem in one form: line, object, field, value, bound, way out.
use std::path::Path;

use coalition_crds::stand_in::{self, Concern};
use coalition_crds::{Problem, TrainingRun, manifest, names};
use coalition_planner::resolve::{Beside, Unresolved, resolve};
use coalition_protocol::RunId;
use coalition_spec::{RunSpec, tokens};

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
    /// What it asks of a cluster and this machine cannot do: no mistake of the manifest, so only a local run refuses it.
    pub cluster_only: Vec<Problem>,
}

impl Resolved {
    /// What of its file a local run does not read, in a sentence.
    pub fn left_aside(&self) -> Option<String> {
        (!self.others.is_empty()).then(|| format!("left aside: {}", self.others.join(", ")))
    }
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

/// What is wrong with a manifest.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Everything found, ordered by line.
    pub problems: Vec<Problem>,
    /// True if some of it hides what could not be checked yet.
    pub partial: bool,
}

/// What follows a list of problems that is not known to be whole.
pub const PARTIAL: &str = "further checks follow once this is mended";

/// Everything that is wrong with a manifest, or the runs in it. What the API would refuse and what could not be trained are
/// told together; where both speak of one field the second stands, as it knows which numbers to use instead.
pub fn check(text: &str) -> Result<Vec<Resolved>, Refused> {
    let manifest::Examined { objects, mut problems, mut partial, stand_ins } = manifest::examine(text);
    let mut runs = Vec::new();
    for run in &objects.runs {
        let object = format!("TrainingRun/{}", run.metadata.name.as_deref().unwrap_or("?"));
        let place = |p: coalition_spec::Problem| {
            let line = objects.line(&object, &p.field);
            // An amount as it was written, not as this program would: 2000, not 2k.
            let same = |written: &String| tokens::parse(written).is_ok_and(|n| tokens::parse(&p.value).ok() == Some(n));
            let value = objects.written(&object, &p.field).filter(same).unwrap_or(p.value);
            Problem { field: p.field, value, bound: p.bound, way_out: p.way_out, ..Problem::default() }
                .of(&object)
                .at(line)
        };
        let mut found: Vec<Problem> = Vec::new();
        match (name(run), resolve(run, &Beside::policy(objects.policy_of(run)))) {
            (Ok(name), Ok(spec)) => {
                let place = |p: Problem| {
                    let line = objects.line(&object, &p.field);
                    p.of(&object).at(line)
                };
                let cluster_only = cluster_only(run).into_iter().map(place).collect();
                runs.push(Resolved { run: name, spec, others: objects.others.clone(), cluster_only });
            }
            (named, spec) => {
                let unresolved = spec.err().unwrap_or(Unresolved { problems: Vec::new(), partial: false });
                partial |= unresolved.partial;
                // The API refuses the same names, and says more about them.
                let told = problems.iter().any(|t| t.object == object && t.field == "metadata.name");
                let named = named.err().filter(|_| !told);
                found.extend(named.map(|p| p.of(&object).at(objects.line(&object, "metadata.name"))));
                found.extend(unresolved.problems.into_iter().map(place));
            }
        }
        // What is said of a stand-in is no news of the manifest.
        let stood = stand_ins.iter().filter(|(o, _)| *o == object).flat_map(|(_, f)| f.clone()).collect::<Vec<_>>();
        found.retain(|p| match stand_in::concern(&stood, &p.field, &p.bound) {
            Concern::None => true,
            Concern::Same => false,
            Concern::Mentions => {
                partial = true;
                false
            }
        });
        let policy = format!("CheckpointPolicy/{}", run.spec.checkpoint_policy_ref.name);
        // What is wrong with a policy is told of it, not of every run that refers to it.
        if problems.iter().any(|t| t.object == policy) {
            found.retain(|p| !p.field.starts_with("spec.checkpointPolicy"));
        }
        problems.retain(|t| t.object != object || !found.iter().any(|p| same_field(&t.field, &p.field)));
        problems.extend(found);
    }
    problems.sort_by_key(|p| p.line);
    if problems.is_empty() { Ok(runs) } else { Err(Refused { problems, partial }) }
}

/// Whether two paths name one field, or one of them an entry of the list that the other names.
fn same_field(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let entry = |rest: &str| rest.starts_with('[') && rest.ends_with(']') && !rest.contains('.');
    long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || entry(rest))
}

fn name(run: &TrainingRun) -> Result<RunId, Box<Problem>> {
    let name = run.metadata.name.clone().unwrap_or_default();
    RunId::try_from(name.clone())
        .map_err(|e| Box::new(Problem::new("metadata.name", name, e.to_string(), "Rename the run.")))
}

/// What a run asks of a cluster and one machine does not do. Refused instead of ignored: who trusts a field must not find out
/// later that nobody read it.
fn cluster_only(run: &TrainingRun) -> Vec<Problem> {
    let spec = &run.spec;
    let mut out = Vec::new();
    let mut tell = |field: &str, value: String, bound: &str, way_out: &str| {
        out.push(Problem::new(field, value, bound, way_out));
    };
    let annotations = run.metadata.annotations.iter().flatten();
    for (_, why) in annotations.filter(|(name, _)| *name == names::STOP_ANNOTATION) {
        let way_out = "Remove it; `kubectl-coalition stop` stops a local run.";
        let field = format!("metadata.annotations.{}", names::STOP_ANNOTATION);
        tell(&field, why.clone(), "is for clusters: a local run begins to train when it is started", way_out);
    }
    if spec.suspend {
        let way_out = "Remove it; `kubectl-coalition stop` suspends a local run, and `resume` goes on.";
        tell(
            "spec.suspend",
            "true".to_owned(),
            "is for clusters: a local run begins to train when it is started",
            way_out,
        );
    }
    if let Some(seconds) = spec.ttl_seconds_after_finished {
        let way_out = "Remove it: the processes of a local run end with it, and its folder is yours to delete.";
        tell("spec.ttlSecondsAfterFinished", seconds.to_string(), "is for clusters: nothing is removed here", way_out);
    }
    if let Some(image) = &spec.trainer.image {
        let way_out = "Remove it, or give the program with --trainer.";
        tell("spec.trainer.image", image.clone(), "is for clusters: a local run starts a program, no image", way_out);
    }
    for (i, t) in spec.site_templates.iter().enumerate().filter(|(_, t)| !t.resources.is_empty()) {
        let field = format!("spec.siteTemplates[{i}].resources");
        let way_out = "Remove it for a local run; cpuThreads bounds what a worker computes with.";
        tell(
            &field,
            String::new(),
            &format!("is for clusters: {} processes here share one machine", t.workers),
            way_out,
        );
    }
    out
}

/// The one run of the manifest at `path`.
pub fn one(path: &Path, text: &str) -> Result<Resolved, LocalError> {
    let refused = |problems: String| LocalError::Manifest { path: path.to_owned(), problems };
    let runs = check(text).map_err(|r| {
        let mut lines: Vec<String> = r.problems.iter().map(|p| format!("  {p}")).collect();
        lines.extend(r.partial.then(|| format!("  {PARTIAL}")));
        refused(lines.join("\n"))
    })?;
    let names: Vec<String> = runs.iter().map(|r| r.run.to_string()).collect();
    let mut runs = runs.into_iter();
    match (runs.next(), runs.next()) {
        (Some(run), None) if run.cluster_only.is_empty() => Ok(run),
        (Some(run), None) => {
            let lines: Vec<String> = run.cluster_only.iter().map(|p| format!("  {p}")).collect();
            Err(refused(lines.join("\n")))
        }
        (None, _) => Err(refused("  it has no TrainingRun: add one".to_owned())),
        (Some(_), Some(_)) => Err(refused(format!(
            "  it has {} TrainingRuns ({}): a local run takes a file with one",
            names.len(),
            names.join(", ")
        ))),
    }
}
