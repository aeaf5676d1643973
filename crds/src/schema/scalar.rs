//! Bounds of strings and numbers.
use serde_json::Value;

use crate::Problem;

/// A value as a person wrote it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "a mapping".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => other.to_string(),
    }
}

/// The allowed words, if there are only some.
pub(super) fn choices(schema: &Value) -> Option<String> {
    let words: Vec<&str> = schema.get("enum")?.as_array()?.iter().filter_map(Value::as_str).collect();
    Some(words.join(", "))
}

pub(super) fn string(schema: &Value, text: &str, path: &str, out: &mut Vec<Problem>) {
    let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
    let len = text.chars().count() as u64;
    let value = Value::from(text);
    if let Some(words) = schema.get("enum").and_then(Value::as_array)
        && !words.contains(&value)
    {
        let list = choices(schema).unwrap_or_default();
        out.push(Problem::new(path, value, "is not a value that this version knows", format!("Use {list}.")));
        return;
    }
    if let Some(min) = bound("minLength").filter(|m| len < *m) {
        out.push(Problem::new(path, &value, format!("must have at least {min} characters"), "Write more."));
    } else if let Some(max) = bound("maxLength").filter(|m| len > *m) {
        let bound = format!("has {len} characters and must have at most {max}");
        out.push(Problem::new(path, &value, bound, "Shorten it."));
    } else if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
        && !matches(pattern, text)
    {
        out.push(Problem::new(path, &value, format!("must {}", meaning(pattern)), example(pattern)));
    }
}

/// A pattern that cannot be compiled matches nothing; a test compiles all that the schemas contain.
fn matches(pattern: &str, text: &str) -> bool {
    regex::Regex::new(pattern).is_ok_and(|r| r.is_match(text))
}

fn meaning(pattern: &str) -> String {
    match pattern {
        crate::names::LABEL_PATTERN => {
            "consist of lowercase letters, digits and '-', beginning and ending with a letter or digit".to_owned()
        }
        crate::names::DIGEST_PATTERN => "be 64 lowercase hexadecimal characters".to_owned(),
        "^[0-9]+[kMGT]?$" => {
            "be a whole number of tokens, with one of the suffixes k, M, G, T (powers of 1000)".to_owned()
        }
        "^auto$" => "be auto or a number of seconds without quotes".to_owned(),
        coalition_protocol::messages::bounds::ADDRESS => {
            "be an address such as https://HOST:PORT or s3://BUCKET/PREFIX, without a user's name, password or query"
                .to_owned()
        }
        crate::training_run::IMAGE_PATTERN => "name an image: registry, path, then a tag or a digest".to_owned(),
        crate::amounts::QUANTITY_PATTERN => "be a quantity as Kubernetes writes cores and bytes".to_owned(),
        other => format!("match {other}"),
    }
}

fn example(pattern: &str) -> &'static str {
    match pattern {
        crate::names::LABEL_PATTERN => "Use a name such as rust-sources.",
        "^[0-9]+[kMGT]?$" => "Write for example 8192, 400k, 4M or 300G.",
        "^auto$" => "Use auto, or for example 20.",
        crate::training_run::IMAGE_PATTERN => "Write for example registry.example.org/trainer:1.2.",
        crate::amounts::QUANTITY_PATTERN => "Write for example 2, 500m or 64Gi.",
        _ => "Correct it.",
    }
}

/// A whole number, written as one.
fn whole(value: &Value) -> Option<i128> {
    value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))
}

pub(super) fn number(schema: &Value, value: &Value, path: &str, out: &mut Vec<Problem>) {
    let Some(x) = value.as_f64() else { return };
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    let strict = |key: &str| schema.get(key).and_then(Value::as_bool) == Some(true);
    let (min, max) = (bound("minimum"), bound("maximum"));
    let (above, below) = (strict("exclusiveMinimum"), strict("exclusiveMaximum"));
    let (low, high) = match whole(value) {
        // As numbers of 64 bits: beyond 2^53 two of them may be one double.
        Some(n) => (
            schema.get("minimum").and_then(whole).is_some_and(|m| n < m || (above && n == m)),
            schema.get("maximum").and_then(whole).is_some_and(|m| n > m || (below && n == m)),
        ),
        None => (false, false),
    };
    let low = low || min.is_some_and(|m| x < m || (above && x == m));
    let high = high || max.is_some_and(|m| x > m || (below && x == m));
    if low || high {
        let from = min.map(|m| format!("{} {m}", if above { "above" } else { "at least" }));
        let to = max.map(|m| format!("{} {m}", if below { "below" } else { "at most" }));
        let both: Vec<String> = from.into_iter().chain(to).collect();
        let way_out = if low { "Raise it." } else { "Lower it." };
        out.push(Problem::new(path, shown(value), format!("must be {}", both.join(" and ")), way_out));
    }
}

pub(super) fn int_or_string(schema: &Value, value: &Value, path: &str, out: &mut Vec<Problem>) {
    match value {
        Value::String(text) => string(schema, text, path, out),
        Value::Number(n) if n.is_i64() || n.is_u64() => number(schema, value, path, out),
        _ => {
            let pattern = schema.get("pattern").and_then(Value::as_str).unwrap_or_default();
            out.push(Problem::new(path, shown(value), format!("must {}", meaning(pattern)), example(pattern)));
        }
    }
}
