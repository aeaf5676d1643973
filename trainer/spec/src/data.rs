//! What a run reads: the name of a data set, the length of a sequence, the tokenizer. Must not know where bytes lie.
use serde::{Deserialize, Serialize};

/// The vocabulary of the built-in byte tokenizer: 256 bytes, then [`BYTES_BOS`] and [`BYTES_EOS`].
pub const BYTES_VOCAB: usize = 258;
/// The token that begins a document with the byte tokenizer.
pub const BYTES_BOS: u32 = 256;
/// The token that ends a document with the byte tokenizer.
pub const BYTES_EOS: u32 = 257;

/// What a run reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataSpec {
    /// Name of the data set; each site says in its own settings where it lies.
    pub dataset: String,
    /// Tokens a sample predicts; a sample reads one more.
    pub sequence_length: usize,
    /// How text became tokens.
    pub tokenizer: Tokenizer,
}

/// How text becomes tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Tokenizer {
    /// A tokenizer this program brings.
    Builtin(Builtin),
    /// A `tokenizer.json` of a data set.
    File {
        /// Name of the data set that holds it.
        dataset: String,
        /// Its path in the data set.
        file: String,
    },
}

/// A tokenizer this program brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Builtin {
    /// One token a byte.
    Bytes,
}

impl Tokenizer {
    /// The size of the vocabulary, if it is known without reading a file.
    pub const fn known_vocabulary(&self) -> Option<usize> {
        match self {
            Self::Builtin(Builtin::Bytes) => Some(BYTES_VOCAB),
            Self::File { .. } => None,
        }
    }
}
