//! Messages between hub, site and trainer. All are level-triggered: the newest one says all, older ones never replace it.
//!
//! Hub → site: [`SiteRun`], here. Site → hub: [`SiteReport`]. Trainer ↔ its site's gateway: the rest. Must not know who
//! carries them, or when.
mod report;
mod trainer;
mod work;

use serde::{Deserialize, Serialize};

pub use report::{Failure, GangReport, Moments, Progress, Resume, STORE_FAILED, SiteReport};
pub use trainer::{
    ErrorReply, ExitReport, JoinReply, JoinRequest, Orders, Permit, PermitRequest, TrainerReport, ViewReply,
};
pub use work::{Evaluation, Offer, StateReport, StepOffer, StoredCheckpoint};

use crate::history::Head;
use crate::{Epoch, Incarnation, RunId, Seq, SiteId};

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
