//! Values that are refused, each with what is said: the table is `refused.yaml`.

use anyhow::{Context, Result};
use coalition_charts::{Helm, NAMESPACE, values};
use serde::Deserialize;
use serde_json::Value;
use std::fs;
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What is wrong.
    name: String,
    /// Over those of `ci/default-values.yaml`.
    values: Value,
    /// The release's, if another than that of all others.
    #[serde(default)]
    namespace: Option<String>,
    /// Each must be in what Helm says; none if it must take the values.
    #[serde(default)]
    want: Vec<String>,
}

#[test]
fn bad_values_are_refused_with_their_place_and_the_way_out() -> Result<()> {
    let Some(helm) = Helm::find_or_skip() else { return Ok(()) };
    let table = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/refused.yaml"))?;
    let cases: Vec<Case> = serde_saphyr::from_str(&table).context("tests/refused.yaml")?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("values.json");
    let mut wrong = Vec::new();
    for case in &cases {
        fs::write(&file, case.values.to_string())?;
        let said =
            helm.template("coalition", case.namespace.as_deref().unwrap_or(NAMESPACE), &[&values("default"), &file])?;
        if said.good != case.want.is_empty() {
            wrong.push(format!("{}: {}", case.name, if said.good { "is taken" } else { &said.err }));
            continue;
        }
        for want in case.want.iter().filter(|want| !said.err.contains(want.as_str())) {
            wrong.push(format!("{}: nobody said {want:?}, but: {}", case.name, said.err));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    Ok(())
}
