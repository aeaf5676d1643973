//! Site → hub: the report with its parts, the gang and its live numbers. Must not know what the hub makes of it.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Evaluation, Offer, StateReport, StepOffer, StoredCheckpoint};
use crate::history::Head;
use crate::keys::ContributionKey;
use crate::sign::SignedRecord;
use crate::{Attempt, Digest, Epoch, Incarnation, Real, Round, RunId, Seq, SiteId};

/// How a site resumed (D22, D23).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Resume {
    /// From the initial state.
    Fresh,
    /// Site checkpoint, same class: same bits.
    Exact,
    /// Site checkpoint, another class: same samples, same curve.
    Reshard,
    /// Outer state, with the moments that [`Moments`] names.
    Outer,
}

/// Which moments a gang trains on (D23). A donor's are none of them yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Moments {
    /// The site's own.
    Own,
    /// Zero ones, with Adam count 0: as at the beginning of a run, or after a rejoin, and then with a warm-up.
    Zero,
}

/// Live numbers of a gang. Views, never truth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Progress {
    /// Inner steps done by this site in the whole run.
    pub step: u64,
    /// The round being worked on.
    pub round: Round,
    /// Inner step within the round.
    pub inner_step: u64,
    /// Inner steps of the round.
    pub inner_steps: u64,
    /// Training loss of the newest step, nats a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Real>,
    /// Tokens a second while training, over the steps of this round and the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<Real>,
    /// Held-out bits per byte, with the commit it was measured at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Evaluation>,
    /// What it waits for, in words; empty while training.
    #[serde(default)]
    pub waiting_for: String,
    /// Steps skipped because loss or gradient was not finite.
    #[serde(default)]
    pub non_finite: u64,
    /// How it resumed when this attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Resume>,
    /// The moments it had then, or has since a commit that found them too old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moments: Option<Moments>,
}

/// A gang as its site sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GangReport {
    /// The newest attempt.
    pub attempt: Attempt,
    /// Workers that joined it.
    pub workers_ready: u32,
    /// Workers it needs.
    pub workers: u32,
    /// Processes restarted in place, over all attempts.
    pub process_restarts: u64,
    /// The newest failure, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
    /// Failures a rule charges to the user's budget, each with a number that only rises, newest last, at most 32.
    #[serde(default)]
    pub failures: Vec<Failure>,
    /// True once every worker left after saving.
    #[serde(default)]
    pub stopped: bool,
    /// Seconds since the worker that has been still longest did anything, by its site's own clock; 0 as long as nobody has to
    /// wonder. Rises in steps, so that a still gang does not make a new report a second.
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

/// A worker that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Failure {
    /// Rises with every failure at this site.
    pub number: u64,
    /// Which worker.
    pub worker: u32,
    /// Exit code; 128 + signal when killed.
    pub exit_code: i32,
    /// The last log lines, at most 8 KiB.
    pub log: String,
}

/// What a site answers. One durable object for each (run, site).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteReport {
    /// The run.
    pub run: RunId,
    /// The site.
    pub site: SiteId,
    /// Rises with every report; an older one never replaces a newer.
    pub counter: u64,
    /// Echo of [`super::SiteRun::nonce`].
    pub nonce: String,
    /// Fence.
    pub epoch: Epoch,
    /// Fence.
    pub incarnation: Incarnation,
    /// The incarnation whose opening entry this site once wrote (D8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<Incarnation>,
    /// True if that entry is no longer in the store.
    #[serde(default)]
    pub store_lost: bool,
    /// The newest record this site has applied (its trainer has the state that follows from it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    /// Where others reach its courier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The state it computed for the newest commit it applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateReport>,
    /// Its offers for open plans.
    #[serde(default)]
    pub offers: Vec<Offer>,
    /// What it holds of open plans and of commits not yet applied, own ones included: (key, digest), durable in its store.
    #[serde(default)]
    pub holds: Vec<(ContributionKey, Digest)>,
    /// A finished round of a one-member plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepOffer>,
    /// Run checkpoints in its store.
    #[serde(default)]
    pub checkpoints: Vec<StoredCheckpoint>,
    /// Records up to this one are mirrored in its store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirrored: Option<Seq>,
    /// Signed records that this store mirrors after the newest one the hub shows, in order, as many as fit in a page (D7):
    /// the hub lost them. Empty as long as it did not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<SignedRecord>,
    /// The gang.
    pub gang: GangReport,
    /// Live numbers.
    pub progress: Progress,
    /// What the site cannot or will not do: (reason, message).
    #[serde(default)]
    pub refusals: BTreeMap<String, String>,
}
