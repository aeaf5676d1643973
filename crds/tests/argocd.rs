//! The health checks for Argo CD (`charts/gitops/argocd-cm.yaml`) say of every state of every kind what kstatus says of it. They are
//! run as Argo CD runs them: Lua 5.1, the object as `obj`, with the base library and tables, and nothing else.

#![allow(clippy::unwrap_used)]
use coalition_crds::conditions::{Facts, Kstatus, Phase, Reason, Standard, Time, write};
use mlua::{Lua, LuaOptions, StdLib, Table};
use serde_json::{Value, json};
use strum::IntoEnumIterator as _;

/// What people give to Argo CD.
const CHECKS: &str = include_str!("../../charts/gitops/argocd-cm.yaml");
/// The key of a kind's health check in `argocd-cm`, but for the kind.
const KEY: &str = "resource.customizations.health.coalition.training_";

/// A value as Lua has it. A null is an absent field, as where a server leaves it out.
fn lua(machine: &Lua, value: &Value) -> mlua::Result<mlua::Value> {
    Ok(match value {
        Value::Null => mlua::Value::Nil,
        Value::Bool(b) => mlua::Value::Boolean(*b),
        Value::Number(n) => mlua::Value::Number(n.as_f64().unwrap_or(f64::NAN)),
        Value::String(s) => mlua::Value::String(machine.create_string(s)?),
        Value::Array(all) => {
            let table = machine.create_table()?;
            for one in all {
                table.push(lua(machine, one)?)?;
            }
            mlua::Value::Table(table)
        }
        Value::Object(fields) => {
            let table = machine.create_table()?;
            for (name, field) in fields {
                table.set(name.as_str(), lua(machine, field)?)?;
            }
            mlua::Value::Table(table)
        }
    })
}

/// What the check of `kind` says of an object: its health and its message.
fn health(kind: &str, object: &Value) -> (String, String) {
    let checks: Value = serde_saphyr::from_str(CHECKS).unwrap();
    let script = checks["data"][format!("{KEY}{kind}")].as_str().unwrap();
    let machine = Lua::new_with(StdLib::TABLE, LuaOptions::default()).unwrap();
    machine.globals().set("obj", lua(&machine, object).unwrap()).unwrap();
    let said: Table = machine.load(script).eval().unwrap();
    (said.get("status").unwrap(), said.get("message").unwrap())
}

fn object(generation: i64, status: Value) -> Value {
    json!({"metadata": {"name": "one", "generation": generation}, "status": status})
}

/// Argo CD's word for what kstatus says.
const fn argo(status: Kstatus) -> &'static str {
    match status {
        Kstatus::InProgress => "Progressing",
        Kstatus::Current => "Healthy",
        Kstatus::Failed => "Degraded",
    }
}

#[test]
fn every_state_of_a_run_has_the_health_that_kstatus_gives_it() {
    let mut seen = 0;
    for (phase, reason) in Phase::iter().flat_map(|p| Reason::iter().map(move |r| (p, r))) {
        let facts = Facts {
            phase,
            reason,
            message: "because",
            admitted: true,
            workers: (1, 2),
            checkpoint_consistent: false,
            generation: Some(3),
        };
        let mut conditions = Vec::new();
        write(&mut conditions, &facts, &Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH));
        let run = object(3, json!({"observedGeneration": 3, "conditions": conditions}));
        let expected = (argo(Standard::of(phase, reason).kstatus()).to_owned(), format!("{reason}: because"));
        let said = health("TrainingRun", &run);
        assert_eq!(said, expected, "{phase} {reason}");
        seen += 1;
    }
    assert_eq!(seen, Phase::iter().count() * Reason::iter().count());
}

#[test]
fn what_the_hub_has_not_seen_yet_or_lets_go_is_progressing() {
    let ready = json!([{"type": "Ready", "status": "True", "reason": "Heard", "message": ""}]);
    let lost = json!([{"type": "Ready", "status": "False", "reason": "Silent", "message": "nothing is heard of it"}]);
    let mut leaving = object(1, json!({"observedGeneration": 1, "conditions": ready}));
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let cases = [
        (object(1, json!({"observedGeneration": 1, "conditions": ready})), "Healthy", "Heard"),
        (
            object(1, json!({"observedGeneration": 1, "conditions": lost})),
            "Progressing",
            "Silent: nothing is heard of it",
        ),
        (object(1, Value::Null), "Progressing", "no hub has looked at it yet"),
        (object(1, json!({})), "Progressing", "no hub has looked at it yet"),
        (object(1, json!({"observedGeneration": 1, "conditions": []})), "Progressing", "no condition Ready yet"),
        (
            object(2, json!({"observedGeneration": 1, "conditions": ready})),
            "Progressing",
            "the hub has not acted on generation 2 yet",
        ),
        (leaving, "Progressing", "it is being deleted"),
    ];
    for kind in ["TrainingRun", "Checkpoint", "Site"] {
        for (object, status, message) in &cases {
            let said = health(kind, object);
            assert_eq!(said, ((*status).to_owned(), (*message).to_owned()), "{kind} {object}");
        }
    }
}
