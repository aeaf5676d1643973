//! The records of a run's history (D6): what is written here, under a valid fence, is what exists. Nothing else is.
use serde::{Deserialize, Serialize};

use crate::bits::BatchHash;
use crate::canonical::{self, NotCanonical};
use crate::keys::ContributionKey;
use crate::{Digest, Epoch, Incarnation, IntervalSet, Real, Round, RunId, Seq, SiteId};

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
}

/// One site's part of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Part {
    /// The site.
    pub site: SiteId,
    /// The incarnation it is planned under.
    pub incarnation: Incarnation,
    /// Inner steps h_i.
    pub inner_steps: u64,
    /// Positions leased to it by this plan, used in rising order.
    pub ranges: IntervalSet,
    /// n_i: positions in `ranges` × sequence length.
    pub tokens: u64,
}

/// Π_t (D9). Immutable, issued one round ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// t. Used again after a void. Its base is the state committed for round t − 1.
    pub round: Round,
    /// T_t: committed tokens at issue plus planned tokens of rounds in flight.
    pub tokens_before: u64,
    /// The budget in force, for the clock of D11.
    pub budget: u64,
    /// One for each member, ordered by site.
    pub parts: Vec<Part>,
    /// The longest a round may be stretched, in multiples of h_i (D29).
    pub stretch: u32,
    /// Round grace: the length of the offer window and of the hold window, milliseconds on the hub's clock.
    pub grace_millis: u64,
    /// Contributions a commit needs, at least 1 and at most the number of parts.
    pub quorum: u32,
    /// Contributions with a norm above this are refused (5 × the running median, D14); absent until there is a median.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm_limit: Option<Real>,
}

impl Plan {
    /// The part of `site`, if it has one.
    pub fn part(&self, site: &SiteId) -> Option<&Part> {
        self.parts.iter().find(|p| &p.site == site)
    }
    /// True if rounds of this plan commit as step records (D30).
    pub fn one_member(&self) -> bool {
        self.parts.len() == 1
    }
    /// Σ n_i.
    pub fn tokens(&self) -> u64 {
        self.parts.iter().map(|p| p.tokens).sum()
    }
}

/// What of one plan's lease a contribution used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeaseUse {
    /// The plan that leased the positions.
    pub plan: Seq,
    /// The positions used: a prefix of that lease.
    pub used: IntervalSet,
}

/// A contribution that a record includes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Included {
    /// Its name.
    pub key: ContributionKey,
    /// Digest of its manifest.
    pub digest: Digest,
    /// n_i: tokens it stands for, late ones included; its weight is n_i / Σ n.
    pub tokens: u64,
    /// Positions it used, by plan in rising order.
    pub used: Vec<LeaseUse>,
    /// D26 over exactly those positions.
    pub batch_hash: BatchHash,
    /// ‖Δ‖, for the running median.
    pub norm: Real,
}

/// A planned member whose contribution the record does not include.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeftOut {
    /// The site.
    pub site: SiteId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// True at the second omission in a row: its late work is dropped and its ranges return (D18).
    pub returned: bool,
}

/// A committed outer step (D14): at most one for each (t, p) of a branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Outer {
    /// The plan it carries out.
    pub plan: Seq,
    /// Its round.
    pub round: Round,
    /// Its fragment.
    pub fragment: u32,
    /// S, ordered by site: the order of summation (D15).
    pub included: Vec<Included>,
    /// A: members that hold all of S in their own store.
    pub holders: Vec<SiteId>,
    /// Planned members outside S.
    pub left_out: Vec<LeftOut>,
    /// T after this record.
    pub tokens: u64,
}

/// The digest of the state after a commit (D17).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    /// The genesis or outer record whose state this is.
    pub of: Seq,
    /// D(O).
    pub digest: Digest,
    /// Sites that reported it. One alone means unconfirmed.
    pub confirmers: Vec<SiteId>,
}

/// A committed round of a one-member plan (D30): θ := x, u is kept. It fixes its own state digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// The plan it carries out.
    pub plan: Seq,
    /// Its round.
    pub round: Round,
    /// The one member.
    pub site: SiteId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Digest of the manifest of the site checkpoint whose x becomes θ.
    pub checkpoint: Digest,
    /// D(O) after the step.
    pub state: Digest,
    /// Positions used, by plan in rising order.
    pub used: Vec<LeaseUse>,
    /// D26 over exactly those positions.
    pub batch_hash: BatchHash,
    /// T after this record.
    pub tokens: u64,
}

/// A site taken out of the count, or out of the run, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Removal {
    /// The site.
    pub site: SiteId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Why, from a closed list of names: `Lost`, `StoreLost`, `PeersUnreachable`, `NormAboveLimit`, `NotFinite`, …
    pub reason: String,
}

/// Membership changes. Applied in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Members {
    /// Incarnations retired for good; what they leased returns.
    #[serde(default)]
    pub retired: Vec<Removal>,
    /// New incarnations.
    #[serde(default)]
    pub joined: Vec<Assignment>,
    /// Set aside until lifted.
    #[serde(default)]
    pub set_aside: Vec<Removal>,
    /// No longer set aside.
    #[serde(default)]
    pub lifted: Vec<SiteId>,
}

/// Voids every open plan (Π_t and Π_{t+1}).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Void {
    /// The lower round of the voided plans; it is used again.
    pub round: Round,
    /// Every plan that was open.
    pub plans: Vec<Seq>,
    /// Why.
    pub reason: String,
}

/// Reserved (D27): go back to the state of `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rewind {
    /// The record whose state becomes the base.
    pub to: Seq,
    /// Positions never to be used.
    pub skip: IntervalSet,
    /// Multiplies the inner learning rate from here on.
    pub lr_factor: Real,
}

/// Reserved (D7): a hub that was rebuilt goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Takeover {
    /// Raised by one.
    pub hub_generation: u64,
    /// The new hub's public key.
    pub hub_key: String,
    /// A head that is given up, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandoned: Option<Digest>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The budget was reached; state digest and checkpoint are consistent.
    Complete,
    /// `activeDeadlineSeconds` passed.
    DeadlineExceeded,
    /// A failure rule, an exhausted restart budget, or a non-finite budget ended it.
    Failed,
}

/// The last record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct End {
    /// How it ended.
    pub outcome: Outcome,
    /// One sentence for people; empty when complete.
    pub message: String,
    /// T.
    pub tokens: u64,
    /// The record whose state is the final one.
    pub of: Seq,
    /// Its digest, if one was fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Digest>,
    /// Sites that hold the final checkpoint complete and verified.
    pub confirmers: Vec<SiteId>,
}
