//! What a run has learnt, in one object: bits per byte before and after, counting models on the same bytes, and where the
//! checkpoint lies. Reads a run's folder from outside, as a person would.

use crate::rundir::RunDir;
use crate::{audit, yardstick};
use anyhow::{Context, Result};
use coalition_data::Samples;
use coalition_protocol::messages::Evaluation;
use coalition_protocol::{Seq, keys};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;

/// Held-out windows the trainer measures, so that both are judged on the same text.
pub const WINDOWS: usize = 64;

/// What was learnt.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Learnt {
    /// The run.
    pub run: String,
    /// Bits per byte of the initial parameters on held-out text.
    pub before: f64,
    /// Bits per byte of the newest ones that were measured.
    pub after: f64,
    /// The record whose state `after` was measured on.
    pub after_seq: u64,
    /// Bytes that committed work was fed, and the counting models fitted on them.
    pub counted: yardstick::Yardstick,
    /// A site that holds the newest run checkpoint.
    pub site: String,
    /// That site's store.
    pub store: PathBuf,
    /// The checkpoint's folder.
    pub checkpoint: PathBuf,
}

/// The part of the runner's status that is read here.
#[derive(Deserialize)]
struct StatusFile {
    evaluations: Vec<Evaluation>,
}

/// Reads `run`, whose samples are `samples`.
pub fn read(run: &RunDir, samples: &Samples) -> Result<Learnt> {
    let view = run.view()?;
    let account = audit::account(&run.records()?)?;
    let path = run.path().join("hub/status.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let status: StatusFile =
        serde_json::from_str(&text).with_context(|| format!("{} is not a status", path.display()))?;
    let (Some(first), Some(last)) = (status.evaluations.first(), status.evaluations.last()) else {
        anyhow::bail!("{} holds no measurement on held-out text yet", path.display());
    };
    let (site, seq) = newest_checkpoint(run)?;
    let store = run.store(&site);
    Ok(Learnt {
        run: view.run().to_string(),
        before: first.bits_per_byte.get(),
        after: last.bits_per_byte.get(),
        after_seq: last.of.0,
        counted: yardstick::measure(samples, &account.used, WINDOWS)?,
        checkpoint: store.join(keys::checkpoint(view.run(), seq)),
        site,
        store,
    })
}

/// The site that reported the newest run checkpoint, and its record.
fn newest_checkpoint(run: &RunDir) -> Result<(String, Seq)> {
    let mut newest: Option<(Seq, String)> = None;
    for site in run.sites()? {
        let Some(report) = run.report(&site)? else { continue };
        if let Some(seq) = report.checkpoints.iter().map(|c| c.seq).max()
            && newest.as_ref().is_none_or(|(best, _)| seq > *best)
        {
            newest = Some((seq, site));
        }
    }
    let (seq, site) =
        newest.with_context(|| format!("no site of {} holds a run checkpoint yet", run.path().display()))?;
    Ok((site, seq))
}
