//! The index of a dataset: `dataset.json`, which names every shard with its size and digest. Written last, read first.
//! Knows nothing of how tokens are used.
use std::collections::BTreeSet;
use std::path::Path;

use coalition_protocol::{Digest, Real, canonical};
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::tokenizer;

/// Name of the index in a data set's folder.
pub const FILE: &str = "dataset.json";
/// The value of `format`.
pub const FORMAT: &str = "coalition-dataset";
/// The version this program writes and reads.
pub const VERSION: u32 = 1;
/// A larger index is refused: 64 MiB would name some 300 thousand shards.
pub const LARGEST_FILE: u64 = 64 << 20;
/// More tokens than this are refused. 2^48 (281 T) is beyond any text there is, and keeps every count exact in JSON.
pub const MOST_TOKENS: u64 = 1 << 48;

/// What `dataset.json` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Index {
    /// Always [`FORMAT`].
    pub format: String,
    /// Always [`VERSION`].
    pub version: u32,
    /// How text became tokens.
    pub tokenizer: TokenizerRef,
    /// All token ids are below it.
    pub vocab_size: u32,
    /// The token that begins a document.
    pub bos: u32,
    /// The token that ends a document.
    pub eos: u32,
    /// How documents lie in the stream: always `bos-document-eos`.
    pub document_rule: String,
    /// Bytes of a token in a shard, little-endian: 2 or 4.
    pub token_bytes: u32,
    /// Share of documents that was to be held out.
    pub held_out_share: Real,
    /// Seed of the split, below 2^53.
    pub seed: u64,
    /// What was passed by while preparing.
    pub passed_by: PassedBy,
    /// Tokens to train on.
    pub train: Split,
    /// Tokens held out for evaluation.
    pub held_out: Split,
    /// Digest of the canonical bytes (RFC 8785) of all fields above: the name of this dataset.
    pub digest: Digest,
}

/// A tokenizer and how to find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum TokenizerRef {
    /// 256 bytes, BOS = 256, EOS = 257; no file.
    Bytes,
    /// A file of the `tokenizers` library in the data set's folder.
    Bpe {
        /// Its name.
        file: String,
        /// Its digest.
        blake3: Digest,
        /// Text of the token that begins a document.
        bos: String,
        /// Text of the token that ends a document.
        eos: String,
    },
}

/// Files that did not become documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PassedBy {
    /// Equal to another file, byte by byte.
    pub duplicates: u64,
    /// Without a byte.
    pub empty: u64,
    /// Left out by a name filter.
    pub filtered: u64,
    /// Not UTF-8, where that was allowed.
    pub not_utf8: u64,
    /// Binary: a NUL byte near the start. Absent where there is none, as in data sets prepared before they were told apart.
    #[serde(default, skip_serializing_if = "none")]
    pub binary: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn none(n: &u64) -> bool {
    *n == 0
}

/// One side of the split.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Split {
    /// Documents.
    pub documents: u64,
    /// Tokens, BOS and EOS of every document included.
    pub tokens: u64,
    /// Bytes of text that the tokens stand for.
    pub bytes: u64,
    /// Shards, in order of their tokens.
    pub shards: Vec<Shard>,
}

/// One file of tokens: nothing but ids, little-endian.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shard {
    /// Its name in the data set's folder.
    pub file: String,
    /// Tokens in it.
    pub tokens: u64,
    /// Documents that begin in it.
    pub documents: u64,
    /// Bytes of text that its tokens stand for.
    pub bytes: u64,
    /// Digest of the file.
    pub blake3: Digest,
}

/// A file of a data set, as its index tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataFile<'a> {
    /// Its name in the data set's folder.
    pub name: &'a str,
    /// Its size in bytes; the index does not say that of a tokenizer.
    pub bytes: Option<u64>,
    /// It is not larger.
    pub most: u64,
    /// Digest of the file.
    pub blake3: Digest,
}

impl Index {
    /// The digest that the other fields call for.
    pub fn digest_of_fields(&self) -> Result<Digest, String> {
        let mut value = serde_json::to_value(self).map_err(|e| e.to_string())?;
        if let Some(map) = value.as_object_mut() {
            map.remove("digest");
        }
        canonical::digest(&value).map_err(|e| e.to_string())
    }

    /// Reads and checks the index of the data set in `folder`.
    pub fn read(folder: &Path) -> Result<Self, DataError> {
        let path = folder.join(FILE);
        let bad = |reason: String| DataError::NotADataset { path: path.clone(), reason };
        let meta = std::fs::metadata(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => DataError::no_dataset(folder),
            _ => DataError::reading(&path, e),
        })?;
        if meta.len() > LARGEST_FILE {
            return Err(bad(format!("it has {} bytes, more than {LARGEST_FILE}", meta.len())));
        }
        let bytes = std::fs::read(&path).map_err(|e| DataError::reading(&path, e))?;
        Self::parse(&bytes, &path)
    }

    /// Checks the index that `bytes` are; `path` names it in errors.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, DataError> {
        let bad = |reason: String| DataError::NotADataset { path: path.to_owned(), reason };
        // The version first, so that another version is called that and not a wrong field.
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
        let version = value.get("version").and_then(serde_json::Value::as_u64);
        if value.get("format").and_then(serde_json::Value::as_str) != Some(FORMAT) {
            return Err(bad(format!("its format is not {FORMAT:?}")));
        }
        if version != Some(u64::from(VERSION)) {
            return Err(bad(format!("its version is {version:?}, this program reads {VERSION}")));
        }
        let index: Self = serde_json::from_value(value).map_err(|e| bad(e.to_string()))?;
        let expected = index.digest_of_fields().map_err(&bad)?;
        if index.digest != expected {
            return Err(DataError::digest(path, index.digest, expected));
        }
        index.check().map_err(bad)?;
        Ok(index)
    }

    /// Every file of the data set but the index, the tokenizer first: what a copy of it consists of.
    pub fn files(&self) -> Vec<DataFile<'_>> {
        let shards = self.train.shards.iter().chain(&self.held_out.shards).map(|s| {
            let bytes = s.tokens.saturating_mul(u64::from(self.token_bytes));
            DataFile { name: &s.file, bytes: Some(bytes), most: bytes, blake3: s.blake3 }
        });
        let tokenizer = match &self.tokenizer {
            TokenizerRef::Bytes => None,
            TokenizerRef::Bpe { file, blake3, .. } => {
                Some(DataFile { name: file, bytes: None, most: tokenizer::LARGEST_FILE, blake3: *blake3 })
            }
        };
        tokenizer.into_iter().chain(shards).collect()
    }

    /// What a reader relies on beyond the types.
    fn check(&self) -> Result<(), String> {
        if self.token_bytes != 2 && self.token_bytes != 4 {
            return Err(format!("tokenBytes is {}, it must be 2 or 4", self.token_bytes));
        }
        if self.token_bytes == 2 && self.vocab_size > 1 << 16 {
            return Err(format!("vocabSize {} does not fit into 2 bytes", self.vocab_size));
        }
        if self.bos >= self.vocab_size || self.eos >= self.vocab_size {
            return Err(format!("bos {} and eos {} must be below vocabSize {}", self.bos, self.eos, self.vocab_size));
        }
        let mut names = BTreeSet::new();
        for (name, split) in [("train", &self.train), ("heldOut", &self.held_out)] {
            let sum = |f: fn(&Shard) -> u64| split.shards.iter().try_fold(0_u64, |a, s| a.checked_add(f(s)));
            if sum(|s| s.tokens) != Some(split.tokens) || split.tokens > MOST_TOKENS {
                return Err(format!("{name}.tokens is not the sum of its shards, or above {MOST_TOKENS}"));
            }
            if sum(|s| s.bytes) != Some(split.bytes) || sum(|s| s.documents) != Some(split.documents) {
                return Err(format!("{name}.bytes or {name}.documents is not the sum of its shards"));
            }
            for s in &split.shards {
                if !is_plain(&s.file) || !names.insert(&s.file) {
                    return Err(format!("{:?} is not a plain file name, or is named twice", s.file));
                }
            }
        }
        if let TokenizerRef::Bpe { file, .. } = &self.tokenizer
            && !is_plain(file)
        {
            return Err(format!("{file:?} is not a plain file name"));
        }
        Ok(())
    }
}

/// A name that cannot lead out of the data set's folder.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']) && name.len() <= 255
}
