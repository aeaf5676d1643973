//! What must hold of a run whatever dies on the way, from all that was ever seen of it at the API: one chain, no attempt that
//! falls, no position of the data used twice. Must not ask the operator: it reads objects alone.

use anyhow::{Context, Result, bail, ensure};
use coalition_crds::{GangStatus, RunHistorySpec};
use coalition_protocol::history::View;
use coalition_protocol::record::{Body, LeaseUse};
use coalition_protocol::sign::SignedRecord;
use coalition_protocol::{Digest, IntervalSet};
use std::collections::BTreeMap;

/// What was seen of one run, and what in it must not be.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// Every record ever seen, by its number: its text and signature.
    records: BTreeMap<i64, (String, String)>,
    /// The highest attempt ever seen of each gang.
    attempts: BTreeMap<String, i64>,
    /// Its gang as it was seen last.
    gang: GangStatus,
    wrong: Vec<String>,
}

/// What the records add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Records.
    pub records: u64,
    /// Rounds committed.
    pub rounds: u64,
    /// Tokens committed.
    pub tokens: u64,
    /// Whether the run has ended.
    pub ended: bool,
}

impl Books {
    /// Takes note of a RunHistory as it stands.
    pub fn see_history(&mut self, spec: &RunHistorySpec) {
        for entry in &spec.records {
            let now = (entry.record.clone(), entry.signature.clone());
            let found = Digest::of(entry.record.as_bytes()).to_string();
            if found != entry.digest {
                self.wrong.push(format!("record {} says digest {}, its text has {found}", entry.seq, entry.digest));
            }
            if self.records.get(&entry.seq).is_some_and(|old| *old != now) {
                self.wrong.push(format!("record {} was one thing and is another now", entry.seq));
            }
            self.records.insert(entry.seq, now);
        }
        let newest = self.records.keys().next_back().copied().unwrap_or_default();
        if spec.head.seq < newest {
            self.wrong.push(format!("the head is record {}, and record {newest} was seen before", spec.head.seq));
        }
    }

    /// Takes note of a gang as it stands.
    pub fn see_gang(&mut self, gang: &str, status: &GangStatus) {
        let attempt = status.attempt;
        self.gang = status.clone();
        let highest = self.attempts.entry(gang.to_owned()).or_default();
        if attempt < *highest {
            self.wrong.push(format!("gang {gang} had attempt {highest} and has {attempt} now"));
        }
        *highest = attempt.max(*highest);
    }

    /// Its gang as it was seen last; an empty one before there was any.
    pub fn gang(&self) -> &GangStatus {
        &self.gang
    }

    /// Rounds committed in the newest commit that was seen; 0 before one was.
    pub fn round(&self) -> u64 {
        self.records.values().rev().find_map(|(text, _)| round_of(text)).unwrap_or_default()
    }

    /// Adds everything up; an error if something must not be.
    pub fn account(&self) -> Result<Account> {
        ensure!(self.wrong.is_empty(), "{}", self.wrong.join("; "));
        let records = self.chain()?;
        let Some(view) = View::replay(&records).context("the records do not follow from each other")? else {
            bail!("no record was ever seen")
        };
        let mut used = IntervalSet::default();
        let mut account = Account { records: records.len() as u64, ..Account::default() };
        for signed in &records {
            let seq = signed.record.seq;
            for lease in uses(&signed.record.body) {
                let again = used.intersection(&lease.used);
                ensure!(again.is_empty(), "record {seq:?} uses positions {again:?} that an earlier one used");
                used = used.union(&lease.used);
            }
            match &signed.record.body {
                Body::Outer(outer) => (account.tokens, account.rounds) = (outer.tokens, account.rounds + 1),
                Body::Step(step) => (account.tokens, account.rounds) = (step.tokens, account.rounds + 1),
                Body::Rewind(_) => bail!("record {seq:?} is a rewind: positions cannot be added up without it"),
                _ => {}
            }
        }
        let counted = used.len() * view.genesis().sequence_length;
        ensure!(counted == account.tokens, "positions used make {counted} tokens, the commits say {}", account.tokens);
        account.ended = view.ended().is_some();
        Ok(account)
    }

    fn chain(&self) -> Result<Vec<SignedRecord>> {
        let mut out = Vec::new();
        for (at, (seq, (text, signature))) in (0_i64..).zip(&self.records) {
            ensure!(*seq == at, "record {at} was never seen, record {seq} was");
            let record = serde_json::from_str(text).with_context(|| format!("record {seq} is none"))?;
            out.push(SignedRecord { record, signature: signature.clone() });
        }
        Ok(out)
    }
}

fn uses(body: &Body) -> Vec<&LeaseUse> {
    match body {
        Body::Outer(outer) => outer.included.iter().flat_map(|included| &included.used).collect(),
        Body::Step(step) => step.used.iter().collect(),
        _ => Vec::new(),
    }
}

fn round_of(text: &str) -> Option<u64> {
    let record: coalition_protocol::record::Record = serde_json::from_str(text).ok()?;
    match record.body {
        Body::Outer(outer) => Some(outer.round.0),
        Body::Step(step) => Some(step.round.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coalition_crds::run_history::{HistoryHead, HistoryRecord, RecordKind};

    fn history(texts: &[&str], head: i64) -> RunHistorySpec {
        let digest = |text: &str| Digest::of(text.as_bytes()).to_string();
        let records = (0_i64..).zip(texts).map(|(seq, text)| HistoryRecord {
            seq,
            epoch: 1,
            kind: RecordKind::Plan,
            parent: digest(""),
            digest: digest(text),
            record: (*text).to_owned(),
            signature: String::new(),
        });
        let head = HistoryHead { epoch: 1, seq: head, digest: digest("") };
        RunHistorySpec { run_id: "run".to_owned(), head, mirrored_seq: 0, fold: None, records: records.collect() }
    }

    fn wrong(books: &Books) -> String {
        books.account().unwrap_err().to_string()
    }

    #[test]
    fn a_record_that_changes_and_a_head_that_falls_are_found() {
        let mut books = Books::default();
        books.see_history(&history(&["a", "b"], 1));
        books.see_history(&history(&["a", "c"], 1));
        assert!(wrong(&books).contains("record 1 was one thing"), "{books:?}");
        let mut books = Books::default();
        books.see_history(&history(&["a", "b"], 1));
        books.see_history(&history(&["a"], 0));
        assert!(wrong(&books).contains("the head is record 0"), "{books:?}");
    }

    #[test]
    fn an_attempt_that_falls_is_found() {
        let mut books = Books::default();
        for attempt in [1, 2, 2] {
            books.see_gang("g", &GangStatus { attempt, ..GangStatus::default() });
        }
        assert_eq!(wrong(&books), "no record was ever seen");
        books.see_gang("g", &GangStatus { attempt: 1, ..GangStatus::default() });
        assert!(wrong(&books).contains("gang g had attempt 2 and has 1 now"), "{books:?}");
    }
}
