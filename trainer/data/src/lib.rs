//! Training text as tokens: preparation, shards on disk, the order of samples, the batch hash.
//!
//! * [`prepare`](prepare::prepare) turns files and folders into a folder of token shards with an index, [`dataset::Dataset`]
//!   reads it back.
//! * [`samples::Samples`] maps a position of the data plan to a sequence of tokens. The map is a pure function of (seed,
//!   pass, position): which site feeds a position, and when, changes nothing (D24). It also recomputes the batch
//!   hash over a set of positions, which is the proof of what was fed (D26).
//! * [`tokenizer::Tokenizer`] is the byte level (256 bytes, BOS, EOS) or a byte-level BPE; both know how many bytes of
//!   text each token stands for, so that a loss can be given in bits per byte exactly.
//!
//! **Document rule**: every document is written as BOS, its tokens, EOS, documents follow each other without padding, and a
//! sample is a window over that stream; each token but the first is the target of exactly one sample in a pass.
//!
//! This crate must never learn about models, networks, stores or who holds which position: the ledger's fold lives in
//! `protocol`, here is only the mapping.

pub mod dataset;
mod documents;
pub mod error;
pub mod hugging_face;
pub mod index;
mod partial;
mod pattern;
pub mod permutation;
mod piece;
pub mod prepare;
pub mod progress;
pub mod samples;
mod shard;
pub mod shell;
mod sources;
pub mod tokenizer;
mod train_bpe;

pub use dataset::{Dataset, Verify};
pub use error::DataError;
pub use index::Index;
pub use prepare::{PrepareOptions, TokenizerChoice, prepare};
pub use progress::{Bar, Progress, Silent};
pub use samples::{HeldOut, Samples};
pub use tokenizer::Tokenizer;
