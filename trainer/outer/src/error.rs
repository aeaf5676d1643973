//! What can be wrong with vectors, layouts and contributions. Each message names the object, the bound and the way out.

/// Why something was refused. Nothing was changed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OuterError {
    /// A parameter list that has no vector.
    #[error("parameter list: {0}")]
    Layout(String),
    /// A slice of the wrong length.
    #[error("{what} has {got} elements, expected {expected}: it belongs to another model or is cut off")]
    Length {
        /// Which slice.
        what: String,
        /// How long it must be.
        expected: usize,
        /// How long it is.
        got: usize,
    },
    /// Contributions with no tokens at all: their mean has no weights.
    #[error("{contributions} contributions stand for 0 tokens: nothing to average")]
    NoTokens {
        /// How many there were.
        contributions: usize,
    },
    /// A NaN or an infinity.
    #[error("{what}: element {index} is not finite")]
    NotFinite {
        /// Which vector.
        what: String,
        /// The first such element.
        index: usize,
    },
    /// Bytes that are not what their manifest says.
    #[error(
        "contribution {key}: chunk {chunk} has digest {got}, its manifest says {expected}: fetch it again from another holder"
    )]
    Damaged {
        /// The contribution.
        key: String,
        /// The chunk.
        chunk: usize,
        /// What the manifest says.
        expected: String,
        /// What was found.
        got: String,
    },
    /// A manifest that contradicts itself, its data, or the run.
    #[error("contribution {key}: {what}")]
    Manifest {
        /// The contribution.
        key: String,
        /// What does not fit.
        what: String,
    },
    /// This process flushes subnormal numbers or fuses multiply and add: its sums would differ from other sites'.
    #[error("floating point of this process is not IEEE 754 as D15 needs it ({0}): do not set flush-to-zero")]
    Arithmetic(&'static str),
}
