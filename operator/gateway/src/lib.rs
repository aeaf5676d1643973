//! What trainers talk to: HTTP and JSON, idempotent, fenced.
//!
//! One gateway stands at each site. It forms gangs ([`gang`]), shows a trainer what the hub asks and what the history says
//! ([`view`](mod@router)), takes its reports and passes them on, and answers only once what it answers for is durable. What it
//! stands on is a [`SiteBackend`]: files on a laptop, objects in a cluster. It keeps nothing in memory that counts, so it
//! may be killed at any instant.
//!
//! It must never learn: plans, rounds and commits (the planner's), tensors, other sites (the courier's), and which backend
//! it has.

pub mod backend;
pub mod gang;
pub mod guard;
mod handlers;
pub mod orders;
pub mod refusal;
pub mod router;
pub mod stillness;

pub use backend::{BackendError, SiteBackend, Snapshot, Versioned};
pub use gang::GangState;
pub use guard::{Caller, Guard, SharedToken};
pub use router::{Options, router};
pub use stillness::Stillness;
