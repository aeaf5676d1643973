//! A run's history as the object that holds it: `RunHistory`. Must not know a client, nor when something is appended.
//!
//! A record travels as the canonical text that was signed, so that no server can change a byte of it without being noticed;
//! the fields beside it are what the server itself compares (D6). Reading trusts the text alone.
use coalition_crds::RunHistorySpec;
use coalition_crds::run_history::{HistoryHead, HistoryRecord, RecordKind};
use coalition_protocol::canonical::{self, NotCanonical};
use coalition_protocol::history::View;
use coalition_protocol::record::{Body, Record};
use coalition_protocol::sign::SignedRecord;
use coalition_protocol::{Digest, Seq};

/// An object that is not what this hub wrote.
#[derive(Debug, thiserror::Error)]
pub enum Damaged {
    /// A record's text is no record, or not the canonical form of one.
    #[error("record {seq} of the RunHistory is damaged: {what}; restore the object from a copy of the cluster's state")]
    Record {
        /// Its number, as the object says.
        seq: i64,
        /// What is wrong.
        what: String,
    },
    /// A record has no canonical form.
    #[error(transparent)]
    NotCanonical(#[from] NotCanonical),
    /// What the older records came to cannot be read, or is not of this chain.
    #[error("the fold of the RunHistory is damaged: {what}; restore the object from a copy of the cluster's state")]
    Fold {
        /// What is wrong.
        what: String,
    },
}

/// The object's spec for these records, the whole chain or its newest part, oldest first; none without a record.
pub fn spec(records: &[SignedRecord], mirrored: Seq, fold: Option<String>) -> Result<Option<RunHistorySpec>, Damaged> {
    let Some(last) = records.last() else { return Ok(None) };
    let entries = records.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let head = HistoryHead {
        epoch: number(last.record.epoch.0),
        seq: number(last.record.seq.0),
        digest: last.record.digest()?.to_string(),
    };
    let run_id = last.record.run.to_string();
    Ok(Some(RunHistorySpec { run_id, head, mirrored_seq: number(mirrored.0), fold, records: entries }))
}

/// The records of an object, each compared with its text, its digest and the one before. That they are legal, and signed by
/// the hub of their run, is for `View` to say.
pub fn records(spec: &RunHistorySpec) -> Result<Vec<SignedRecord>, Damaged> {
    let mut out: Vec<SignedRecord> = Vec::with_capacity(spec.records.len());
    for entry in &spec.records {
        let bad = |what: String| Damaged::Record { seq: entry.seq, what };
        let record: Record =
            serde_json::from_str(&entry.record).map_err(|e| bad(format!("its text is no record ({e})")))?;
        if canonical::bytes(&record)? != entry.record.as_bytes() {
            return Err(bad("its text is not the canonical form of what it says".to_owned()));
        }
        let found = (number(record.seq.0), Digest::of(entry.record.as_bytes()).to_string());
        if found != (entry.seq, entry.digest.clone()) {
            return Err(bad(format!("the object calls it {} with digest {}", entry.seq, entry.digest)));
        }
        out.push(SignedRecord { record, signature: entry.signature.clone() });
    }
    Ok(out)
}

/// What the fold says, and the records after it.
pub fn unfold<'a>(text: &str, records: &'a [SignedRecord]) -> Result<(View, &'a [SignedRecord]), Damaged> {
    let bad = |what: String| Damaged::Fold { what };
    let view = View::from_text(text).map_err(|e| bad(e.to_string()))?;
    let head = view.head();
    let at = records.iter().position(|r| r.record.seq == head.seq);
    let Some(at) = at else {
        return Err(bad(format!("it ends with record {}, which is not among the records", head.seq)));
    };
    let (before, later) = records.split_at(at + 1);
    for r in before {
        let known = view.digest_of(r.record.seq);
        if r.record.run != *view.run() || known.is_some_and(|d| r.record.digest().ok() != Some(d)) {
            return Err(bad(format!("its record {} is another than the one beside it", r.record.seq)));
        }
    }
    Ok((view, later))
}

/// Characters of the records and the fold, as the rules of the object count them.
pub fn weight(spec: &RunHistorySpec) -> usize {
    let records = spec.records.iter().map(|r| r.record.chars().count()).sum::<usize>();
    records + spec.fold.as_ref().map_or(0, |f| f.chars().count())
}

fn entry(signed: &SignedRecord) -> Result<HistoryRecord, Damaged> {
    let r = &signed.record;
    let bytes = canonical::bytes(r)?;
    let digest = Digest::of(&bytes).to_string();
    let text = String::from_utf8(bytes)
        .map_err(|e| Damaged::Record { seq: number(r.seq.0), what: format!("its text is not UTF-8 ({e})") })?;
    Ok(HistoryRecord {
        seq: number(r.seq.0),
        epoch: number(r.epoch.0),
        kind: kind(&r.body),
        parent: r.parent.to_string(),
        digest,
        record: text,
        signature: signed.signature.clone(),
    })
}

const fn kind(body: &Body) -> RecordKind {
    match body {
        Body::Genesis(_) => RecordKind::Genesis,
        Body::Plan(_) => RecordKind::Plan,
        Body::Outer(_) => RecordKind::Outer,
        Body::State(_) => RecordKind::State,
        Body::Step(_) => RecordKind::Step,
        Body::Members(_) => RecordKind::Members,
        Body::Void(_) => RecordKind::Void,
        Body::Rewind(_) => RecordKind::Rewind,
        Body::Takeover(_) => RecordKind::Takeover,
        Body::End(_) => RecordKind::End,
    }
}

/// Numbers of the API are signed; a count that does not fit would take longer to reach than anything lasts.
fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
