//! Moves contributions and checkpoints between sites: fetch, verify, hold, serve.
//!
//! Each site has one courier, the only part of it with traffic to other sites. From what the hub asks and what the history
//! says it works out what its store lacks ([`wants`]), fetches that from whoever holds it, verifies it, writes it durably,
//! and only then reports it held (D13). It serves the same objects to others, mirrors the history, keeps the opening entry
//! of its incarnation (D8), and removes what nobody needs (D28).
//!
//! It must never learn: when a round commits (the planner's), tensors, and what kind of store it writes to.

pub mod checkpoint;
pub mod compose;
pub mod courier;
pub mod error;
pub mod fetch;
pub mod garbage;
pub mod origin;
pub mod serve;
pub mod stock;
pub mod wants;

pub use courier::{Courier, Findings, Input, Options};
pub use error::CourierError;
pub use serve::router;
