//! What an API server does to the JSON of a custom resource: reads it, keeps whole numbers of 64 bits as such and all others as
//! doubles, and writes it anew with sorted keys and the shortest decimals, as Go's `encoding/json` does.
use serde_json::Value;

/// `object` as it comes back, text to text.
pub fn stored(object: &Value) -> Value {
    serde_json::from_str(&text(object)).unwrap()
}

fn text(value: &Value) -> String {
    match value {
        Value::Number(n) => match n.as_i64() {
            Some(whole) => whole.to_string(),
            None => double(n.as_f64().unwrap()),
        },
        Value::Array(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(",")),
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let fields: Vec<String> =
                keys.into_iter().map(|k| format!("{}:{}", Value::from(k.as_str()), text(&map[k.as_str()]))).collect();
            format!("{{{}}}", fields.join(","))
        }
        other => other.to_string(),
    }
}

/// Decimals without exponent from 1e-6 up to 1e21, as ECMAScript writes them; `1.0` becomes `1`.
fn double(x: f64) -> String {
    if x == 0.0 || (1e-6..1e21).contains(&x.abs()) { format!("{x}") } else { format!("{x:e}") }
}
