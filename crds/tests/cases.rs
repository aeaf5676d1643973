//! Tables of accepted and refused objects and updates, judged in process as an API server would judge them.
//!
//! `COALITION_CASES_OUT=FILE cargo test -p coalition-crds --test cases` also writes the expanded tables as JSON, for
//! checking them against another implementation.
#![allow(clippy::unwrap_used, clippy::panic)]
mod support;

use coalition_crds::validate;
use serde_json::{Value, json};
use support::{load, put};

/// One row: the objects, and parts of the messages that must be told.
struct Case {
    name: String,
    kind: String,
    new: Value,
    old: Option<Value>,
    want: Vec<String>,
}

fn cases() -> Vec<Case> {
    let tables = [
        include_str!("cases/training_run.yaml"),
        include_str!("cases/checkpoint_policy.yaml"),
        include_str!("cases/checkpoint.yaml"),
        include_str!("cases/site.yaml"),
        include_str!("cases/site_run.yaml"),
        include_str!("cases/site_report.yaml"),
        include_str!("cases/gang.yaml"),
    ];
    let mut out = Vec::new();
    for text in tables {
        let table = load(text);
        let kind = table["kind"].as_str().unwrap().to_owned();
        for row in table["cases"].as_array().unwrap() {
            for key in row.as_object().unwrap().keys() {
                assert!(["name", "set", "from", "want"].contains(&key.as_str()), "{key} in {row}");
            }
            let changed = |key: &str| {
                let mut object = table["base"].clone();
                for (path, value) in row[key].as_object().into_iter().flatten() {
                    put(&mut object, path, value.clone());
                }
                object
            };
            out.push(Case {
                name: format!("{kind}: {}", row["name"].as_str().unwrap()),
                kind: kind.clone(),
                new: changed("set"),
                old: row.get("from").map(|_| changed("from")),
                want: row["want"].as_array().into_iter().flatten().map(|w| w.as_str().unwrap().to_owned()).collect(),
            });
        }
    }
    out.extend(support::history::cases().into_iter().map(|(name, old, new, want)| Case {
        name: format!("RunHistory: {name}"),
        kind: "RunHistory".to_owned(),
        new,
        old,
        want: want.into_iter().map(str::to_owned).collect(),
    }));
    out
}

#[test]
fn every_row_is_judged_as_the_table_says() {
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() > 150, "only {} rows were read", cases.len());
    for case in &cases {
        let found: Vec<String> =
            validate::check(&case.kind, &case.new, case.old.as_ref()).iter().map(ToString::to_string).collect();
        let told = case.want.iter().all(|w| found.iter().any(|f| f.contains(w.as_str())));
        if found.is_empty() != case.want.is_empty() || !told {
            wrong.push(format!("{}\n    want {:?}\n    got  {found:#?}", case.name, case.want));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    if let Ok(path) = std::env::var("COALITION_CASES_OUT") {
        let rows: Vec<Value> = cases
            .iter()
            .map(|c| json!({"name": c.name, "kind": c.kind, "new": c.new, "old": c.old, "want": c.want}))
            .collect();
        std::fs::write(path, serde_json::to_string(&rows).unwrap()).unwrap();
    }
}

/// Each field of a run's spec either may change or is refused with a reason: none is forgotten.
#[test]
fn every_field_is_in_the_table_of_mutable_fields() {
    let mutable = [
        "spec.sites.min",
        "spec.sites.max",
        "spec.sites.selector",
        "spec.sites.replaceAfterSeconds",
        "spec.training.tokens",
        "spec.failurePolicy",
        "spec.checkpointPolicyRef",
        "spec.activeDeadlineSeconds",
        "spec.ttlSecondsAfterFinished",
        "spec.suspend",
        "spec.trainer",
    ];
    let all = coalition_crds::generate::all().unwrap();
    let (_, run) = all.iter().find(|(name, _)| name == "trainingruns").unwrap();
    let schema = run.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap();
    let rules = |s: &Value| s["x-kubernetes-validations"].as_array().cloned().unwrap_or_default();
    let fixed = |s: &Value| rules(s).iter().any(|r| r["rule"] == "self == oldSelf");
    let spec = &schema["properties"]["spec"];
    // Of one that may be absent its owner tells, for none is a value too.
    let of_spec = rules(spec);
    let fixed_if_any = |path: &str| {
        of_spec
            .iter()
            .any(|r| r["reason"] == "FieldValueForbidden" && r["fieldPath"].as_str() == path.strip_prefix("spec"))
    };
    let spec = &spec["properties"];
    let mut pending: Vec<(String, &Value)> =
        spec.as_object().unwrap().iter().map(|(k, v)| (format!("spec.{k}"), v)).collect();
    let mut seen = 0;
    while let Some((path, s)) = pending.pop() {
        if fixed(s) || fixed_if_any(&path) || mutable.contains(&path.as_str()) {
            assert!(!(fixed(s) && mutable.contains(&path.as_str())), "{path} is both");
            seen += 1;
            continue;
        }
        let inner = s["properties"].as_object().unwrap_or_else(|| panic!("{path} is in no table"));
        pending.extend(inner.iter().map(|(k, v)| (format!("{path}.{k}"), v)));
    }
    assert_eq!(seen, mutable.len() + 11, "a field moved from one table to the other");
}
