//! Whether an object may be created, or may replace an older one: what the API server would say, said in process.
//!
//! The rules are evaluated by another implementation of CEL than the server's; what it cannot evaluate counts as refused.
use std::sync::OnceLock;

use kube::core::cel::{CompiledSchema, ErrorKind, Validator, apply_defaults, compile_schema};
use serde_json::Value;

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

/// Everything that speaks against creating `object`, or against replacing `old` by it.
///
/// Rules run only once types and bounds are right, as their messages would be about consequences otherwise.
pub fn check(kind: &str, object: &Value, old: Option<&Value>) -> Vec<Problem> {
    let Some(k) = kinds().iter().find(|k| k.name == kind) else {
        let all = known_kinds();
        let way_out = match schema::nearest(kind, &all) {
            Some(meant) => format!("Did you mean {meant}?"),
            None => format!("Use one of {}.", all.join(", ")),
        };
        return vec![Problem::new("kind", kind, "is not a kind that this version knows", way_out)];
    };
    let object = body(&complete(kind, object));
    let old = old.map(|o| body(&complete(kind, o)));
    let problems = schema::check(&k.schema, &object, "");
    if !problems.is_empty() {
        return problems;
    }
    let validator = Validator::new();
    let Err(errors) = validator.validate_compiled(&k.rules, &object, old.as_ref()) else { return Vec::new() };
    // What another rule refuses can stop one from being evaluated, such as an amount that no integer holds.
    let refused = errors.iter().any(|e| e.kind == ErrorKind::ValidationFailure);
    errors
        .into_iter()
        .filter(|e| !refused || e.kind == ErrorKind::ValidationFailure)
        .map(|e| {
            let value = object.pointer(&pointer(&e.field_path)).filter(|v| !v.is_object() && !v.is_array());
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

/// `spec.rules[0].action` as a JSON pointer.
fn pointer(path: &str) -> String {
    let parts = path.split(['.', '[']).filter(|p| !p.is_empty()).map(|p| p.trim_end_matches(']'));
    parts.fold(String::new(), |out, p| format!("{out}/{p}"))
}
