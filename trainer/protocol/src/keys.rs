//! Names of objects in a site's store. All are create-only; none is ever overwritten.
//!
//! ```text
//! runs/RUN/open/INC.json                                    opening entry of an incarnation (D8)
//! runs/RUN/log/EPOCH.INC/NNNNNNNN.json                      commit log of an incarnation (D19)
//! runs/RUN/site/EPOCH.INC/NNNNNNNN/...                      data of the site checkpoint that entry N names
//! runs/RUN/contributions/SITE/EPOCH.INC/PLAN.P.ENTRY/...    contributions, own and held (D12, D13)
//! runs/RUN/checkpoints/SEQ/...                              run checkpoints (D20)
//! runs/RUN/history/SEQ.json                                 mirrored records (D6)
//! ```
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Epoch, Incarnation, RunId, Seq, SiteId};

/// Names a contribution: never two different ones under one name (D12).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContributionKey {
    /// Names the site that made it.
    pub site: SiteId,
    /// Gives the epoch it was made under.
    pub epoch: Epoch,
    /// Gives the incarnation it was made under.
    pub incarnation: Incarnation,
    /// Names the plan it is for, by its record.
    pub plan: Seq,
    /// Names the fragment of the parameters it is of.
    pub fragment: u32,
    /// Names the site checkpoint at its snapshot, by its index in the incarnation's log.
    pub entry: u64,
}

impl fmt::Display for ContributionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}.{}/{:08}.{}.{:08}",
            self.site, self.epoch, self.incarnation, self.plan.0, self.fragment, self.entry
        )
    }
}

/// Folder of everything of a run.
pub fn run(run: &RunId) -> String {
    format!("runs/{run}")
}
/// The opening entry of an incarnation.
pub fn opening(r: &RunId, inc: Incarnation) -> String {
    format!("runs/{r}/open/{inc}.json")
}
/// Folder of an incarnation's commit log.
pub fn log(r: &RunId, epoch: Epoch, inc: Incarnation) -> String {
    format!("runs/{r}/log/{epoch}.{inc}")
}
/// Entry `n` of an incarnation's commit log.
pub fn log_entry(r: &RunId, epoch: Epoch, inc: Incarnation, n: u64) -> String {
    format!("runs/{r}/log/{epoch}.{inc}/{n:08}.json")
}
/// Folder of all site checkpoints of an incarnation.
pub fn site_checkpoints(r: &RunId, epoch: Epoch, inc: Incarnation) -> String {
    format!("runs/{r}/site/{epoch}.{inc}")
}
/// Folder of the site checkpoint meant for log entry `n`.
pub fn site_checkpoint(r: &RunId, epoch: Epoch, inc: Incarnation, n: u64) -> String {
    format!("runs/{r}/site/{epoch}.{inc}/{n:08}")
}
/// Folder of all contributions.
pub fn contributions(r: &RunId) -> String {
    format!("runs/{r}/contributions")
}
/// Folder of one contribution.
pub fn contribution(r: &RunId, key: &ContributionKey) -> String {
    format!("runs/{r}/contributions/{key}")
}
/// Folder of all run checkpoints.
pub fn checkpoints(r: &RunId) -> String {
    format!("runs/{r}/checkpoints")
}
/// Folder of the run checkpoint of record `seq`.
pub fn checkpoint(r: &RunId, seq: Seq) -> String {
    format!("runs/{r}/checkpoints/{:08}", seq.0)
}
/// A mirrored record.
pub fn record(r: &RunId, seq: Seq) -> String {
    format!("runs/{r}/history/{:08}.json", seq.0)
}
/// Name of the file, in a folder above, that is written last and makes it exist.
pub const MANIFEST: &str = "manifest.json";
/// Name of a contribution's data.
pub const CONTRIBUTION_DATA: &str = "data.bin";
