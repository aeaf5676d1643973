//! What must hold of every finished run, whatever happened to it: checked from its history, its data and its stores alone.
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use coalition_data::{Dataset, Samples, Verify};
use coalition_protocol::Digest;
use coalition_protocol::record::Outcome;

use crate::audit;
use crate::rundir::RunDir;

/// A run that ended as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// T.
    pub tokens: u64,
    /// D(O) at the end.
    pub state: Digest,
    /// Committed rounds.
    pub rounds: u64,
    /// Commits whose state two sites reported alike.
    pub confirmed_by_two: usize,
}

/// Audits a run that must have ended complete: legal chain, D25, D26, an agreed final state.
pub fn complete(dir: &Path, data: &Path) -> Result<Verdict> {
    let run = RunDir::new(dir);
    let view = run.view()?;
    let end = view.ended().context("the run has no end record")?;
    ensure!(end.outcome == Outcome::Complete, "the run ended {:?}: {}", end.outcome, end.message);
    let state = end.state.context("the end names no state")?;
    ensure!(view.ledger().is_partition(), "free, leased and used positions do not partition what was handed out");

    let records = run.records()?;
    let account = audit::account(&records)?;
    ensure!(account.tokens == view.tokens(), "the audit counts {} tokens, the view {}", account.tokens, view.tokens());
    let genesis = view.genesis();
    let dataset = Arc::new(Dataset::open(data, Verify::All)?);
    let samples = Samples::new(dataset, usize::try_from(genesis.sequence_length)?, genesis.seed)?;
    audit::batch_hashes(&records, &samples)?;

    let confirmed_by_two = view
        .commits()
        .filter(|(seq, ..)| view.state(*seq).is_some_and(|(_, confirmers)| confirmers.len() >= 2))
        .count();
    Ok(Verdict { tokens: view.tokens(), state, rounds: view.last_round().0, confirmed_by_two })
}
