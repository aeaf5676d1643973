//! The site role: what the hub asks becomes gangs of pods, what they do becomes reports.
//!
//! [`Site`] is all of it for one replica. Watches, gateway and exchange run in every one; what writes ([`Site::lead`]) runs in the
//! one that holds the role's Lease. What a gang's pods shall be is decided by `coalition_planner::gang`, what forms the gang by
//! `coalition_gateway`, what is fetched and held by `coalition_courier`; here stands what connects these with two API servers
//! and a store.
//!
//! Must never learn plans, rounds and commits (the hub's planner), or what another site is.
#[cfg(test)]
extern crate self as coalition_site;

pub mod admit;
pub mod backend;
pub mod callers;
mod context;
mod courier;
mod error;
mod events;
mod exchange;
mod facts;
pub mod formation;
mod gang;
mod gang_object;
pub mod gateway;
pub mod history;
pub mod hub;
mod leader;
mod leading;
pub mod metrics;
pub mod names;
pub mod render;
mod report_object;
mod role;
#[cfg(test)]
#[path = "../tests/support/samples.rs"]
mod samples;
pub mod settings;
mod sources;

pub use error::SiteError;
pub use hub::Access;
pub use role::{Options, Site};

/// 32 random bytes, hexadecimal.
pub(crate) fn random_hex() -> Result<String, SiteError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| SiteError::Random(e.to_string()))?;
    Ok(hex::encode(bytes))
}
