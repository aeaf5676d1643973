//! Messages of the protocol as parts of objects: their schemas in the form that an API server demands, and reading them back
//! whole. Must not know what a message means.
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{DeserializeOwned, Error};
use serde_json::{Map, Value, json};

/// The largest whole number that every JSON reader keeps exact (2^53): what is larger is refused, never rounded.
const EXACT: u64 = coalition_protocol::schema::EXACT;

/// The schema of a message type: integers in the formats an API server knows, each with an exact upper bound; lists that are
/// replaced whole; objects that name no fields kept as they are.
pub(crate) fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut value = generator.subschema_for::<T>().to_value();
    adapt(&mut value);
    Schema::try_from(value).unwrap_or_default()
}

/// The same for a list of at most `max` entries.
pub(crate) fn list<T: JsonSchema>(generator: &mut SchemaGenerator, max: usize) -> Schema {
    let mut value = generator.subschema_for::<Vec<T>>().to_value();
    adapt(&mut value);
    let mut schema = Schema::try_from(value).unwrap_or_default();
    schema.insert("maxItems".to_owned(), json!(max));
    schema
}

fn adapt(value: &mut Value) {
    match value {
        Value::Object(map) => {
            // Fields may be called `type` or `format` too: theirs are schemas, not words.
            if map.get("type").is_some_and(|t| !t.is_object()) {
                keyword(map);
            }
            map.values_mut().for_each(adapt);
        }
        Value::Array(items) => items.iter_mut().for_each(adapt),
        _ => {}
    }
}

/// True if a schema is of this type, or of this type or null.
fn is(map: &Map<String, Value>, word: &str) -> bool {
    match map.get("type") {
        Some(Value::String(t)) => t == word,
        Some(Value::Array(types)) => types.iter().any(|t| t == word),
        _ => false,
    }
}

fn keyword(map: &mut Map<String, Value>) {
    if is(map, "integer") {
        let max = match map.get("format").and_then(Value::as_str) {
            Some("uint32") => u64::from(u32::MAX),
            Some("int32") => i32::MAX as u64,
            _ => EXACT,
        };
        map.entry("maximum").or_insert_with(|| json!(max));
        if map.get("format").is_none_or(|f| f != "int32") {
            map.insert("format".to_owned(), json!("int64"));
            map.entry("minimum").or_insert_with(|| json!(0));
        } else {
            map.entry("minimum").or_insert_with(|| json!(i32::MIN));
        }
    }
    // Programs write every field: one that the server fills in would differ from what was written.
    map.remove("default");
    if is(map, "array") {
        map.insert("x-kubernetes-list-type".to_owned(), json!("atomic"));
    }
    if is(map, "object") && map.get("additionalProperties") == Some(&Value::Bool(true)) {
        map.remove("additionalProperties");
        map.insert("x-kubernetes-preserve-unknown-fields".to_owned(), Value::Bool(true));
    }
}

/// Takes the field `key` out of an object and reads it; an absent one reads as null.
pub(crate) fn take<T: DeserializeOwned, E: Error>(map: &mut Map<String, Value>, key: &str) -> Result<T, E> {
    serde_json::from_value(map.remove(key).unwrap_or_default()).map_err(|e| E::custom(format!("{key}: {e}")))
}

/// Reads what is left of an object as one message.
pub(crate) fn rest<T: DeserializeOwned, E: Error>(map: Map<String, Value>) -> Result<T, E> {
    serde_json::from_value(Value::Object(map)).map_err(E::custom)
}

/// Puts more fields into the schema of an object.
pub(crate) fn add(schema: &mut Schema, name: &str, description: &str, field: Schema) {
    let mut field = field.to_value();
    field["description"] = json!(description);
    let map = schema.ensure_object();
    if let Some(properties) = map.entry("properties").or_insert_with(|| json!({})).as_object_mut() {
        properties.insert(name.to_owned(), field);
    }
    if let Some(required) = map.entry("required").or_insert_with(|| json!([])).as_array_mut() {
        required.push(json!(name));
    }
}

/// Puts a rule onto a schema.
pub(crate) fn validate(schema: &mut Schema, rule: kube::core::Rule) {
    // A rule is plain data: it always has a JSON form.
    if let Ok(rule) = serde_json::to_value(rule)
        && let Some(rules) =
            schema.ensure_object().entry("x-kubernetes-validations").or_insert_with(|| json!([])).as_array_mut()
    {
        rules.push(rule);
    }
}
