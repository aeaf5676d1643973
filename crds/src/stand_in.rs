//! What stands in for fields that are wrong, so that the rest of an object can be checked in the same pass: the values of a
//! shipped example. What a check says of such a field, or because of it, is no news of the manifest and is left out. Must not
//! decide what is wrong.
use std::sync::OnceLock;

use serde_json::Value;

use crate::{Problem, validate};

/// A run and its policy with valid values for most fields.
const EXAMPLE: &str = include_str!("../examples/quickstart.yaml");

fn examples() -> &'static [Value] {
    static EXAMPLES: OnceLock<Vec<Value>> = OnceLock::new();
    EXAMPLES.get_or_init(|| {
        // An example that cannot be read gives nothing to stand in; a test reads it.
        let all: Vec<Value> = serde_saphyr::from_multiple(EXAMPLE).unwrap_or_default();
        let kind = |v: &Value| v["kind"].as_str().unwrap_or_default().to_owned();
        all.iter().map(|v| validate::complete(&kind(v), v)).collect()
    })
}

/// Puts a valid value in place of every field that `problems` name, or removes it. Gives those fields.
pub(crate) fn fill(kind: &str, object: &mut Value, problems: &[Problem]) -> Vec<String> {
    let example = examples().iter().find(|e| e["kind"] == kind);
    for p in problems {
        let Some((parent, key)) = p.field.rsplit_once('.') else { continue };
        let key = key.split('[').next().unwrap_or(key);
        let valid = example.and_then(|e| e.pointer(&pointer(parent, true))).and_then(|e| e.get(key)).cloned();
        let Some(Value::Object(map)) = object.pointer_mut(&pointer(parent, false)) else { continue };
        match valid {
            Some(valid) => map.insert(key.to_owned(), valid),
            None => map.remove(key),
        };
    }
    problems.iter().map(|p| p.field.clone()).collect()
}

/// What a later problem has to do with fields that something stands in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// Nothing: it is news.
    None,
    /// It is about such a field, which is told already.
    Same,
    /// It speaks of such a field: it may be about the stand-in.
    Mentions,
}

/// What a problem with `field`, told as `text`, has to do with `stood`.
pub fn concern(stood: &[String], field: &str, text: &str) -> Concern {
    let near = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    if stood.iter().any(|s| near(s, field) || near(field, s)) {
        return Concern::Same;
    }
    let last = |s: &str| s.rsplit('.').next().and_then(|w| w.split('[').next()).unwrap_or_default().to_owned();
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    if stood.iter().any(|s| words.contains(&last(s).as_str())) { Concern::Mentions } else { Concern::None }
}

/// `spec.rules[0].action` as a JSON pointer; with `first`, every entry of a list is its first.
pub(crate) fn pointer(path: &str, first: bool) -> String {
    let parts = path.split(['.', '[']).filter(|p| !p.is_empty());
    parts.fold(String::new(), |out, p| match p.strip_suffix(']') {
        Some(_) if first => format!("{out}/0"),
        Some(index) => format!("{out}/{index}"),
        None => format!("{out}/{p}"),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wrong_fields_get_the_examples_values_and_unknown_ones_go() {
        assert_eq!(examples().len(), 2);
        let mut run =
            json!({"spec": {"training": {"optimizer": {"lrate": 1}}, "siteTemplates": [{}, {"workers": "x"}]}});
        let fields =
            ["spec.training.optimizer.lr", "spec.training.optimizer.lrate", "spec.siteTemplates[1].workers", "kind"];
        let problems: Vec<Problem> = fields.iter().map(|f| Problem::new(*f, "", "", "")).collect();
        let stood = fill("TrainingRun", &mut run, &problems);
        assert_eq!(
            run,
            json!({"spec": {"training": {"optimizer": {"lr": 3.0e-3}}, "siteTemplates": [{}, {"workers": 2}]}})
        );
        for (field, text, expected) in [
            ("spec.training.optimizer.lr", "", Concern::Same),
            ("spec.training.optimizer", "", Concern::Same),
            ("spec.training.optimizer.lrs", "", Concern::None),
            ("spec.training.batchTokens", "must be a multiple of workers x 2", Concern::Mentions),
            ("spec.sites.min", "must be at most sites.max", Concern::None),
        ] {
            assert_eq!(concern(&stood, field, text), expected, "{field}: {text}");
        }
    }
}
