//! Histories as a hub writes them, read and told; and what is seen of each kind of damage. `tests/objects/history.yaml` is one of
//! them, for the tests against a real API server.
use coalition_crds::run_history::{HistoryHead, HistoryRecord, RecordKind, RunHistory};
use coalition_protocol::sign::HubKey;
use coalition_protocol::{Epoch, Seq};
use serde_json::{Value, json};

use super::*;

fn digest(n: u8) -> String {
    hex(n, 64)
}

fn hex(n: u8, letters: usize) -> String {
    format!("{n:02x}").repeat(letters / 2)
}

fn included(site: &str, plan: u64) -> Value {
    json!({
        "key": {"site": site, "epoch": 1, "incarnation": 1, "plan": plan, "fragment": 0, "entry": 4}, "digest": digest(7),
        "tokens": 131_072, "used": [{"plan": plan, "used": [[0, 512]]}], "batchHash": hex(3, 32), "norm": "0.5"
    })
}

/// One record of each kind that this version writes.
fn bodies(key: &HubKey) -> Vec<Value> {
    let part = |site: &str, from: u64| json!({"site": site, "incarnation": 1, "innerSteps": 64, "ranges": [[from, from + 512]], "tokens": 131_072});
    let plan = |round: u64, before: u64, parts: Vec<Value>| {
        json!({
            "kind": "plan", "round": round, "tokensBefore": before, "budget": 4_194_304, "stretch": 1, "graceMillis": 10_000,
            "quorum": 1, "parts": parts
        })
    };
    let members = [json!({"site": "north", "incarnation": 1}), json!({"site": "south", "incarnation": 1})];
    vec![
        json!({
            "kind": "genesis", "hubKey": key.public().0, "hubGeneration": 1, "spec": digest(1), "data": digest(2),
            "samplesPerPass": 90_000, "sequenceLength": 256, "batchTokens": 2048, "innerSteps": 64, "budget": 4_194_304, "seed": 1,
            "elements": 1_048_576, "fragments": 1, "outerLr": "0.7", "outerMomentum": "0.9", "members": members
        }),
        json!({"kind": "state", "of": 0, "digest": digest(4), "confirmers": ["north", "south"]}),
        plan(1, 0, vec![part("north", 0), part("south", 512)]),
        json!({
            "kind": "outer", "plan": 2, "round": 1, "fragment": 0, "included": [included("north", 2), included("south", 2)],
            "holders": ["north", "south"], "leftOut": [], "tokens": 262_144
        }),
        json!({
            "kind": "outer", "plan": 2, "round": 2, "fragment": 0, "included": [included("north", 2)], "holders": ["north"],
            "leftOut": [{"site": "south", "incarnation": 1, "returned": true}], "tokens": 393_216
        }),
        json!({"kind": "void", "round": 3, "plans": [2, 4], "reason": "no quorum within sites.replaceAfterSeconds"}),
        json!({
            "kind": "members", "retired": [{"site": "south", "incarnation": 1, "reason": "Lost"}],
            "joined": [{"site": "east", "incarnation": 1}], "setAside": [], "lifted": []
        }),
        json!({
            "kind": "step", "plan": 2, "round": 3, "site": "north", "incarnation": 1, "checkpoint": digest(8), "state": digest(9),
            "used": [{"plan": 2, "used": [[0, 512]]}], "batchHash": hex(5, 32), "tokens": 524_288
        }),
        json!({
            "kind": "end", "outcome": "failed", "message": "worker 0 of north ended 10 times with 70", "tokens": 524_288, "of": 7,
            "confirmers": ["north"]
        }),
    ]
}

fn object() -> RunHistory {
    let key = HubKey::from_seed(&[7; 32]);
    let mut parent = Digest::ZERO;
    let mut records = Vec::new();
    for (n, body) in bodies(&key).into_iter().enumerate() {
        let kind: RecordKind = serde_json::from_value(body["kind"].clone()).unwrap();
        let record = Record {
            version: 1,
            run: "mine-0123456789".parse().unwrap(),
            epoch: Epoch(1),
            seq: Seq(n as u64),
            parent,
            body: serde_json::from_value(body).unwrap(),
        };
        let text = canonical::bytes(&record).unwrap();
        let digest = Digest::of(&text);
        let signature = key.sign(record).unwrap().signature;
        records.push(HistoryRecord {
            seq: i64::try_from(n).unwrap(),
            epoch: 1,
            kind,
            parent: parent.to_string(),
            digest: digest.to_string(),
            record: String::from_utf8(text).unwrap(),
            signature,
        });
        parent = digest;
    }
    let head = HistoryHead { epoch: 1, seq: i64::try_from(records.len()).unwrap() - 1, digest: parent.to_string() };
    let spec = RunHistorySpec { run_id: "mine-0123456789".to_owned(), head, mirrored_seq: 3, fold: None, records };
    RunHistory::new("mine-0123456789", spec)
}

#[test]
fn every_kind_of_record_is_told() {
    let all = read(&object().spec);
    assert!(all.iter().all(|r| r.damage.is_none()), "{all:?}");
    insta::assert_snapshot!(format!("{}\n\n{}", rows(&all, false), rows(&all[..2], true)));
}

type Change = fn(&mut RunHistorySpec);

#[test]
fn damage_is_seen() {
    let cases: [(usize, Change, &str); 5] = [
        (3, |s| s.records[3].record = "{}".to_owned(), "its text is no record"),
        (3, |s| s.records[3].record = s.records[3].record.replace(':', ": "), "not the canonical form"),
        (3, |s| s.records[3].record = s.records[3].record.replace("262144", "262145"), "another number or digest"),
        (2, |s| drop(s.records.remove(2)), "another record as the one before"),
        (3, |s| s.records[3].signature = s.records[4].signature.clone(), "does not carry a valid signature"),
    ];
    for (n, change, words) in cases {
        let mut spec = object().spec;
        change(&mut spec);
        let all = read(&spec);
        assert!(all[n].damage.as_ref().is_some_and(|d| d.contains(words)), "{words}: {}", rows(&all, false));
        assert!(rows(&all, false).contains("DAMAGED: "));
    }
}

#[test]
fn the_object_of_the_other_tests_is_this_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/objects/history.yaml");
    let text = serde_saphyr::to_string(&object()).unwrap();
    if std::env::var_os("INSTA_UPDATE").is_some_and(|v| v == "always") {
        std::fs::write(path, &text).unwrap();
    }
    let there: RunHistory = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(there, object(), "write {path} anew with INSTA_UPDATE=always");
}
