//! What every role of the operator stands on: one watch a kind ([`watch`]), one Lease a role ([`lease`], [`role`]), truthful
//! probes ([`health`]), counted requests ([`client`], [`metrics`]), what is said once of what fails again and again ([`outage`],
//! [`said`]). Must never learn what a run, a site or a gang is.
pub mod client;
pub mod health;
pub mod lease;
pub mod metrics;
pub mod outage;
pub mod role;
pub mod said;
pub mod unreadable;
pub mod watch;
