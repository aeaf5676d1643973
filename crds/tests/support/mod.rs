//! What the tests share: YAML as JSON, and changes at a path.
#![allow(dead_code, reason = "each test uses a part")]

pub mod history;
pub mod messages;
pub mod server;

use serde_json::Value;

/// YAML text as a JSON value.
pub fn load(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// Sets the field at a path such as `spec.siteTemplates[0].workers`; null removes it.
pub fn put(object: &mut Value, path: &str, value: Value) {
    let parts: Vec<&str> = path.split(['.', '[']).map(|p| p.trim_end_matches(']')).filter(|p| !p.is_empty()).collect();
    let (last, way) = parts.split_last().unwrap();
    let mut at = object;
    for part in way {
        at = match part.parse::<usize>() {
            Ok(i) => &mut at[i],
            Err(_) => &mut at[*part],
        };
    }
    match (last.parse::<usize>(), value) {
        (Ok(i), v) => at[i] = v,
        (Err(_), Value::Null) => {
            at.as_object_mut().unwrap().remove(*last);
        }
        (Err(_), v) => at[*last] = v,
    }
}
