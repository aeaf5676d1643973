//! The definitions that a cluster is given, made from the types. `yaml/` holds them as generated, `charts/coalition-crds` as
//! templates; a test and `crdgen --check` keep them equal.
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::CustomResourceExt as _;
use serde_json::{Value, json};

use crate::{Checkpoint, CheckpointPolicy, Gang, RunHistory, Site, SiteReport, SiteRun, TrainingRun};

/// Every definition as JSON, by the name of its file without `.yaml`.
pub fn all() -> Result<Vec<(String, Value)>, serde_json::Error> {
    [
        TrainingRun::crd(),
        CheckpointPolicy::crd(),
        Checkpoint::crd(),
        RunHistory::crd(),
        Site::crd(),
        SiteRun::crd(),
        SiteReport::crd(),
        Gang::crd(),
    ]
    .into_iter()
    .map(|crd| Ok((crd.spec.names.plural.clone(), definition(&crd)?)))
    .collect()
}

fn definition(crd: &CustomResourceDefinition) -> Result<Value, serde_json::Error> {
    let mut v = serde_json::to_value(crd)?;
    tidy(&mut v);
    Ok(v)
}

/// Makes the schema say what we mean: a null counts as absent (so that a default fills it in), numbers that bound
/// integers are written as integers, and a description is one line, as `kubectl explain` shows it.
fn tidy(v: &mut Value) {
    match v {
        Value::Object(map) => {
            map.remove("nullable");
            for key in ["minimum", "maximum"] {
                if let Some(n) = map.get(key).and_then(Value::as_f64)
                    && n.fract() == 0.0
                    && n.abs() <= 9_007_199_254_740_992.0
                {
                    map.insert(key.to_owned(), Value::from(n as i64));
                }
            }
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// A definition as YAML text, the way it stands in `yaml/`.
pub fn yaml(crd: &Value) -> Result<String, serde_saphyr::ser::Error> {
    Ok(format!(
        "# Generated from the types in crds/src by `cargo xtask crds`; edit those.\n{}",
        serde_saphyr::to_string(crd)?
    ))
}

/// A definition as a template of the chart `coalition-crds`. Helm keeps it when the release is removed: with a definition
/// would go every object of its kind.
pub fn template(crd: &Value) -> Result<String, serde_saphyr::ser::Error> {
    let mut crd = crd.clone();
    if let Some(metadata) = crd.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("annotations".to_owned(), json!({"helm.sh/resource-policy": "keep"}));
        metadata.insert("labels".to_owned(), json!({"app.kubernetes.io/part-of": "coalition"}));
    }
    // What opens an action in a template is text here.
    yaml(&crd).map(|text| text.replace("{{", "{{ \"{{\" }}"))
}
