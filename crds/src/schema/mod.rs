//! Checks a value against a generated schema the way an API server does before it runs any rule: types, required and
//! unknown fields, bounds, patterns, unique keys. All problems are told. Must not know which kind it checks.
mod nearest;
mod scalar;

use serde_json::{Map, Value};

use crate::Problem;
pub(crate) use nearest::nearest;

/// Everything in `value` that `schema` does not allow, with paths that begin with `path`.
pub fn check(schema: &Value, value: &Value, path: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(schema, value, path, &mut problems);
    problems
}

/// Drops every field that holds null: it counts as absent, so that a default can fill it in.
pub fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// One level further down: `spec.sites`, `spec.siteTemplates[0]`.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn walk(schema: &Value, value: &Value, path: &str, out: &mut Vec<Problem>) {
    if schema.get("x-kubernetes-int-or-string").and_then(Value::as_bool) == Some(true) {
        return scalar::int_or_string(schema, value, path, out);
    }
    match (schema.get("type").and_then(Value::as_str), value) {
        (Some("object"), Value::Object(map)) => object(schema, map, path, out),
        (Some("array"), Value::Array(items)) => array(schema, items, path, out),
        (Some("string"), Value::String(text)) => scalar::string(schema, text, path, out),
        (Some("integer"), Value::Number(n)) if n.is_i64() || n.is_u64() => scalar::number(schema, value, path, out),
        (Some("number"), Value::Number(_)) => scalar::number(schema, value, path, out),
        (Some("boolean"), Value::Bool(_)) | (None, _) => {}
        (Some(expected), _) => out.push(wrong_type(schema, expected, value, path)),
    }
}

fn wrong_type(schema: &Value, expected: &str, value: &Value, path: &str) -> Problem {
    let (noun, way_out) = match expected {
        "object" => ("a mapping", "Write its fields below it, indented.".to_owned()),
        "array" => ("a list", "Write its entries below it, each with a leading '-'.".to_owned()),
        "integer" if path.to_lowercase().ends_with("seconds") => {
            ("a whole number of seconds", "Write it without quotes and unit, such as 120.".to_owned())
        }
        "integer" => ("a whole number", "Write it without quotes, fraction or exponent.".to_owned()),
        "number" => ("a finite number", "Write it without quotes, such as 3.0e-4.".to_owned()),
        "boolean" => ("true or false", "Write true or false without quotes.".to_owned()),
        _ => ("a string", scalar::choices(schema).map_or("Put it in quotes.".to_owned(), |c| format!("Use {c}."))),
    };
    Problem::new(path, scalar::shown(value), format!("must be {noun}"), way_out)
}

fn object(schema: &Value, map: &Map<String, Value>, path: &str, out: &mut Vec<Problem>) {
    let none = Map::new();
    let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let free = schema.get("x-kubernetes-preserve-unknown-fields").and_then(Value::as_bool) == Some(true);
    let others = schema.get("additionalProperties");
    for required in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if !map.contains_key(required) {
            let told = known.get(required).and_then(|s| s.get("description")).and_then(Value::as_str).unwrap_or("");
            out.push(Problem::new(join(path, required), "", "is missing", format!("Add it: it {}", lower(told))));
        }
    }
    for (key, value) in map {
        let at = join(path, key);
        match (known.get(key), others) {
            (Some(inner), _) | (None, Some(inner @ Value::Object(_))) => walk(inner, value, &at, out),
            _ if free => {}
            _ => out.push(unknown(known, key, &at)),
        }
    }
    if let Some(max) = schema.get("maxProperties").and_then(Value::as_u64)
        && map.len() as u64 > max
    {
        out.push(Problem::new(
            path,
            format!("{} entries", map.len()),
            format!("must have at most {max}"),
            "Remove some.",
        ));
    }
}

fn lower(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|c| c.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

fn unknown(known: &Map<String, Value>, key: &str, at: &str) -> Problem {
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    let way_out = match nearest(key, &names) {
        Some(name) => format!("Did you mean {name}?"),
        None if names.is_empty() => "Remove it.".to_owned(),
        None => format!("Known here: {}.", names.join(", ")),
    };
    Problem::new(at, "", "is not a field that this version knows", way_out)
}

fn array(schema: &Value, items: &[Value], path: &str, out: &mut Vec<Problem>) {
    let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
    let len = items.len() as u64;
    if let Some(min) = bound("minItems").filter(|m| len < *m) {
        out.push(Problem::new(path, format!("{len} entries"), format!("must have at least {min}"), "Add some."));
    }
    if let Some(max) = bound("maxItems").filter(|m| len > *m) {
        out.push(Problem::new(path, format!("{len} entries"), format!("must have at most {max}"), "Remove some."));
    }
    if let Some(inner) = schema.get("items") {
        for (i, item) in items.iter().enumerate() {
            walk(inner, item, &format!("{path}[{i}]"), out);
        }
    }
    unique(schema, items, path, out);
}

/// Sets hold each value once; list maps hold each key once.
fn unique(schema: &Value, items: &[Value], path: &str, out: &mut Vec<Problem>) {
    let keys: Vec<&str> = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => Vec::new(),
        Some("map") => schema
            .get("x-kubernetes-list-map-keys")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect(),
        _ => return,
    };
    let identity = |item: &Value| -> Vec<Value> {
        if keys.is_empty() { vec![item.clone()] } else { keys.iter().filter_map(|k| item.get(*k).cloned()).collect() }
    };
    let mut seen: Vec<Vec<Value>> = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let id = identity(item);
        if let Some(first) = seen.iter().position(|s| *s == id) {
            let field = keys.first().map_or_else(|| format!("{path}[{i}]"), |k| format!("{path}[{i}].{k}"));
            let value = id.first().map(scalar::shown).unwrap_or_default();
            out.push(Problem::new(
                field,
                value,
                format!("must be unique, but entry {first} has it too"),
                "Remove one.",
            ));
        }
        seen.push(id);
    }
}
