//! The records of a run's history (D6): what is written here, under a valid fence, is what exists. Nothing else is.
//!
//! Here: the envelope, the kinds and the first record. Must not know what may follow what: that is `history`.
mod course;
mod round;

use serde::{Deserialize, Serialize};

pub use course::{End, Members, Outcome, Removal, Rewind, Takeover};
pub use round::{Included, LeaseUse, LeftOut, Outer, Part, Plan, STRETCH, State, Step, Void};

use crate::canonical::{self, NotCanonical};
use crate::{Digest, Epoch, Incarnation, Real, RunId, Seq, SiteId};

/// The version of the record format this build writes. A reader refuses a higher one by name.
pub const VERSION: u32 = 1;

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// Format version, [`VERSION`].
    pub version: u32,
    /// The run it belongs to.
    pub run: RunId,
    /// Never lower than its parent's.
    pub epoch: Epoch,
    /// One more than its parent's; genesis has 0.
    pub seq: Seq,
    /// Digest of the parent's canonical bytes; [`Digest::ZERO`] for genesis.
    pub parent: Digest,
    /// What happened.
    pub body: Body,
}

impl Record {
    /// The digest a child names as its parent.
    pub fn digest(&self) -> Result<Digest, NotCanonical> {
        canonical::digest(self)
    }
}

/// What a record says. `Rewind` and `Takeover` are reserved: they have their place in the format, and this build refuses
/// to apply them, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Body {
    /// The first record.
    Genesis(Genesis),
    /// What the members do in one round.
    Plan(Plan),
    /// An outer step was committed (two or more members planned).
    Outer(Outer),
    /// The digest of a committed state was agreed on.
    State(State),
    /// A round of a plan with one member was committed (D30).
    Step(Step),
    /// Membership changed.
    Members(Members),
    /// Open plans are void; no data range moves (D14).
    Void(Void),
    /// Reserved (D27).
    Rewind(Rewind),
    /// Reserved (D7).
    Takeover(Takeover),
    /// The run is over.
    End(End),
}

impl Body {
    /// The kind's name as it stands in the record.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Genesis(_) => "genesis",
            Self::Plan(_) => "plan",
            Self::Outer(_) => "outer",
            Self::State(_) => "state",
            Self::Step(_) => "step",
            Self::Members(_) => "members",
            Self::Void(_) => "void",
            Self::Rewind(_) => "rewind",
            Self::Takeover(_) => "takeover",
            Self::End(_) => "end",
        }
    }
}

/// A site and the incarnation under which it belongs to the run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Assignment {
    /// The site.
    pub site: SiteId,
    /// Its incarnation.
    pub incarnation: Incarnation,
}

/// The state that another run left and this one begins from: a fork (D6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Origin {
    /// The run it is of.
    pub run: RunId,
    /// The commit of that run.
    pub seq: Seq,
    /// The digest of its outer state, D(O): parameters and momentum.
    pub state: Digest,
}

/// What is fixed for the whole run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Genesis {
    /// Public half of the hub's Ed25519 key, 64 hexadecimal characters.
    pub hub_key: String,
    /// Raised by a takeover; the first is 1.
    pub hub_generation: u64,
    /// Digest of the resolved run's immutable part.
    pub spec: Digest,
    /// Digest of the prepared data set.
    pub data: Digest,
    /// Samples in one pass over the data.
    pub samples_per_pass: u64,
    /// Tokens a sample trains on.
    pub sequence_length: u64,
    /// Tokens of one inner step at one site (a multiple of `sequence_length`).
    pub batch_tokens: u64,
    /// Inner steps of a round at reference speed, H.
    pub inner_steps: u64,
    /// The budget in tokens when the run began; later plans carry the one in force.
    pub budget: u64,
    /// Seed of initial parameters and of the order of samples.
    pub seed: u64,
    /// Elements of the padded parameter vector (D3).
    pub elements: u64,
    /// Fragments the vector is split into (D3); 1 in this version.
    pub fragments: u32,
    /// η of D15.
    pub outer_lr: Real,
    /// μ of D15.
    pub outer_momentum: Real,
    /// The first members.
    pub members: Vec<Assignment>,
    /// The state it begins from; absent for one that begins from random parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}
