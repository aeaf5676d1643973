//! Reads a manifest file: one or several documents in YAML or JSON. Every problem is told with its line.
//!
//! Objects of other groups are named and left aside: the file may be applied to a cluster as it is.

mod place;
mod yaml;

use kube::core::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::names::{API_VERSION, GROUP, LABEL_PATTERN, VERSION};
use crate::{CheckpointPolicy, Problem, TrainingRun, schema, stand_in, validate};
use yaml::Document;

/// The largest file read: an object may take 64 KiB, a manifest some of them.
const MAX_BYTES: usize = 1 << 20;
/// Kinds that programs write, and which.
const WRITERS: [(&str, &str); 5] = [
    ("Checkpoint", "the hub"),
    ("RunHistory", "the hub"),
    ("SiteRun", "the hub"),
    ("SiteReport", "a site"),
    ("Gang", "a site"),
];
/// What to do about metadata that no server would read either.
const METADATA: &str = "Write metadata as for any Kubernetes object.";

/// What a manifest holds, defaults filled in.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Runs, in the order of the file.
    pub runs: Vec<TrainingRun>,
    /// Checkpoint policies, in the order of the file.
    pub policies: Vec<CheckpointPolicy>,
    /// Objects of other groups, as `Kind/name`: not checked, not used here.
    pub others: Vec<String>,
    places: Vec<(String, Document)>,
}

impl Objects {
    /// The policy that `run` refers to, if the file has it: same namespace, that name.
    pub fn policy_of(&self, run: &TrainingRun) -> Option<&CheckpointPolicy> {
        self.policies.iter().find(|p| {
            p.metadata.namespace == run.metadata.namespace
                && p.metadata.name.as_deref() == Some(run.spec.checkpoint_policy_ref.name.as_str())
        })
    }

    /// The line on which `field` (or the nearest field around it) of an object such as `TrainingRun/quickstart` stands.
    pub fn line(&self, object: &str, field: &str) -> Option<u64> {
        self.places.iter().find(|(name, _)| name == object).and_then(|(_, d)| d.line(field))
    }

    /// Takes an object of a kind that people write, if it has its form.
    fn take(&mut self, kind: &str, value: &Value) -> Result<(), String> {
        match kind {
            "TrainingRun" => typed(value).map(|o| self.runs.push(o)),
            "CheckpointPolicy" => typed(value).map(|o| self.policies.push(o)),
            _ => Err(String::new()),
        }
    }

    /// The number or word that stands in `field` of an object, as it was written.
    pub fn written(&self, object: &str, field: &str) -> Option<String> {
        let (_, document) = self.places.iter().find(|(name, _)| name == object)?;
        match document.value.pointer(&stand_in::pointer(field, false))? {
            Value::String(word) => Some(word.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

/// A manifest with mistakes: what is wrong, and what could be read all the same.
#[derive(Clone, Debug, Default)]
pub struct Examined {
    /// Objects that have the form of their kind. Those with problems are here too, for checks that come later.
    pub objects: Objects,
    /// Everything that is wrong, ordered by line.
    pub problems: Vec<Problem>,
    /// True if there may be more: something has not the form of its kind, so that it is not among the objects, or a rule
    /// depends on what is wrong.
    pub partial: bool,
    /// Fields of objects, such as `TrainingRun/quickstart`, that hold a stand-in instead of what is wrong in the file.
    pub stand_ins: Vec<(String, Vec<String>)>,
}

/// Reads a manifest. Errors hold everything that is wrong, ordered by line.
///
/// ```
/// let policy = "apiVersion: coalition.training/v1alpha1
/// kind: CheckpointPolicy
/// metadata: {name: hourly}
/// spec:
///   interval: {seconds: 0}
/// ";
/// let problems = coalition_crds::manifest::read(policy).unwrap_err();
/// assert_eq!(
///     problems[0].to_string(),
///     "line 5: CheckpointPolicy/hourly: spec.interval.seconds: 0: must be at least 1 and at most 604800. Raise it."
/// );
/// ```
pub fn read(text: &str) -> Result<Objects, Vec<Problem>> {
    let examined = examine(text);
    if examined.problems.is_empty() { Ok(examined.objects) } else { Err(examined.problems) }
}

/// Reads a manifest as far as it can be read.
pub fn examine(text: &str) -> Examined {
    let unreadable = |problems| Examined { problems, partial: true, ..Examined::default() };
    if text.len() > MAX_BYTES {
        let bound = format!("must be at most {MAX_BYTES} bytes");
        return unreadable(vec![Problem::new("", format!("{} bytes", text.len()), bound, "Split the file.")]);
    }
    let documents = match yaml::documents(text) {
        Ok(d) => d,
        Err(problems) => return unreadable(problems),
    };
    let mut found = Examined::default();
    for document in documents {
        add(&mut found, document);
    }
    if found.problems.is_empty() && found.objects.runs.is_empty() && found.objects.policies.is_empty() {
        found.problems.push(Problem::new(
            "",
            "",
            "the file holds no TrainingRun and no CheckpointPolicy",
            format!("Begin an object with `apiVersion: {API_VERSION}` and `kind: TrainingRun`."),
        ));
    }
    found.problems.sort_by_key(|p| p.line);
    found
}

fn add(examined: &mut Examined, document: Document) {
    let Examined { objects, problems, partial, stand_ins } = examined;
    let text = |path: &str| document.value.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let kind = text("/kind");
    let name = text("/metadata/name");
    let object = format!("{}/{}", kind.as_deref().unwrap_or("?"), name.as_deref().unwrap_or("?"));
    let mut tell = |p: Problem| {
        let line = document.line(&p.field);
        problems.push(p.of(&object).at(line));
    };
    let Some(kind) = kind else {
        *partial = true;
        return tell(Problem::new("kind", "", "is missing", "Add `kind: TrainingRun` or another kind."));
    };
    match text("/apiVersion") {
        None => {
            *partial = true;
            return tell(Problem::new("apiVersion", "", "is missing", format!("Add `apiVersion: {API_VERSION}`.")));
        }
        Some(v) if v == API_VERSION => {}
        Some(v) if v.split('/').next() == Some(GROUP) && v.contains('/') => {
            *partial = true;
            return tell(Problem::new(
                "apiVersion",
                v,
                format!("this tool knows {VERSION} and no other version"),
                format!(
                    "Install the version of the tool that belongs to this manifest, or write it for {API_VERSION}."
                ),
            ));
        }
        Some(_) => return objects.others.push(object),
    }
    if let Some((_, who)) = WRITERS.iter().find(|(k, _)| *k == kind) {
        let told = format!("is written by {who}, not by people");
        return tell(Problem::new("kind", kind, told, "Remove this object."));
    }
    if kind == "Site" {
        // It is about a coalition, not about a run: a manifest may hold it beside one.
        let mut found = metadata(&document.value);
        found.extend(validate::check(&kind, &document.value, None));
        found.into_iter().for_each(tell);
        return objects.others.push(object);
    }
    let mut found = metadata(&document.value);
    let checked = validate::look(&kind, &document.value, None);
    *partial |= checked.partial;
    found.extend(checked.problems);
    found.extend(document.twice.iter().cloned());
    if objects.places.iter().any(|(other, _)| *other == object) {
        found.push(Problem::new(
            "metadata.name",
            name.unwrap_or_default(),
            "is taken by another object of this kind in the file",
            "Rename one.",
        ));
    }
    // With its own values if they have the right types: later checks know better what to say of them. Not with numbers below
    // zero, which are told already: those checks count, and have nothing to compute with.
    let mut own = validate::complete(&kind, &document.value);
    let below_zero: Vec<Problem> = found.iter().filter(|p| is_below_zero(&own, &p.field)).cloned().collect();
    let mut stood = stand_in::fill(&kind, &mut own, &below_zero);
    let typed = objects.take(&kind, &own).or_else(|e| {
        stood = checked.stand_ins;
        if stood.is_empty() { Err(e) } else { objects.take(&kind, &checked.stood) }
    });
    if let Err(e) = typed {
        *partial = true;
        if found.is_empty() {
            // The schema was made from the type, so this is about metadata alone.
            found.push(Problem::new("metadata", "", e, METADATA));
        }
    }
    found.into_iter().for_each(&mut tell);
    stand_ins.push((object.clone(), stood));
    objects.places.push((object, document));
}

/// Whether a whole number below zero stands in a field.
fn is_below_zero(object: &Value, field: &str) -> bool {
    object.pointer(&stand_in::pointer(field, false)).and_then(Value::as_i64).is_some_and(|n| n < 0)
}

fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    serde_json::from_value(value.clone()).map_err(|e| e.to_string())
}

/// Name and namespace: names of other things are made of them.
fn metadata(object: &Value) -> Vec<Problem> {
    let mut out = Vec::new();
    let label = |path: &str| -> Option<Value> { object.pointer(path).filter(|v| !v.is_null()).cloned() };
    let form = serde_json::json!({"type": "string", "minLength": 1, "maxLength": 63, "pattern": LABEL_PATTERN});
    match label("/metadata/name") {
        Some(name) => out.extend(schema::check(&form, &name, "metadata.name")),
        None => out.push(Problem::new("metadata.name", "", "is missing", "Name the object, such as quickstart.")),
    }
    if let Some(namespace) = label("/metadata/namespace") {
        out.extend(schema::check(&form, &namespace, "metadata.namespace"));
    }
    if let Some(Err(e)) = object.get("metadata").map(|m| serde_json::from_value::<ObjectMeta>(m.clone()))
        && out.is_empty()
    {
        out.push(Problem::new("metadata", "", e.to_string(), METADATA));
    }
    out
}
