//! `RunHistory`: the newest signed records of a run (D6). Written by the hub alone, by PUT with
//! resourceVersion.
//!
//! A record is held as the exact canonical text that was signed, because an API server may reorder or round what it
//! stores as fields, and then no signature would hold. Beside the text stand the few fields that the server itself
//! compares: with them the rules below make the server the fence. Readers recompute the digest from the text and never
//! trust those fields. Views such as open plans or the ledger follow from the records and are not stored twice; once the
//! oldest records are gone, what they came to stands in `fold`. Sites do not read it: they have all records.
//!
//! Text inside JSON is longer than the text: every quotation mark takes two bytes. In canonical JSON at most every second
//! character is one, so 128 KiB of records and what stands beside 128 of them stay below the 256 KiB of this kind.
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{DIGEST_PATTERN, LABEL_PATTERN};
use crate::rules;

/// Holds the newest records of a run. Older ones lie in the sites' stores.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "coalition.training",
    version = "v1alpha1",
    kind = "RunHistory",
    plural = "runhistories",
    shortname = "rhist",
    category = "training",
    namespaced,
    derive = "PartialEq",
    doc = "Holds the newest records of a run: what is recorded here exists, nothing else does. Written by the hub only.",
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".spec.head.epoch"),
    printcolumn(name = "Seq", type_ = "integer", json_path = ".spec.head.seq"),
    printcolumn(name = "Mirrored", type_ = "integer", json_path = ".spec.mirroredSeq"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::rule(
        "self.head.seq == self.records[size(self.records) - 1].seq \
         && self.head.epoch == self.records[size(self.records) - 1].epoch \
         && self.head.digest == self.records[size(self.records) - 1].digest",
        "head must name the last record; set its epoch, seq and digest to that record's",
    ),
    validation = rules::rule(
        "self.records[size(self.records) - 1].seq - self.records[0].seq == size(self.records) - 1 \
         && self.records.all(r, r.seq >= self.records[0].seq && r.seq <= self.head.seq \
         && self.records[r.seq - self.records[0].seq].seq == r.seq)",
        "records must be ordered with seq rising by one; write them in order and leave none out",
    ),
    validation = rules::rule(
        "self.records.all(r, r.seq == self.records[0].seq \
         || (r.seq > self.records[0].seq && r.seq <= self.head.seq \
         && r.parent == self.records[r.seq - self.records[0].seq - 1].digest \
         && r.epoch >= self.records[r.seq - self.records[0].seq - 1].epoch))",
        "each record must name the digest of the one before as its parent, in the same or a higher epoch; re-read the \
         history and append to its head",
    ),
    validation = rules::rule(
        "self.mirroredSeq <= self.head.seq",
        "mirroredSeq must be at most head.seq, for only records that exist can be mirrored; lower it",
    ),
    validation = rules::rule(
        "self.records.map(r, size(r.record)).sum() + (has(self.fold) ? size(self.fold) : 0) <= 131072",
        "records and fold must be at most 128 KiB together; raise mirroredSeq once every member has them, and drop the oldest",
    ),
    validation = rules::rule(
        "self.head == oldSelf.head || (self.head.seq == oldSelf.head.seq + 1 \
         && self.head.epoch >= oldSelf.head.epoch \
         && self.records[size(self.records) - 1].parent == oldSelf.head.digest)",
        "exactly one record may be appended, with the old head as its parent and no lower epoch: somebody else may have \
         appended; re-read the object and decide again",
    ),
    validation = rules::rule(
        "self.records.all(r, r.seq > oldSelf.head.seq || (r.seq >= oldSelf.records[0].seq \
         && r == oldSelf.records[r.seq - oldSelf.records[0].seq]))",
        "records once written never change; re-read the object and append only",
    ),
    validation = rules::rule(
        "self.records[0].seq == oldSelf.records[0].seq || (self.records[0].seq > oldSelf.records[0].seq \
         && self.records[0].seq <= oldSelf.mirroredSeq)",
        "only the oldest records may leave, and only those below mirroredSeq; write the higher mirroredSeq first, then drop",
    ),
    validation = rules::rule(
        "self.mirroredSeq >= oldSelf.mirroredSeq",
        "mirroredSeq never falls, for records below it may be gone from this object; keep the higher value",
    )
)]
pub struct RunHistorySpec {
    /// Gives the identity of the run, as its first record minted it.
    #[serde(rename = "runID")]
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL_PATTERN))]
    #[x_kube(validation = rules::fixed("a history belongs to one run; another run has a RunHistory of its own"))]
    pub run_id: String,

    /// Names the newest record.
    pub head: HistoryHead,

    /// Tells that every current member's store holds the records up to this one.
    #[schemars(range(min = 0))]
    pub mirrored_seq: i64,

    /// Holds what the records up to one of those here came to, once the oldest are gone: canonical text, the hub's own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 98304))]
    pub fold: Option<String>,

    /// Holds the newest records, oldest first.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["seq".into()]))]
    pub records: Vec<HistoryRecord>,
}

/// Names a record.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryHead {
    /// Gives its epoch; the first is 1.
    #[schemars(range(min = 1))]
    pub epoch: i64,
    /// Gives its position; genesis has 0.
    #[schemars(range(min = 0))]
    pub seq: i64,
    /// Gives the BLAKE3 digest of its canonical text.
    #[schemars(length(min = 64, max = 64), regex(pattern = DIGEST_PATTERN))]
    pub digest: String,
}

/// Holds one signed record, with the fields the API server compares.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryRecord {
    /// Gives its position; genesis has 0.
    #[schemars(range(min = 0))]
    pub seq: i64,
    /// Gives its epoch; the first is 1.
    #[schemars(range(min = 1))]
    pub epoch: i64,
    /// Names what happened.
    pub kind: RecordKind,
    /// Gives the digest of the record before; zeros for genesis.
    #[schemars(length(min = 64, max = 64), regex(pattern = DIGEST_PATTERN))]
    pub parent: String,
    /// Gives the BLAKE3 digest of the canonical text.
    #[schemars(length(min = 64, max = 64), regex(pattern = DIGEST_PATTERN))]
    pub digest: String,
    /// Holds the canonical text (RFC 8785) that was signed.
    #[schemars(length(min = 2, max = 49152))]
    pub record: String,
    /// Holds the hub's Ed25519 signature over the text, in hexadecimal.
    #[schemars(length(min = 128, max = 128), regex(pattern = "^[0-9a-f]{128}$"))]
    pub signature: String,
}

/// Names what a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordKind {
    /// The first record.
    Genesis,
    /// What the members do in one round.
    Plan,
    /// A commit of several members.
    Outer,
    /// The agreed digest of a state.
    State,
    /// A commit of the one member.
    Step,
    /// A change of membership.
    Members,
    /// Open plans given up.
    Void,
    /// A return to an older record.
    Rewind,
    /// A hub that takes over.
    Takeover,
    /// The end of the run.
    End,
}
