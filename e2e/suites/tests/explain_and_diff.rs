//! What people and tools see of our kinds through kubectl: every field explains itself, what is applied again is no change, and
//! tables have their columns.

use anyhow::{Context, Result, ensure};
use coalition_cluster::wait;
use coalition_suites::{Installed, Layout, RUNS, Run, Tiny};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

/// How long a kept checkpoint may take: every fourth round is kept, of a second or two each.
const KEPT: Duration = Duration::from_mins(1);

/// Who has no description below `at`; the API server itself explains `metadata`.
fn silent(at: &str, schema: &Value, out: &mut Vec<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{at}.{name}");
        if field["description"].as_str().is_none_or(|text| text.trim().is_empty()) && !path.ends_with(":.metadata") {
            out.push(path.clone());
        }
        for nested in [field, &field["items"], &field["additionalProperties"]] {
            silent(&path, nested, out);
        }
    }
}

#[test]
fn fields_explain_themselves_and_what_is_applied_again_is_no_change() -> Result<()> {
    let Some(at) = Installed::or_skip(Layout::one(1))? else { return Ok(()) };
    let tiny = Tiny::new("demo").endless();
    let file = at.world().folder().join("manifests.json");
    fs::write(&file, json!({"apiVersion": "v1", "kind": "List", "items": [tiny.policy(), tiny.run()]}).to_string())?;
    let file = file.display().to_string();
    at.kubectl(&["apply", "--server-side", "-f", &file])?;
    let run = Run::of(&at, "demo")?;
    run.until_round(1)?;
    let generations = || {
        let path = "jsonpath={.items[*].metadata.generation}";
        at.kubectl(&["get", "trainingruns,checkpointpolicies", "-n", RUNS, "-o", path])
    };
    let before = generations()?;
    // It ends with 1 where something would change.
    at.kubectl(&["diff", "--server-side", "-f", &file]).context("kubectl sees a difference")?;
    at.kubectl(&["apply", "--server-side", "-f", &file])?;
    ensure!(before == "1 1" && generations()? == before, "generations were {before} and are {}", generations()?);

    let all: Value = serde_json::from_str(&at.kubectl(&["get", "crds", "-o", "json"])?)?;
    let kinds: Vec<&Value> = all["items"].as_array().context("no list")?.iter().map(|crd| &crd["spec"]).collect();
    ensure!(kinds.len() == 8, "{} kinds", kinds.len());
    let (mut wrong, mut names) = (Vec::new(), Vec::new());
    wait::until("a checkpoint that is kept", KEPT, || {
        Ok((!at.kubectl(&["get", "checkpoints", "-n", RUNS, "-o", "name"])?.is_empty()).then_some(()))
    })
    .with_context(|| at.said())?;
    for kind in kinds {
        let text = |pointer: &str| kind.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (plural, short) = (text("/names/plural"), text("/names/shortNames/0"));
        let said = at.kubectl(&["explain", "--recursive", plural])?;
        ensure!(said.contains("FIELDS:") && said.contains("spec\t"), "explain {plural}: {said}");
        let schema = &kind["versions"][0]["schema"]["openAPIV3Schema"];
        let about =
            schema["description"].as_str().and_then(|text| text.get(..20)).context("a kind is not described")?;
        ensure!(said.contains(about), "explain {plural} does not say what it is: {said}");
        names.push(text("/names/singular").to_owned());
        ensure!(schema["properties"]["spec"]["properties"].is_object(), "{plural} has no fields");
        silent(&format!("{plural}:"), schema, &mut wrong);
        // By each of its names, with the columns of the kind.
        for name in [short, plural] {
            let table = at.kubectl(&["get", name, "-A", "-o", "wide"])?;
            ensure!(table.lines().count() > 1, "`kubectl get {name} -A` shows nothing:\n{table}");
            let titles: Vec<&str> = table.lines().next().unwrap_or_default().split_whitespace().collect();
            for column in kind["versions"][0]["additionalPrinterColumns"].as_array().context("no columns")? {
                let title = column["name"].as_str().unwrap_or_default().to_uppercase();
                let there = title.split(' ').all(|word| titles.contains(&word));
                ensure!(there, "`kubectl get {name} -o wide` has no column {title}:\n{table}");
            }
        }
    }
    ensure!(wrong.is_empty(), "{} fields have no description: {}", wrong.len(), wrong.join(", "));
    let category = at.kubectl(&["get", "training", "-A", "-o", "name"])?;
    let absent = names.iter().find(|kind| !category.contains(&format!("{kind}.coalition.training/")));
    ensure!(absent.is_none(), "the category shows no {absent:?}:\n{category}");
    run.check().map(drop)
}
