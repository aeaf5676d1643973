//! Bad manifests: refused by the API server itself where it can know, by every row of the tables that the kinds are tested
//! with; else Stalled. Each within a second, with the field by name, and nothing is created.

use anyhow::{Context, Result, bail, ensure};
use coalition_cluster::{Spec, World};
use coalition_crds::validate;
use coalition_suites::archives::root;
use coalition_suites::{Installed, Layout, RUNS, Tiny};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

/// How long a refusal may take.
const SOON: Duration = Duration::from_secs(1);
/// Rows that an API server cannot judge as the tables do: it drops a status that is sent with a new object.
const STATUS: &str = "status";

/// One row: what is applied, and over what.
struct Row {
    name: String,
    new: Value,
    old: Option<Value>,
    refused: bool,
}

fn rows(table: &str) -> Result<Vec<Row>> {
    let path = root().join("crds/tests/cases").join(table);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let table: Value = serde_saphyr::from_str(&text).with_context(|| format!("{} is no table", path.display()))?;
    let mut out = Vec::new();
    for row in table["cases"].as_array().into_iter().flatten() {
        let changes = ["set", "from"].map(|key| row[key].as_object().cloned().unwrap_or_default());
        if changes.iter().any(|change| change.keys().any(|path| path.starts_with(STATUS))) {
            continue;
        }
        let [set, from] = changes;
        let changed = |change| -> Result<Value> {
            let mut object = table["base"].clone();
            apply(&mut object, change)?;
            Ok(object)
        };
        out.push(Row {
            name: row["name"].as_str().unwrap_or_default().to_owned(),
            new: changed(set)?,
            old: row.get("from").map(|_| changed(from)).transpose()?,
            refused: row["want"].as_array().is_some_and(|want| !want.is_empty()),
        });
    }
    Ok(out)
}

/// Sets each field at a path such as `spec.siteTemplates[0].workers`; null removes it.
fn apply(object: &mut Value, changes: serde_json::Map<String, Value>) -> Result<()> {
    for (path, value) in changes {
        let pointer = format!("/{}", path.replace('[', ".").replace(']', "").replace('.', "/"));
        let (parent, key) = pointer.rsplit_once('/').unwrap_or_default();
        match (object.pointer_mut(parent), key.parse::<usize>()) {
            (Some(Value::Array(list)), Ok(index)) => list[index] = value,
            (Some(Value::Object(map)), _) if value.is_null() => drop(map.remove(key)),
            (Some(at), _) => at[key] = value,
            (None, _) => bail!("{path} is nowhere in {object}"),
        }
    }
    Ok(())
}

struct Server {
    client: Client,
}

impl Server {
    fn api(&self, object: &Value) -> Result<(Api<DynamicObject>, String)> {
        let object: DynamicObject = serde_json::from_value(object.clone())?;
        let kind = GroupVersionKind::try_from(&object.types.context("a kind")?)?;
        let resource = ApiResource::from_gvk(&kind);
        let name = object.metadata.name.context("a name")?;
        let api = match kind.kind.as_str() {
            "Site" => Api::all_with(self.client.clone(), &resource),
            _ => Api::namespaced_with(self.client.clone(), "default", &resource),
        };
        Ok((api, name))
    }

    /// What the API server says to `object`, for show or in earnest: nothing if it takes it.
    async fn says(&self, object: &Value, dry: bool) -> Result<Option<String>> {
        let (api, name) = self.api(object)?;
        let params = PatchParams { dry_run: dry, ..PatchParams::apply("table").force().validation_strict() };
        match api.patch(&name, &params, &Patch::Apply(object)).await {
            Ok(_) => Ok(None),
            Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
            Err(other) => Err(other.into()),
        }
    }

    /// Judges one row: what is wrong with how it was judged, if anything.
    async fn judge(&self, kind: &str, row: &Row) -> Result<Option<String>> {
        if let Some(old) = &row.old
            && let Some(why) = self.says(old, false).await?
        {
            return Ok(Some(format!("what it changes was refused: {why}")));
        }
        let start = Instant::now();
        let said = self.says(&row.new, true).await?;
        // A refusal; what is taken waits for storage.
        let late = said.is_some() && start.elapsed() > SOON;
        if let Some(old) = &row.old {
            let (api, name) = self.api(old)?;
            api.delete(&name, &kube::api::DeleteParams::default()).await?;
        }
        if late {
            return Ok(Some(format!("it took {:?}", start.elapsed())));
        }
        Ok(match said {
            None if row.refused => Some("it was taken".to_owned()),
            Some(why) if !row.refused => Some(format!("it was refused: {why}")),
            Some(why) => {
                // The last part of a field's path stands in whatever the server says of it.
                let problems = validate::check(kind, &row.new, row.old.as_ref());
                let fields: Vec<&str> = problems.iter().filter_map(|p| last(&p.field)).collect();
                (!fields.iter().any(|field| why.contains(field)))
                    .then(|| format!("none of the fields {fields:?} is named: {why}"))
            }
            None => None,
        })
    }
}

fn last(field: &str) -> Option<&str> {
    field.rsplit(['.', ']']).find(|part| !part.is_empty()).map(|part| part.split('[').next().unwrap_or(part))
}

#[test]
fn the_api_server_judges_every_row_of_the_tables() -> Result<()> {
    let Some(world) = World::start_or_skip()? else { return Ok(()) };
    let hub = world.cluster(Spec::api("hub"))?;
    let crds = root().join("crds/yaml").display().to_string();
    hub.kubectl(&["apply", "--server-side", "-f", &crds])?;
    hub.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "-f", &crds])?;
    let tables = [
        ("TrainingRun", "training_run.yaml"),
        ("CheckpointPolicy", "checkpoint_policy.yaml"),
        ("Checkpoint", "checkpoint.yaml"),
        ("Site", "site.yaml"),
    ];
    let mut wrong = Vec::new();
    let mut count = 0;
    for (kind, table) in tables {
        for row in rows(table)? {
            count += 1;
            let judged = hub.run(async { Server { client: hub.client().await? }.judge(kind, &row).await });
            if let Some(what) = judged.with_context(|| format!("{kind}: {}", row.name))? {
                wrong.push(format!("{kind}: {}: {what}", row.name));
            }
        }
    }
    ensure!(count > 80, "only {count} rows were read");
    ensure!(wrong.is_empty(), "{} of {count} rows:\n{}", wrong.len(), wrong.join("\n"));
    // By their names: kubectl keeps which kinds a category has from before there were any.
    let kinds = "trainingruns,checkpointpolicies,checkpoints,sites";
    let left = hub.kubectl(&["get", kinds, "-A", "-o", "name"])?;
    ensure!(left.is_empty(), "created all the same: {left}");
    Ok(())
}

#[test]
fn what_needs_other_objects_is_stalled_within_a_second_and_creates_nothing() -> Result<()> {
    let Some(at) = Installed::or_skip(Layout::one(1))? else { return Ok(()) };
    // (name, field, value, the condition that tells, a part of its message)
    let table = [
        ("policy", "/spec/checkpointPolicyRef/name", json!("nobodys"), "Stalled", "nobodys"),
        ("data", "/spec/data/mixture/0/name", json!("unknown"), "Stalled", "unknown"),
        ("selector", "/spec/sites/selector", json!({"matchLabels": {"no": "site"}}), "Stalled", "no=site"),
        ("vocabulary", "/spec/model/config/vocab_size", json!(100), "Stalled", "vocab_size"),
        ("checkpoint", "/spec/model/init", json!({"from": {"checkpoint": "gone"}}), "Stalled", "gone"),
    ];
    for (name, field, value, condition, told) in table {
        let start = Instant::now();
        let run = at.apply(&Tiny::new(name).with(field, value))?;
        let found = run.until_it(&format!("be {condition} with `{told}`"), |run| {
            let conditions = run.status.iter().flat_map(|status| &status.conditions);
            conditions
                .into_iter()
                .any(|one| one.type_ == condition && one.status == "True" && one.message.contains(told))
        });
        found.with_context(|| format!("{name}: {field}"))?;
        println!("{name}: {condition} after {:.2} s", start.elapsed().as_secs_f64());
        // Twice: the wait looks from outside, and begins before the object is there.
        ensure!(start.elapsed() < SOON * 2, "{name}: told after {:?}", start.elapsed());
    }
    let made = at.kubectl(&["get", "siteruns,gangs,runhistories", "-A", "-o", "name"])?;
    ensure!(made.is_empty(), "bad runs of {RUNS} made {made}");
    Ok(())
}
