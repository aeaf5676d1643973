//! Why a record may not follow a head.
use crate::canonical::NotCanonical;
use crate::sign::SignError;

/// A record that is not a legal successor. Nothing of it was applied.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// Bad signature or key.
    #[error(transparent)]
    Signature(#[from] SignError),
    /// No canonical form.
    #[error(transparent)]
    NotCanonical(#[from] NotCanonical),
    /// A format this build does not know.
    #[error("record {seq} has format version {version}; this build knows up to {known}: upgrade it", known = crate::record::VERSION)]
    Version {
        /// The record.
        seq: u64,
        /// Its version.
        version: u32,
    },
    /// Not the next link: another run, number, parent, or a lower epoch.
    #[error("record {seq} does not follow the head: {what}")]
    Link {
        /// The record.
        seq: u64,
        /// What does not fit.
        what: String,
    },
    /// A kind whose behaviour comes later.
    #[error("record {seq} is a {kind} record: reserved, this build cannot apply it")]
    Reserved {
        /// The record.
        seq: u64,
        /// Its kind.
        kind: &'static str,
    },
    /// Breaks a definition.
    #[error("record {seq} ({kind}) breaks {rule}: {what}")]
    Rule {
        /// The record.
        seq: u64,
        /// Its kind.
        kind: &'static str,
        /// The definition, as `D14`.
        rule: &'static str,
        /// What is wrong, with names and values.
        what: String,
    },
}
