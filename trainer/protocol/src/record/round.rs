//! Records of a round: the plan, what commits it, the state after it, and the void of plans that come to nothing. Must not
//! know when they are due.
use serde::{Deserialize, Serialize};

use crate::bits::BatchHash;
use crate::keys::ContributionKey;
use crate::{Digest, Incarnation, IntervalSet, Real, Round, Seq, SiteId};

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
    /// Positions leased to it by this plan, used in rising order. Empty if the budget has nothing left for it but its late
    /// work, or nothing at all: then it waits.
    pub ranges: IntervalSet,
    /// n_i: positions in `ranges` × sequence length.
    pub tokens: u64,
    /// True if its late work no longer fits into the budget (D11): its earlier leases return with this record, as at a
    /// second omission (D18), and x ← θ.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drop_late: bool,
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
    /// The longest a round may be stretched, in multiples of h_i (D29); always [`STRETCH`].
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

/// The one stretch limit of this version (D29): leases are for hᵢ steps, and a site without its hub finishes its round, saves
/// and waits. Longer leases come with several clusters, where a hub can be away while its sites are up; on one machine hub
/// and gateway are one process. Readers refuse other values, so that no site of this version is given a lease it would not
/// use up and no other one trains further than this one.
pub const STRETCH: u32 = 1;

/// Tells what of one plan's lease a contribution used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeaseUse {
    /// Names the plan that leased the positions, by its record.
    pub plan: Seq,
    /// Gives the positions used, a prefix of that lease, as ranges [start, end).
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
