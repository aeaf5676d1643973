//! The records of a RunHistory, each compared with its digest, with the one before, and with the signature of the hub's key,
//! and told in a line. Pure. Trusts the signed text alone, never the fields beside it.
use coalition_crds::RunHistorySpec;
use coalition_protocol::record::{Body, Included, LeftOut, Outcome, Part, Record, Removal};
use coalition_protocol::sign::{PublicKey, SignedRecord};
use coalition_protocol::{Digest, SiteId, canonical};
use serde::Serialize;

use crate::show;
use crate::table;

/// One record as it was read.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Read {
    /// Its position, as the object says.
    pub seq: i64,
    /// Its digest, as the object says.
    pub digest: String,
    /// What is wrong with it; none if it is what the hub wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
    /// The record; none if its text is none.
    pub record: Option<Record>,
}

/// All records of an object, oldest first.
pub fn read(spec: &RunHistorySpec) -> Vec<Read> {
    let mut key: Option<PublicKey> = None;
    let mut parent: Option<&str> = None;
    let mut out = Vec::with_capacity(spec.records.len());
    for entry in &spec.records {
        let record: Result<Record, _> = serde_json::from_str(&entry.record);
        let damage = match &record {
            Err(e) => Some(format!("its text is no record ({e})")),
            Ok(r) => {
                if let Body::Genesis(g) = &r.body {
                    key = Some(PublicKey(g.hub_key.clone()));
                }
                let signed = SignedRecord { record: r.clone(), signature: entry.signature.clone() };
                damage(&entry.record, entry.seq, &entry.digest, parent, &signed, key.as_ref())
            }
        };
        parent = Some(&entry.digest);
        out.push(Read { seq: entry.seq, digest: entry.digest.clone(), damage, record: record.ok() });
    }
    out
}

/// What is wrong with a record that could be read.
fn damage(
    text: &str,
    seq: i64,
    digest: &str,
    parent: Option<&str>,
    signed: &SignedRecord,
    key: Option<&PublicKey>,
) -> Option<String> {
    let r = &signed.record;
    if canonical::bytes(r).ok()? != text.as_bytes() {
        return Some("its text is not the canonical form of what it says".to_owned());
    }
    if Digest::of(text.as_bytes()).to_string() != digest || i64::try_from(r.seq.0) != Ok(seq) {
        return Some("the object calls it by another number or digest than it has".to_owned());
    }
    if parent.is_some_and(|p| p != r.parent.to_string()) {
        return Some("it names another record as the one before it".to_owned());
    }
    key.and_then(|k| k.verify(signed).err()).map(|e| e.to_string())
}

/// A row each.
pub fn rows(records: &[Read], wide: bool) -> String {
    let mut header = vec!["RECORD", "KIND", "ROUND", "TOKENS", "WHAT"];
    if wide {
        header.splice(1..1, ["EPOCH", "DIGEST"]);
    }
    let row = |r: &Read| {
        let body = r.record.as_ref().map(|x| &x.body);
        let dash = || "-".to_owned();
        let what = match (&r.damage, body) {
            (Some(damage), _) => format!("DAMAGED: {damage}"),
            (None, Some(body)) => what(body),
            (None, None) => dash(),
        };
        let mut row = vec![
            r.seq.to_string(),
            body.map_or_else(dash, |b| b.kind().to_owned()),
            body.and_then(round).map_or_else(dash, |n| n.to_string()),
            body.and_then(tokens).map_or_else(dash, show::count),
            what,
        ];
        if wide {
            let epoch = r.record.as_ref().map_or_else(dash, |x| x.epoch.to_string());
            row.splice(1..1, [epoch, r.digest.chars().take(12).collect()]);
        }
        row
    };
    table::plain(&header, records.iter().map(row))
}

const fn round(body: &Body) -> Option<u64> {
    match body {
        Body::Plan(p) => Some(p.round.0),
        Body::Outer(o) => Some(o.round.0),
        Body::Step(s) => Some(s.round.0),
        Body::Void(v) => Some(v.round.0),
        _ => None,
    }
}

/// T after the record; of a plan, before it.
const fn tokens(body: &Body) -> Option<u64> {
    match body {
        Body::Plan(p) => Some(p.tokens_before),
        Body::Outer(o) => Some(o.tokens),
        Body::Step(s) => Some(s.tokens),
        Body::End(e) => Some(e.tokens),
        _ => None,
    }
}

/// What a record says, in one line.
fn what(body: &Body) -> String {
    match body {
        Body::Genesis(g) => format!(
            "the run begins with {} and a budget of {} tokens, seed {}",
            names(g.members.iter().map(|m| &m.site)),
            show::count(g.budget),
            g.seed
        ),
        Body::Plan(p) => {
            let part = |p: &Part| format!("{} {} steps", p.site, p.inner_steps);
            format!("{}; quorum {}", list(p.parts.iter().map(part)), p.quorum)
        }
        Body::Outer(o) => {
            let part = |i: &Included| format!("{} ({} tokens)", i.key.site, show::count(i.tokens));
            let mut text = format!("included {}; held by {}", list(o.included.iter().map(part)), names(&o.holders));
            if !o.left_out.is_empty() {
                let left = |l: &LeftOut| format!("{}{}", l.site, if l.returned { " for the second time" } else { "" });
                text = format!("{text}; without {}", list(o.left_out.iter().map(left)));
            }
            text
        }
        Body::State(s) => {
            format!("state of record {} is {}, by word of {}", s.of, s.digest.short(), names(&s.confirmers))
        }
        Body::Step(s) => format!("{} alone; state {}", s.site, s.state.short()),
        Body::Members(m) => {
            let removal = |r: &Removal| format!("{} ({})", r.site, r.reason);
            let parts = [
                ("retired", list(m.retired.iter().map(removal))),
                ("joined", names(m.joined.iter().map(|a| &a.site))),
                ("set aside", list(m.set_aside.iter().map(removal))),
                ("taken back", names(&m.lifted)),
            ];
            let told = parts.into_iter().filter(|(_, who)| !who.is_empty()).map(|(how, who)| format!("{how} {who}"));
            told.collect::<Vec<_>>().join("; ")
        }
        Body::Void(v) => format!("plans {} are void: {}", list(v.plans.iter().map(ToString::to_string)), v.reason),
        Body::Rewind(r) => format!("back to the state of record {}", r.to),
        Body::Takeover(t) => format!("hub generation {} takes over", t.hub_generation),
        Body::End(e) => {
            let how = match e.outcome {
                Outcome::Complete => "complete",
                Outcome::DeadlineExceeded => "out of time",
                Outcome::Failed => "failed",
            };
            let because = if e.message.is_empty() { String::new() } else { format!(": {}", e.message) };
            format!("{how}{because}; the checkpoint of record {} stands at {}", e.of, names(&e.confirmers))
        }
    }
}

fn names<'a>(sites: impl IntoIterator<Item = &'a SiteId>) -> String {
    list(sites.into_iter().map(ToString::to_string))
}

fn list(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
