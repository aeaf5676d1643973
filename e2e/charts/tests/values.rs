//! The table of values in the chart's README is made of `values.yaml` and of the descriptions in `values.schema.json`, and all
//! three know the same names. `COALITION_WRITE=1 cargo test -p coalition-charts --test values` writes it anew.

use anyhow::{Context, Result, ensure};
use coalition_charts::chart;
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::fs;

const BEGIN: &str = "<!-- values: made by e2e/charts/tests/values.rs -->\n";
const END: &str = "<!-- end of values -->";

/// A row for every value below `at`: its path, its default, what it means.
fn rows(
    at: &str,
    schema: &Value,
    default: &Value,
    root: &Value,
    out: &mut Vec<(String, String, String)>,
) -> Result<()> {
    let about = schema["description"].as_str().with_context(|| format!("{at} has no description in the schema"))?;
    let schema = match schema["$ref"].as_str() {
        Some(name) => root.pointer(name.trim_start_matches('#')).with_context(|| format!("{at}: no {name}"))?,
        None => schema,
    };
    let empty = Map::new();
    let fields =
        if at.is_empty() || schema["additionalProperties"] == false { schema["properties"].as_object() } else { None };
    match (fields, default.as_object()) {
        // Of a section each field has a row; an open map, or a section without defaults, is one value.
        (Some(fields), Some(defaults)) if !defaults.is_empty() && !at.ends_with("esources") => {
            for name in defaults.keys() {
                ensure!(fields.contains_key(name), "{at}.{name} stands in values.yaml, but not in the schema");
            }
            for (name, field) in fields.iter().filter(|(name, _)| *name != "global") {
                let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                let default = defaults.get(name).with_context(|| format!("{path} has no default in values.yaml"))?;
                rows(&path, field, default, root, out)?;
            }
        }
        _ => {
            out.push((at.to_owned(), default.to_string(), about.to_owned()));
            let items = schema["items"]["properties"].as_object().unwrap_or(&empty);
            for (name, field) in items.iter().filter(|_| !schema["items"]["description"].is_null()) {
                let about =
                    field["description"].as_str().with_context(|| format!("{at}[].{name} has no description"))?;
                out.push((format!("{at}[].{name}"), String::new(), about.to_owned()));
            }
            if let (Some(fields), true) = (fields, default.as_object().is_some_and(Map::is_empty)) {
                for (name, field) in fields.iter().filter(|(_, field)| !field["description"].is_null()) {
                    let about = field["description"].as_str().unwrap_or_default();
                    out.push((format!("{at}.{name}"), String::new(), about.to_owned()));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn the_table_of_values_says_what_the_chart_takes() -> Result<()> {
    let folder = chart("coalition");
    let schema: Value = serde_json::from_str(&fs::read_to_string(folder.join("values.schema.json"))?)?;
    let defaults: Value = serde_saphyr::from_str(&fs::read_to_string(folder.join("values.yaml"))?)?;
    let mut root = schema.clone();
    root["description"] = "".into();
    let mut all = Vec::new();
    rows("", &root, &defaults, &schema, &mut all)?;
    assert!(all.len() > 50, "only {} values", all.len());
    let mut table = String::from("\n| value | default | what it is |\n|---|---|---|\n");
    for (path, default, about) in all {
        let default = if default.is_empty() { default } else { format!("`{default}`") };
        let about = about.replace('|', "\\|");
        writeln!(table, "| `{path}` | {default} | {about} |")?;
    }
    table.push('\n');
    let readme = folder.join("README.md");
    let text = fs::read_to_string(&readme).with_context(|| format!("cannot read {}", readme.display()))?;
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("README.md has no line {BEGIN}"))?;
    let (found, after) = rest.split_once(END).with_context(|| format!("README.md has no line {END}"))?;
    if std::env::var_os("COALITION_WRITE").is_some() {
        fs::write(&readme, format!("{before}{BEGIN}{table}{END}{after}"))?;
        return Ok(());
    }
    assert!(
        found == table,
        "charts/coalition/README.md is behind: COALITION_WRITE=1 cargo test -p coalition-charts --test values"
    );
    Ok(())
}

/// Every object of the schema is closed or says what its values are: a typing error is never taken for a value.
#[test]
fn the_schema_is_closed() -> Result<()> {
    fn look(at: &str, schema: &Value) {
        if schema["type"] == "object" && !at.ends_with("/global") {
            assert!(
                !schema["additionalProperties"].is_null() && schema["additionalProperties"] != true,
                "{at} is open"
            );
        }
        match schema {
            Value::Object(map) => map.iter().for_each(|(name, v)| look(&format!("{at}/{name}"), v)),
            Value::Array(all) => all.iter().enumerate().for_each(|(i, v)| look(&format!("{at}/{i}"), v)),
            _ => {}
        }
    }
    for name in ["coalition", "coalition-crds"] {
        look(name, &serde_json::from_str(&fs::read_to_string(chart(name).join("values.schema.json"))?)?);
    }
    Ok(())
}
