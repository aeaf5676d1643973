//! Messages between hub, site and trainer. All are level-triggered: the newest one says all, older ones never replace it.
//!
//! Hub → site: [`SiteRun`]. Site → hub: [`SiteReport`]. Trainer ↔ its site's gateway: the rest.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bits::BatchHash;
use crate::history::Head;
use crate::keys::ContributionKey;
use crate::record::LeaseUse;
use crate::sign::SignedRecord;
use crate::{Attempt, Digest, Epoch, Incarnation, Real, Round, RunId, Seq, SiteId};

/// What a site shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Desired {
    /// Train.
    Run,
    /// Save a site checkpoint, then stop the gang and keep the incarnation.
    Suspend,
    /// Stop the gang; the incarnation is retired or the run is over.
    Stop,
}

/// Where another member's courier is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Peer {
    /// The member.
    pub site: SiteId,
    /// Base address of its courier, `http://127.0.0.1:PORT` between pretended sites.
    pub endpoint: String,
}

/// What the hub asks of a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteRun {
    /// The run.
    pub run: RunId,
    /// The site.
    pub site: SiteId,
    /// Fence, with `incarnation` (D8). The attempt is the site's own.
    pub epoch: Epoch,
    /// Fence.
    pub incarnation: Incarnation,
    /// Fresh at each hub leader; reports without it are unknown (D7).
    pub nonce: String,
    /// What to do.
    pub desired: Desired,
    /// The head the hub knows.
    pub head: Head,
    /// The resolved run, as `coalition_spec::RunSpec` reads it.
    pub spec: serde_json::Value,
    /// Other members' couriers.
    pub peers: Vec<Peer>,
    /// Every valid offer for the open plans that the hub has heard, with who holds it: what couriers fetch.
    pub offers: Vec<OfferNotice>,
    /// State reports that differ from each other (D17); empty when all agree.
    #[serde(default)]
    pub disagreement: Vec<(SiteId, StateReport)>,
    /// Run checkpoints to keep; others may go (D28).
    #[serde(default)]
    pub keep: Vec<Seq>,
    /// Commits for which a run checkpoint is wanted.
    #[serde(default)]
    pub save: Vec<Seq>,
    /// Features the site must know; it refuses by name what it does not.
    #[serde(default)]
    pub requires: Vec<String>,
}

/// An offer and its holders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OfferNotice {
    /// The offer.
    pub offer: Offer,
    /// Members that hold it, the one that offers it included.
    pub holders: Vec<SiteId>,
}

/// A contribution that is complete in its maker's store (D12, D13).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Offer {
    /// Its name.
    pub key: ContributionKey,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Bytes of its data.
    pub bytes: u64,
    /// Tokens it stands for.
    pub tokens: u64,
    /// Positions used, by plan.
    pub used: Vec<LeaseUse>,
    /// D26 over those positions.
    pub batch_hash: BatchHash,
    /// ‖Δ‖.
    pub norm: Real,
}

/// A round finished by the one member of its plan (D30).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepOffer {
    /// The plan.
    pub plan: Seq,
    /// Digest of the manifest of the site checkpoint whose x becomes θ.
    pub checkpoint: Digest,
    /// Its log entry.
    pub entry: u64,
    /// D(O) after the step.
    pub state: Digest,
    /// Tokens used.
    pub tokens: u64,
    /// Positions used, by plan.
    pub used: Vec<LeaseUse>,
    /// D26 over those positions.
    pub batch_hash: BatchHash,
}

/// The outer state a site computed for a commit (D17).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StateReport {
    /// The commit.
    pub of: Seq,
    /// D(O).
    pub digest: Digest,
    /// Digests of the chunks of θ, then of u (D3).
    pub chunks: Vec<Digest>,
    /// True once this site has recomputed the chunks that differ from another's and got its own value again.
    #[serde(default)]
    pub reproduced: bool,
}

/// A run checkpoint that stands complete and verified in the site's store (D20, D21).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoredCheckpoint {
    /// The commit whose state it is.
    pub seq: Seq,
    /// D(O) as verified.
    pub state: Digest,
    /// Bytes it takes.
    pub bytes: u64,
}

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
    /// Tokens a second while training, over the newest steps.
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

/// A measurement on held-out text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Evaluation {
    /// The commit whose θ was measured.
    pub of: Seq,
    /// Nats a token.
    pub loss: Real,
    /// Bits a byte.
    pub bits_per_byte: Real,
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
}

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
    /// Echo of [`SiteRun::nonce`].
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
    /// The gang.
    pub gang: GangReport,
    /// Live numbers.
    pub progress: Progress,
    /// What the site cannot or will not do: (reason, message).
    #[serde(default)]
    pub refusals: BTreeMap<String, String>,
}

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
