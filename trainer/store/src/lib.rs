//! What a site keeps: objects in a store, the commit log of an incarnation, checkpoints as safetensors with a manifest,
//! contributions.
//!
//! * [`Store`] is a folder, memory, or S3, with exactly the operations this project needs. Every write is create-only and
//!   durable when it returns: nothing is ever overwritten, so a reader never sees a half-written or a changed object.
//! * [`log`] is the commit log of an incarnation (D19), [`site_checkpoint`] what its entries name.
//! * [`run_checkpoint`] holds bases of the outer state (D20) in a folder that `transformers` opens.
//! * [`contribution`] holds contributions, own and fetched (D12, D13); [`opening`] the entry without which a store counts
//!   as lost (D8); [`garbage`] lists what may go (D28).
//!
//! Sets of objects (a checkpoint, a contribution) exist once their manifest does, and it is written last. Everything that
//! is read is compared with a digest before it is used. [`Store`] is async; [`BlockingStore`] serves callers that are not.
//!
//! This crate must never learn about Kubernetes, training, the network beyond its object stores, or what the numbers in a
//! tensor mean.

pub mod blocking;
pub mod contribution;
pub mod error;
mod folder;
pub mod garbage;
mod http;
mod key;
pub mod location;
pub mod log;
pub mod manifest;
pub mod opening;
pub mod run_checkpoint;
mod s3;
pub mod site_checkpoint;
mod store;
pub mod tensors;

pub use blocking::BlockingStore;
pub use error::StoreError;
pub use location::{Location, S3};
pub use store::{ObjectInfo, Store};
