//! Trainer and supervisor ↔ their site's gateway: forming a gang, the view a trainer acts on, its reports, the permit. Must
//! not know what the hub or another site says.
use serde::{Deserialize, Serialize};

use super::{Offer, Progress, SiteRun, StateReport, StepOffer, StoredCheckpoint};
use crate::history::Head;
use crate::keys::ContributionKey;
use crate::sign::SignedRecord;
use crate::{Attempt, Digest, Epoch, Incarnation};

/// Worker → gateway: I am here, form the gang.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JoinRequest {
    /// Which worker.
    pub worker: u32,
    /// Fresh for every process: a second join of the same process is the same join.
    pub process: String,
    /// Where its collective listens, `HOST:PORT`.
    pub listen: String,
    /// Digest of build, instruction set, threads, mesh, precision (D1).
    pub class: Digest,
    /// The attempt this process was part of and saw fail; it asks for a newer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Attempt>,
}

/// Gateway → worker: the gang, once all have joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JoinReply {
    /// The attempt just formed.
    pub attempt: Attempt,
    /// Listening addresses by worker index; the index is the rank (one rank a worker on CPU).
    pub peers: Vec<String>,
    /// Secret of this attempt's collective, 64 hexadecimal characters.
    pub token: String,
}

/// Gateway → worker: everything a trainer acts on. `GET /v1/view?after=SEQ&version=N` waits until something is newer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ViewReply {
    /// Rises with every change of this view, within one life of the gateway (`gateway` names the life).
    pub version: u64,
    /// Names the life of the gateway.
    pub gateway: String,
    /// What the hub asks.
    pub site_run: SiteRun,
    /// Records after the one asked for, in order.
    pub records: Vec<SignedRecord>,
    /// What the site's store holds of contributions, own ones included.
    pub held: Vec<ContributionKey>,
    /// The attempt in force: a worker of a lower one leaves.
    pub attempt: Attempt,
    /// True if the site found its store lost: do nothing.
    pub store_lost: bool,
}

/// Rank 0 → gateway: the trainer's part of the site's report. Answered once it is durable there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrainerReport {
    /// Fence.
    pub epoch: Epoch,
    /// Fence.
    pub incarnation: Incarnation,
    /// Fence.
    pub attempt: Attempt,
    /// Rises within an attempt; the idempotency key with it.
    pub counter: u64,
    /// The newest record applied.
    pub head: Head,
    /// The state computed for the newest commit applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateReport>,
    /// Offers for open plans.
    #[serde(default)]
    pub offers: Vec<Offer>,
    /// A finished round of a one-member plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepOffer>,
    /// Run checkpoints that stand in the store.
    #[serde(default)]
    pub checkpoints: Vec<StoredCheckpoint>,
    /// Live numbers.
    pub progress: Progress,
    /// True once a site checkpoint was saved because `Suspend` was asked.
    #[serde(default)]
    pub saved: bool,
}

/// Supervisor → gateway: a worker process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExitReport {
    /// Which worker.
    pub worker: u32,
    /// The process, as it joined.
    pub process: String,
    /// Exit code; 128 + signal when killed.
    pub exit_code: i32,
    /// The last log lines, at most 8 KiB.
    pub log: String,
}

/// Supervisor → gateway: the worker's process lives; renew its permit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PermitRequest {
    /// Which worker.
    pub worker: u32,
    /// Its process, as it joined.
    pub process: String,
    /// For how long its main loop has not turned, milliseconds: a process may live and do nothing (stopped, or behind a disk
    /// that does not answer).
    #[serde(default)]
    pub still_millis: u64,
}

/// Gateway → supervisor: what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Orders {
    /// Start the process again.
    Restart,
    /// Leave: the run is over, suspended, or this worker is no longer wanted.
    Leave,
}

/// Gateway → supervisor: the run permit (design: a duration counted from the send time of the renewal).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Permit {
    /// How long the process may run without a renewal, milliseconds; absent means without limit (`Continue`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub millis: Option<u64>,
    /// What the supervisor shall do.
    pub orders: Orders,
}

/// Body of every error answer of the gateway and the courier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ErrorReply {
    /// A name from a closed list: `StaleFence`, `NotFound`, `TooLarge`, `BadRequest`, `Unavailable`, `Unauthorized`, `RunOver`.
    pub reason: String,
    /// For people: what happened, to what, what to do.
    pub message: String,
}
