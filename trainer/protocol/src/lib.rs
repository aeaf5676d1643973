//! The words every other crate speaks: records with canonical bytes and signatures, the fold over them, messages between
//! hub, site and trainer, and the names of objects in a store.
//!
//! The definitions named D1 to D30 are those of `operator/docs/definitions.md`. This crate must never learn I/O, clocks,
//! randomness sources, or Kubernetes. The feature `schema` describes the messages between hub and site as JSON schemas, for
//! whoever carries them as objects.

pub mod bits;
pub mod canonical;
pub mod digest;
pub mod exit;
pub mod history;
pub mod ids;
pub mod intervals;
pub mod keys;
pub mod leave;
pub mod messages;
pub mod philox;
pub mod real;
pub mod record;
#[cfg(feature = "schema")]
pub mod schema;
pub mod sign;

pub use digest::Digest;
pub use ids::{Attempt, Epoch, Incarnation, Round, RunId, Seq, SiteId};
pub use intervals::IntervalSet;
pub use real::Real;
