//! The generated schemas keep the conventions of Kubernetes APIs, and some of our own: a lint over every field.
#![allow(clippy::unwrap_used, clippy::panic)]
use coalition_crds::generate;
use serde_json::{Map, Value};

/// Hyperparameters: the listed exception to "no floating-point fields". People paste them from papers.
const NUMBERS: [&str; 14] = [
    "spec.model.config.rms_norm_eps",
    "spec.model.config.norm_eps",
    "spec.model.config.rope_theta",
    "spec.model.config.partial_rotary_factor",
    "spec.model.config.initializer_range",
    "spec.training.optimizer.lr",
    "spec.training.optimizer.betas[]",
    "spec.training.optimizer.eps",
    "spec.training.optimizer.weightDecay",
    "spec.training.optimizer.clip",
    "spec.training.schedule.decayShare",
    "spec.training.outer.optimizer.lr",
    "spec.training.outer.optimizer.momentum",
    "",
];
/// Keys of a foreign format, kept as they are.
const FOREIGN: &str = "spec.model.config.";
/// Objects whose fields the schema does not name, and who checks them instead.
const OPEN: [&str; 4] = [
    // Foreign keys: the planner.
    "spec.model.config",
    // The resolved run: the site, which refuses what it does not know (decision record 0014).
    "spec.spec",
    "spec.siteRun.spec",
    // A signed record: whoever verifies its signature.
    "spec.run.records[].record",
];
/// Words of a field's name that mean a secret. What only names an object that holds one says so: it ends with Name.
const SECRET: [&str; 7] = ["token", "secret", "password", "credential", "credentials", "bearer", "private"];
/// A client-side apply keeps the whole object in an annotation of at most 256 KiB; a definition stays far below.
const DEFINITION_BYTES: usize = 96 * 1024;

fn problems(path: &str, s: &Map<String, Value>, out: &mut Vec<String>) {
    let mut tell = |what: &str| out.push(format!("{path}: {what}"));
    let kind = s.get("type").and_then(Value::as_str).unwrap_or("");
    let either = s.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true));
    let has = |key: &str| s.contains_key(key);
    let open = has("x-kubernetes-preserve-unknown-fields");

    if !path.is_empty() && !path.ends_with("[]") && !path.ends_with("{}") {
        describe(path, s, &mut tell);
    }
    if let Some(format) = s.get("format").and_then(Value::as_str)
        && !["int32", "int64", "double", "date-time"].contains(&format)
    {
        tell(&format!("format {format} is not one that an API server knows"));
    }
    match kind {
        "string" if !has("maxLength") && !has("enum") && !has("format") => tell("a string without a bound"),
        "array" if !has("maxItems") => tell("a list without a bound"),
        "array" if !has("x-kubernetes-list-type") => tell("a list without a type"),
        "object" if has("additionalProperties") && !has("maxProperties") => tell("a map without a bound"),
        "object" if !has("properties") && !has("additionalProperties") && !open => tell("an object without fields"),
        "object" if open && !OPEN.contains(&path) => tell("an open object"),
        "number" if !NUMBERS.contains(&path) => tell("a floating-point field that is not listed"),
        "integer" if !has("minimum") && path != "status.observedGeneration" => tell("an integer without a lower bound"),
        "" if !either => tell("no type"),
        _ => {}
    }
    if has("nullable") {
        tell("nullable: null must count as absent");
    }
    for rule in s.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
        let message = rule.get("message").or_else(|| rule.get("messageExpression")).and_then(Value::as_str);
        match message {
            Some(m) if !m.contains("; ") => tell(&format!("the message {m:?} names no way out after \"; \"")),
            Some(m) if m.contains('\n') => tell("a message with a line break"),
            Some(_) => {}
            None => tell("a rule without a message"),
        }
    }
    for (name, inner) in s.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let camel =
            name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(|c| c.is_ascii_alphanumeric());
        if !camel && !at.starts_with(FOREIGN) {
            out.push(format!("{at}: not camelCase"));
        }
        if is_secret(name) {
            out.push(format!("{at}: a secret has no place in an object; let a Secret hold it, and name that"));
        }
        problems(&at, inner.as_object().unwrap(), out);
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(inner) = s.get(key).and_then(Value::as_object) {
            problems(&format!("{path}{mark}"), inner, out);
        }
    }
}

/// True if a field's name, word by word, says that it holds a secret itself.
fn is_secret(name: &str) -> bool {
    let mut words: Vec<String> = Vec::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() || words.is_empty() {
            words.push(String::new());
        }
        words.last_mut().unwrap().push(c.to_ascii_lowercase());
    }
    words.last().unwrap() != "name" && words.iter().any(|w| SECRET.contains(&w.as_str()))
}

/// A description begins with what the field does, ends as a sentence and fits a line of `kubectl explain`.
fn describe(path: &str, s: &Map<String, Value>, tell: &mut impl FnMut(&str)) {
    let Some(text) = s.get("description").and_then(Value::as_str) else { return tell("no description") };
    let first = text.split_whitespace().next().unwrap_or("");
    let verb = first.ends_with('s') && first.starts_with(|c: char| c.is_ascii_uppercase());
    if !verb {
        tell(&format!("{first:?} does not say what the field does"));
    }
    if !text.ends_with('.') || text.contains('\n') || text.len() > 180 {
        tell("a description that is not one line and a sentence of at most 180 bytes");
    }
    let default = s.get("default").filter(|d| !d.is_object() || d.as_object().is_some_and(|m| m.len() == 1));
    if default.is_some() && path.starts_with("spec.") && !text.contains("Default: ") && !path.ends_with("matchLabels") {
        tell("a default that the description does not tell");
    }
}

#[test]
fn every_field_keeps_the_conventions() {
    let mut out = Vec::new();
    let mut fields = 0;
    for (name, crd) in generate::all().unwrap() {
        let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap().as_object().unwrap();
        let mut found = Vec::new();
        problems("", schema, &mut found);
        out.extend(found.into_iter().map(|p| format!("{name}: {p}")));
        fields += serde_json::to_string(schema).unwrap().matches("\"description\"").count();
    }
    assert!(fields > 100, "only {fields} fields were seen");
    assert!(out.is_empty(), "{}", out.join("\n"));
}

#[test]
fn names_columns_and_sizes() {
    for (name, crd) in generate::all().unwrap() {
        let names = &crd["spec"]["names"];
        let short = names["shortNames"][0].as_str().unwrap();
        assert!((1..=5).contains(&short.len()), "{name}: short name {short}");
        assert_eq!(names["categories"], serde_json::json!(["training"]), "{name}");
        let scope = if name == "sites" { "Cluster" } else { "Namespaced" };
        assert_eq!(crd["spec"]["scope"], scope, "{name}");
        let columns = crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap();
        assert_eq!(columns.iter().filter(|c| c["name"] == "Age").count(), 1, "{name}: no Age column");
        let text = generate::yaml(&crd).unwrap();
        assert!(text.len() < DEFINITION_BYTES, "{name}: {} bytes", text.len());
    }
}

/// The lint itself can fail: a schema that breaks each convention is told.
#[test]
fn the_lint_sees_what_it_is_for() {
    let bad = serde_json::json!({"type": "object", "properties": {
        "Name": {"type": "string"},
        "count": {"type": "integer", "format": "uint32", "description": "Counts."},
        "list": {"type": "array", "description": "the list", "items": {"type": "string", "maxLength": 3}},
        "map": {"type": "object", "description": "Maps.", "additionalProperties": {"type": "number"}},
        "apiToken": {"type": "string", "maxLength": 3, "description": "Holds."},
        "tokenSecretName": {"type": "string", "maxLength": 3, "description": "Names."},
        "rule": {"type": "boolean", "nullable": true, "description": "Says.",
                 "x-kubernetes-validations": [{"rule": "self", "message": "must be true"}]},
    }});
    let mut out = Vec::new();
    problems("", bad.as_object().unwrap(), &mut out);
    for want in [
        "Name: no description",
        "Name: a string without a bound",
        "Name: not camelCase",
        "count: format uint32",
        "count: an integer without a lower bound",
        "list: a list without a bound",
        "list: \"the\" does not say",
        "map: a map without a bound",
        "map{}: a floating-point field",
        "rule: nullable",
        "names no way out",
        "apiToken: a secret has no place",
    ] {
        assert!(out.iter().any(|p| p.contains(want)), "{want:?} is not in {out:#?}");
    }
    assert!(!out.iter().any(|p| p.starts_with("tokenSecretName: a secret")), "{out:#?}");
}
