//! The largest legal objects of the kinds whose size the schema alone bounds: each fits its budget, and a little more is
//! refused. SiteRun and SiteReport, which are fitted: `wire.rs`.
#![allow(clippy::unwrap_used, clippy::panic)]
mod support;

use coalition_crds::conditions::{ConditionType, Facts, Phase, Reason, Time, write};
use coalition_crds::{budget, validate};
use serde_json::{Value, json};
use strum::IntoEnumIterator as _;
use support::messages::{bytes, digest, site_run};
use support::{load, put};

fn told(kind: &str, object: &Value) -> Vec<String> {
    validate::check(kind, object, None).iter().map(ToString::to_string).collect()
}

fn label(n: usize) -> String {
    format!("{n:04}{}", "l".repeat(59))
}

#[test]
fn the_largest_training_run() {
    let mut run = load(include_str!("cases/training_run.yaml"))["base"].clone();
    // Selectors: as many labels as the rules allow, in one template and in the selection of sites.
    let labels = |n: usize| -> Value {
        (0..n).map(|i| (label(i), json!("v".repeat(63)))).collect::<serde_json::Map<_, _>>().into()
    };
    put(
        &mut run,
        "spec.siteTemplates",
        (0..16).map(|n| json!({"selector": {"matchLabels": labels(usize::from(n == 0) * 16)}, "workers": 1})).collect(),
    );
    put(&mut run, "spec.sites.selector", json!({"matchLabels": labels(8)}));
    put(&mut run, "spec.trainer", json!({"image": "i".repeat(512)}));
    let codes: Vec<i32> = (100..132).collect();
    let rule = json!({"onExitCodes": codes, "onReason": ["WorkerKilled", "SiteLost", "StoreLost"], "action": "RestartAndIgnoreLimit"});
    put(&mut run, "spec.failurePolicy", json!({"rules": vec![rule; 16]}));
    // A status that tells as much as it may.
    let text = |bytes: usize| "w".repeat(bytes);
    let lines: Vec<Value> = (0..64)
        .map(|n| {
            json!({"name": label(n), "state": "CatchingUp", "incarnation": 9_007_199_254_740_992_i64,
                "attempt": 9_007_199_254_740_992_i64, "workersReady": 1024, "workers": 1024, "waitingFor": text(77), "next": text(77)})
        })
        .collect();
    let mut conditions = Vec::new();
    let message = text(4096);
    let facts = Facts {
        phase: Phase::FailingOver,
        reason: Reason::SiteSilent,
        message: &message,
        admitted: false,
        workers: (1, 2),
        checkpoint_consistent: false,
        generation: Some(i64::MAX),
    };
    let now: Time = serde_json::from_value(json!("2026-11-23T00:00:00Z")).unwrap();
    write(&mut conditions, &facts, &now);
    put(
        &mut run,
        "status",
        json!({
            "observedGeneration": i64::MAX, "epoch": i64::MAX, "sitesReady": "64/64", "sites": lines, "conditions": conditions,
            "checkpoint": {"name": label(1), "seq": i64::MAX, "consistent": true, "copies": (0..64).map(label).collect::<Vec<_>>()},
        }),
    );
    assert_eq!(told("TrainingRun", &run), Vec::<String>::new());
    // What the schema cannot bound are foreign keys of model.config: the planner refuses a spec above 24 KiB.
    let foreign = (24 << 10) - budget::bytes(&run["spec"]);
    let all = bytes(&validate::complete("TrainingRun", &run)) + foreign;
    assert!(all <= budget::TRAINING_RUN, "{all} bytes");
    assert!(all > budget::TRAINING_RUN / 2, "{all} bytes: is this the largest?");

    let mut more = run.clone();
    put(&mut more, "spec.siteTemplates[1].selector", json!({"matchLabels": {(label(1)): "v"}}));
    assert!(told("TrainingRun", &more)[0].contains("labels of all selectors must be at most 2048 characters together"));
    put(&mut run, "status.sites[0].next", json!(text(200)));
    assert!(told("TrainingRun", &run)[0].contains("must be at most 24 KiB together"));
}

#[test]
fn the_largest_run_history() {
    let mut history = support::history::chain(0, 127, 0);
    // Canonical JSON: a quotation mark for every second character is more than any record has.
    let text = |n: usize| "\"a".repeat(n / 2);
    for n in 0..128 {
        put(&mut history, &format!("spec.records[{n}].record"), json!(text(1024)));
        put(&mut history, &format!("spec.records[{n}].kind"), json!("takeover"));
    }
    assert_eq!(told("RunHistory", &history), Vec::<String>::new());
    assert!(bytes(&history) <= budget::RUN_HISTORY, "{} bytes", bytes(&history));
    put(&mut history, "spec.records[0].record", json!(text(1026)));
    assert!(told("RunHistory", &history)[0].contains("records and fold must be at most 128 KiB together"));
}

#[test]
fn the_largest_gang() {
    let mut spec = site_run(64).fit().unwrap().0;
    spec.message.spec = json!({"text": "x".repeat(6000)});
    let workers = 0..1024;
    let process = |w: i32| json!({"worker": w, "process": "p".repeat(80), "listen": "h".repeat(80), "class": digest()});
    let all: Vec<Value> = workers.clone().map(process).collect();
    let gone: Vec<Value> = workers
        .clone()
        .map(|w| json!({"worker": w, "process": "p".repeat(80), "exitCode": 255, "left": false}))
        .collect();
    let exits: Vec<Value> = workers.clone().map(|w| json!({"worker": w, "process": "p".repeat(80)})).collect();
    let pods: Vec<Value> = workers
        .map(|w| {
            json!({"index": w, "birth": i64::from(u32::MAX), "name": "p".repeat(63), "phase": "Terminating", "node": "n".repeat(253)})
        })
        .collect();
    let failures: Vec<Value> =
        (0..32).map(|n| json!({"number": n, "worker": 1023, "exitCode": 255, "log": "x\n".repeat(384)})).collect();
    let conditions: Vec<Value> = ConditionType::iter()
        .map(|c| json!({"type": c.to_string(), "status": "False", "reason": "r".repeat(63), "message": "m".repeat(1024), "lastTransitionTime": "2026-11-23T00:00:00Z"}))
        .collect();
    let mut gang = json!({
        "apiVersion": "coalition.training/v1alpha1", "kind": "Gang", "metadata": {"name": "case"},
        "spec": {"siteRunGeneration": 1, "siteRun": spec},
        "status": {"attempt": 1, "forming": true, "members": all, "joining": all, "gone": gone, "lastExits": exits, "pods": pods,
            "failures": failures, "conditions": conditions},
    });
    assert_eq!(told("Gang", &gang), Vec::<String>::new());
    assert!(bytes(&gang) <= budget::GANG, "{} bytes", bytes(&gang));
    assert!(bytes(&gang) > budget::GANG * 3 / 4, "{} bytes: is this the largest?", bytes(&gang));
    // etcd refuses a request above 1.5 MiB.
    const { assert!(budget::GANG < 1536 << 10) };
    put(&mut gang, "status.failures[0].log", json!("x".repeat(769)));
    assert!(told("Gang", &gang)[0].contains("logs must be at most 24576 characters together"));
}
