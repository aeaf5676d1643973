//! Site → hub: the report with its parts, the gang and its live numbers. Must not know what the hub makes of it.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use super::bounds;
use super::{Evaluation, Offer, StateReport, StepOffer, StoredCheckpoint};
use crate::history::Head;
use crate::keys::ContributionKey;
use crate::sign::SignedRecord;
use crate::{Attempt, Digest, Epoch, Incarnation, Real, Round, RunId, Seq, SiteId};

/// Says how a site resumed (D22, D23).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Resume {
    /// From the initial state.
    Fresh,
    /// Site checkpoint, same class: same bits.
    Exact,
    /// Site checkpoint, another class: same samples, same curve.
    Reshard,
    /// Outer state, with the moments that are named beside it.
    Outer,
}

/// Says which moments a gang trains on (D23). A donor's are none of them yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Moments {
    /// The site's own.
    Own,
    /// Zero ones, with Adam count 0: as at the beginning of a run, or after a rejoin, and then with a warm-up.
    Zero,
}

/// Tells live numbers of a gang. Views, never truth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Progress {
    /// Counts inner steps done by this site in the whole run.
    pub step: u64,
    /// Gives the round being worked on.
    pub round: Round,
    /// Gives the inner step within the round.
    pub inner_step: u64,
    /// Counts the inner steps of the round.
    pub inner_steps: u64,
    /// Tells the training loss of the newest step in nats a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Real>,
    /// Tells the tokens a second while training, over the steps of this round and the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<Real>,
    /// Tells the newest measurement on held-out text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Evaluation>,
    /// Tells what it waits for, in words; empty while training.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = bounds::WORDS)))]
    pub waiting_for: String,
    /// Counts steps skipped because loss or gradient was not finite.
    #[serde(default)]
    pub non_finite: u64,
    /// Tells how it resumed when this attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Resume>,
    /// Tells the moments it had then, or has since a commit that found them too old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moments: Option<Moments>,
}

/// Describes a gang as its site sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GangReport {
    /// Counts how often the gang has formed.
    pub attempt: Attempt,
    /// Counts the workers that joined the newest attempt.
    pub workers_ready: u32,
    /// Counts the workers it needs.
    pub workers: u32,
    /// Counts processes restarted in place, over all attempts.
    pub process_restarts: u64,
    /// Describes the newest failure, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
    /// Lists the newest failures, each with a number that only rises, newest last.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = bounds::FAILURES)))]
    pub failures: Vec<Failure>,
    /// Says that every worker left after saving.
    #[serde(default)]
    pub stopped: bool,
    /// Counts the seconds since the stillest worker did anything, by its site's clock; 0 as long as nobody has to wonder.
    // Rises in steps, so that a still gang does not make a new report a second.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub still_seconds: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // The shape that serde asks for.
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// The reason among [`SiteReport::refusals`] of a site whose own store does not take what must be written: it can neither
/// offer nor hold.
pub const STORE_FAILED: &str = "StoreFailed";

/// Describes a worker that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Failure {
    /// Counts the failures at this site up to this one.
    pub number: u64,
    /// Names the worker, by its index from 0.
    pub worker: u32,
    /// Gives the exit code; 128 + signal when killed.
    pub exit_code: i32,
    /// Holds its last log lines, at most 8 KiB.
    #[cfg_attr(feature = "schema", schemars(length(max = bounds::LOG)))]
    pub log: String,
}

/// Names a contribution that a site holds: fetched, verified, durable in its own store (D13).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Held {
    /// Names the contribution.
    pub key: ContributionKey,
    /// Gives the digest of its manifest, as verified.
    pub digest: Digest,
}

/// What a site answers. One durable object for each (run, site).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteReport {
    /// Names the run.
    pub run: RunId,
    /// Names the site that answers.
    pub site: SiteId,
    /// Counts the site's reports: an older one never replaces a newer.
    pub counter: u64,
    /// Repeats the nonce of the leader that asked; empty before one did.
    #[cfg_attr(feature = "schema", schemars(length(max = bounds::NONCE)))]
    pub nonce: String,
    /// Gives the epoch of the fence.
    pub epoch: Epoch,
    /// Gives the incarnation of the fence.
    pub incarnation: Incarnation,
    /// Gives the incarnation whose opening entry this site once wrote (D8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<Incarnation>,
    /// Says that this entry is no longer in the store.
    #[serde(default)]
    pub store_lost: bool,
    /// Names the newest record this site has applied: its trainer has the state that follows from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    /// Gives the address where others reach its courier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = bounds::ENDPOINT), regex(pattern = bounds::ADDRESS)))]
    pub endpoint: Option<String>,
    /// Describes the state it computed for the newest commit it applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateReport>,
    /// Lists its offers for open plans.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = bounds::OWN_OFFERS)))]
    pub offers: Vec<Offer>,
    /// Lists what it holds durably of open plans and of commits not yet applied, own ones included.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = bounds::CONTRIBUTIONS)))]
    pub holds: Vec<Held>,
    /// Describes a finished round of a plan with one member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepOffer>,
    /// Lists the run checkpoints in its store.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = bounds::CHECKPOINTS)))]
    pub checkpoints: Vec<StoredCheckpoint>,
    /// Tells that records up to this one are mirrored in its store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirrored: Option<Seq>,
    /// Holds a page of signed records that this store mirrors after the newest one the hub shows (D7), in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = bounds::RECORDS)))]
    pub records: Vec<SignedRecord>,
    /// Describes the gang.
    pub gang: GangReport,
    /// Tells live numbers.
    pub progress: Progress,
    /// Tells what the site cannot or will not do, in words by reason.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::words"))]
    pub refusals: BTreeMap<String, String>,
}
