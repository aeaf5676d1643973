//! Whether an object may be created, or may replace an older one: what the API server would say, said in process.
//!
//! The rules are evaluated by another implementation of CEL than the server's; what it cannot evaluate counts as refused.
use std::sync::OnceLock;

use kube::core::cel::{CompiledSchema, ErrorKind, Validator, apply_defaults, compile_schema};
use serde_json::Value;

use crate::stand_in::{self, Concern, pointer};
use crate::{Problem, generate, schema};

/// One kind's schema, and its rules ready to run.
struct Kind {
    name: String,
    schema: Value,
    rules: CompiledSchema,
}

fn kinds() -> &'static [Kind] {
    static KINDS: OnceLock<Vec<Kind>> = OnceLock::new();
    KINDS.get_or_init(|| {
        // A definition that is not JSON cannot be generated either; the golden test would fail first.
        let all = generate::all().unwrap_or_default();
        all.iter()
            .filter_map(|(_, crd)| {
                let name = crd.pointer("/spec/names/kind")?.as_str()?.to_owned();
                let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema")?.clone();
                let rules = compile_schema(&schema);
                Some(Kind { name, schema, rules })
            })
            .collect()
    })
}

/// The kinds this version knows.
pub fn known_kinds() -> Vec<&'static str> {
    kinds().iter().map(|k| k.name.as_str()).collect()
}

/// The object as a server would store it: nulls dropped, defaults filled in. Unknown kinds come back unchanged.
pub fn complete(kind: &str, object: &Value) -> Value {
    let mut object = object.clone();
    let Some(k) = kinds().iter().find(|k| k.name == kind) else { return object };
    schema::drop_nulls(&mut object);
    apply_defaults(&k.schema, &object)
}

/// What was found in an object, and how far the look could go.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Everything that is wrong, as far as it could be told.
    pub problems: Vec<Problem>,
    /// The object with defaults, and with stand-ins for fields whose type or bound is wrong.
    pub stood: Value,
    /// Those fields.
    pub stand_ins: Vec<String>,
    /// True if a rule spoke of such a field, so that it must be asked again once that is mended.
    pub partial: bool,
}

/// Everything that speaks against creating `object`, or against replacing `old` by it.
pub fn check(kind: &str, object: &Value, old: Option<&Value>) -> Vec<Problem> {
    look(kind, object, old).problems
}

/// The same, with what later checks need.
///
/// Rules run with stand-ins for what has not the right type or bound: their messages would be about consequences otherwise.
pub fn look(kind: &str, object: &Value, old: Option<&Value>) -> Checked {
    let Some(k) = kinds().iter().find(|k| k.name == kind) else {
        let all = known_kinds();
        let way_out = match schema::nearest(kind, &all) {
            Some(meant) => format!("Did you mean {meant}?"),
            None => format!("Use one of {}.", all.join(", ")),
        };
        let problems = vec![Problem::new("kind", kind, "is not a kind that this version knows", way_out)];
        return Checked { problems, stood: object.clone(), ..Checked::default() };
    };
    let mut stood = complete(kind, object);
    let mut problems = schema::check(&k.schema, &body(&stood), "");
    let stand_ins = stand_in::fill(kind, &mut stood, &problems);
    let object = body(&stood);
    let old = old.map(|o| body(&complete(kind, o)));
    let mut partial = false;
    for p in broken_rules(k, &object, old.as_ref(), problems.is_empty()) {
        match stand_in::concern(&stand_ins, &p.field, &p.bound) {
            Concern::None => problems.push(p),
            Concern::Same => {}
            Concern::Mentions => partial = true,
        }
    }
    Checked { problems, stood, stand_ins, partial }
}

/// What the rules say of an object that has the right form. `whole` says that nothing stands in for anything.
fn broken_rules(k: &Kind, object: &Value, old: Option<&Value>, whole: bool) -> Vec<Problem> {
    let validator = Validator::new();
    let Err(errors) = validator.validate_compiled(&k.rules, object, old) else { return Vec::new() };
    // What another rule refuses can stop one from being evaluated, such as an amount that no integer holds.
    let refused = !whole || errors.iter().any(|e| e.kind == ErrorKind::ValidationFailure);
    errors
        .into_iter()
        .filter(|e| !refused || e.kind == ErrorKind::ValidationFailure)
        .map(|e| {
            let value = object.pointer(&pointer(&e.field_path, false)).filter(|v| !v.is_object() && !v.is_array());
            let plain = value.map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).unwrap_or_default();
            let value = value.map(ToString::to_string).unwrap_or_default();
            match e.kind {
                ErrorKind::ValidationFailure => {
                    // A problem shows its value beside the message.
                    let message = e.message.strip_prefix(&format!("is {plain}: ")).unwrap_or(&e.message);
                    Problem::from_rule(e.field_path, value, message)
                }
                _ => Problem::new(
                    e.field_path,
                    value,
                    format!("the rule {} cannot be evaluated: {}", e.rule, e.message),
                    "Report this together with the manifest.",
                ),
            }
        })
        .collect()
}

/// The parts that a schema describes; names and labels are the server's own matter.
fn body(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        for key in ["apiVersion", "kind", "metadata"] {
            map.remove(key);
        }
    }
    object
}
