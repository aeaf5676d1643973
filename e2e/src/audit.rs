//! What must hold of a history whatever died on the way, computed from the records and the data alone: a second, plainer fold
//! than the one the hub uses, so that a mistake in that one does not hide itself.

use anyhow::{Context, Result, bail, ensure};
use coalition_data::Samples;
use coalition_protocol::bits::BatchHash;
use coalition_protocol::record::{Body, LeaseUse};
use coalition_protocol::sign::SignedRecord;
use coalition_protocol::{Digest, IntervalSet};
use std::collections::BTreeMap;

/// What a history says was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Positions used, each once.
    pub used: IntervalSet,
    /// Tokens committed.
    pub tokens: u64,
    /// Rounds committed.
    pub commits: u64,
    /// The newest agreed state: for which record, and its digest.
    pub state: Option<(u64, Digest)>,
    /// Whether an end record stands.
    pub ended: bool,
}

/// One included piece of work: where it stands, what it used, and the hash its site reported.
struct Work<'a> {
    seq: u64,
    uses: &'a [LeaseUse],
    hash: BatchHash,
    /// Tokens it states, where it states any.
    tokens: Option<u64>,
}

fn work(records: &[SignedRecord]) -> Vec<Work<'_>> {
    let mut all = Vec::new();
    for signed in records {
        let seq = signed.record.seq.0;
        match &signed.record.body {
            Body::Outer(outer) => all.extend(outer.included.iter().map(|included| Work {
                seq,
                uses: &included.used,
                hash: included.batch_hash,
                tokens: Some(included.tokens),
            })),
            Body::Step(step) => all.push(Work { seq, uses: &step.used, hash: step.batch_hash, tokens: None }),
            _ => {}
        }
    }
    all
}

/// Checks that every position is used at most once, that used tokens add up to T (D25), and that no state has two digests.
pub fn account(records: &[SignedRecord]) -> Result<Account> {
    let Some(first) = records.first() else { bail!("there is no record") };
    let Body::Genesis(genesis) = &first.record.body else { bail!("the first record is not genesis") };
    let mut used = IntervalSet::default();
    for work in work(records) {
        let mut own = 0;
        for lease in work.uses {
            let again = used.intersection(&lease.used);
            ensure!(again.is_empty(), "record {} uses positions {again:?} that an earlier one used", work.seq);
            used = used.union(&lease.used);
            own += lease.used.len() * genesis.sequence_length;
        }
        if let Some(stated) = work.tokens {
            ensure!(stated == own, "record {}: {stated} tokens stated, {own} used", work.seq);
        }
    }
    let mut account = Account { used, tokens: 0, commits: 0, state: None, ended: false };
    let mut states: BTreeMap<u64, Digest> = BTreeMap::new();
    for (at, signed) in records.iter().enumerate() {
        let record = &signed.record;
        ensure!(record.seq.0 == at as u64, "record {} stands at place {at}", record.seq.0);
        match &record.body {
            Body::Outer(outer) => (account.tokens, account.commits) = (outer.tokens, account.commits + 1),
            Body::Step(step) => {
                (account.tokens, account.commits) = (step.tokens, account.commits + 1);
                account.state = Some((record.seq.0, step.state));
            }
            Body::State(state) => {
                let other = states.insert(state.of.0, state.digest);
                ensure!(other.is_none_or(|o| o == state.digest), "record {} has two state digests", state.of.0);
                account.state = Some((state.of.0, state.digest));
            }
            Body::End(end) => {
                ensure!(end.tokens == account.tokens, "end says {} tokens, the commits {}", end.tokens, account.tokens);
                account.ended = true;
            }
            _ => {}
        }
    }
    let counted = account.used.len() * genesis.sequence_length;
    ensure!(counted == account.tokens, "positions used make {counted} tokens, the commits say {}", account.tokens);
    Ok(account)
}

/// Recomputes the batch hash of every included piece of work from the data (D26) and returns how many agree: all of them,
/// or an error that names the record.
pub fn batch_hashes(records: &[SignedRecord], samples: &Samples) -> Result<usize> {
    let all = work(records);
    for work in &all {
        let mut sum = BatchHash::default();
        for lease in work.uses {
            let part = samples
                .batch_hash(&lease.used)
                .with_context(|| format!("record {}: its positions cannot be read from the data", work.seq))?;
            sum = sum.plus(part);
        }
        ensure!(
            sum == work.hash,
            "record {}: what was fed is not what the data says: {} reported, {sum} recomputed",
            work.seq,
            work.hash
        );
    }
    Ok(all.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use coalition_protocol::keys::ContributionKey;
    use coalition_protocol::record::{Genesis, Included, Outer, Record, VERSION};
    use coalition_protocol::{Epoch, Incarnation, Real, Round, RunId, Seq, SiteId};

    fn signed(seq: u64, body: Body) -> SignedRecord {
        let run: RunId = "small".parse().unwrap();
        let record = Record { version: VERSION, run, epoch: Epoch(1), seq: Seq(seq), parent: Digest::ZERO, body };
        // Signatures are the view's business; this fold looks at what records say.
        SignedRecord { record, signature: String::new() }
    }

    fn genesis() -> SignedRecord {
        let real = |x: f64| Real::new(x).unwrap();
        signed(
            0,
            Body::Genesis(Genesis {
                hub_key: String::new(),
                hub_generation: 1,
                spec: Digest::ZERO,
                data: Digest::ZERO,
                samples_per_pass: 100,
                sequence_length: 10,
                batch_tokens: 10,
                inner_steps: 1,
                budget: 100,
                seed: 1,
                elements: 4096,
                fragments: 1,
                outer_lr: real(0.7),
                outer_momentum: real(0.9),
                members: Vec::new(),
                origin: None,
            }),
        )
    }

    fn commit(seq: u64, from: u64, to: u64, stated: u64, total: u64) -> SignedRecord {
        let site: SiteId = "north".parse().unwrap();
        let key = ContributionKey {
            site,
            epoch: Epoch(1),
            incarnation: Incarnation(1),
            plan: Seq(1),
            fragment: 0,
            entry: seq,
        };
        let used = vec![LeaseUse { plan: Seq(1), used: IntervalSet::span(from, to) }];
        let included = Included {
            key,
            digest: Digest::ZERO,
            tokens: stated,
            used,
            batch_hash: BatchHash::default(),
            norm: Real::new(1.0).unwrap(),
        };
        signed(
            seq,
            Body::Outer(Outer {
                plan: Seq(1),
                round: Round(1),
                fragment: 0,
                included: vec![included],
                holders: Vec::new(),
                left_out: Vec::new(),
                tokens: total,
            }),
        )
    }

    #[test]
    fn tokens_and_positions_add_up() {
        let account = account(&[genesis(), commit(1, 0, 3, 30, 30), commit(2, 3, 5, 20, 50)]).unwrap();
        assert_eq!((account.tokens, account.commits, account.used.len()), (50, 2, 5));
    }

    #[test]
    fn a_position_used_twice_is_found() {
        let text = account(&[genesis(), commit(1, 0, 3, 30, 30), commit(2, 2, 5, 30, 60)]).unwrap_err().to_string();
        assert!(text.contains("record 2") && text.contains("earlier"), "{text}");
    }

    #[test]
    fn tokens_that_were_not_used_are_found() {
        assert!(account(&[genesis(), commit(1, 0, 3, 40, 40)]).is_err(), "the contribution states too many");
        assert!(account(&[genesis(), commit(1, 0, 3, 30, 40)]).is_err(), "the commit states too many");
        assert!(account(&[genesis(), commit(2, 0, 3, 30, 30)]).is_err(), "a record is missing");
    }
}
