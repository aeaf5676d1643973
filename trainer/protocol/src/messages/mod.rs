//! Messages between hub, site and trainer. All are level-triggered: the newest one says all, older ones never replace it.
//!
//! Hub → site: [`SiteRun`], here. Site → hub: [`SiteReport`]. Trainer ↔ its site's gateway: the rest. Must not know who
//! carries them, or when.
pub mod bounds;
mod report;
mod trainer;
mod work;

use serde::{Deserialize, Serialize};

pub use report::{Failure, GangReport, Held, Moments, Progress, Resume, STORE_FAILED, SiteReport};
pub use trainer::{
    ErrorReply, ExitReport, JoinReply, JoinRequest, Orders, Permit, PermitRequest, TrainerReport, ViewReply,
};
pub use work::{Evaluation, Offer, StateReport, StepOffer, StoredCheckpoint};

use crate::history::Head;
use crate::{Epoch, Incarnation, RunId, Seq, SiteId};

/// Says what a site shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Desired {
    /// Train.
    Run,
    /// Save a site checkpoint, then stop the gang and keep the incarnation.
    Suspend,
    /// Stop the gang; the incarnation is retired or the run is over.
    Stop,
}

/// Tells where another member's courier is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Peer {
    /// Names the member.
    pub site: SiteId,
    /// Gives the base address of its courier, such as `http://127.0.0.1:PORT` between pretended sites.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = bounds::ENDPOINT), regex(pattern = bounds::ADDRESS)))]
    pub endpoint: String,
}

/// What the hub asks of a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteRun {
    /// Names the run, as its first record minted it.
    pub run: RunId,
    /// Names the site that is asked.
    pub site: SiteId,
    /// Gives the epoch of the fence (D8). The attempt is the site's own.
    pub epoch: Epoch,
    /// Gives the incarnation of the fence: what the site does under another one does not count.
    pub incarnation: Incarnation,
    /// Names the hub's leader; reports that do not echo it are unknown (D7).
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = bounds::NONCE)))]
    pub nonce: String,
    /// Says what to do: run, suspend (save and stop, keep the incarnation) or stop.
    pub desired: Desired,
    /// Names the newest record the hub knows.
    pub head: Head,
    /// Holds the resolved run, as `coalition_spec::RunSpec` reads it.
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::open"))]
    pub spec: serde_json::Value,
    /// Lists the other members' couriers.
    #[cfg_attr(feature = "schema", schemars(length(max = bounds::MEMBERS)))]
    pub peers: Vec<Peer>,
    /// Lists offers for the open plans that this site does not hold yet, with who holds them: what its courier fetches.
    #[cfg_attr(feature = "schema", schemars(length(max = bounds::CONTRIBUTIONS)))]
    pub offers: Vec<OfferNotice>,
    /// Lists state reports that differ from each other (D17); empty when all agree.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = bounds::MEMBERS)))]
    pub disagreement: Vec<StateNotice>,
    /// Lists the run checkpoints to keep, by their commits; others may go (D28).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = bounds::KEPT)))]
    pub keep: Vec<Seq>,
    /// Lists commits for which a run checkpoint is wanted.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = bounds::KEPT)))]
    pub save: Vec<Seq>,
    /// Lists features the site must know; it refuses by name what it does not.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = bounds::FEATURES), inner(length(min = 1, max = bounds::FEATURE))))]
    pub requires: Vec<String>,
}

/// Shows an offer and its holders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OfferNotice {
    /// Describes the contribution that is offered.
    pub offer: Offer,
    /// Names members that hold it, the one that offers it included.
    #[cfg_attr(feature = "schema", schemars(length(max = bounds::MEMBERS)))]
    pub holders: Vec<SiteId>,
}

/// Shows what a site says of the newest state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StateNotice {
    /// Names the site that reported it.
    pub site: SiteId,
    /// Describes the state it computed.
    pub state: StateReport,
}
