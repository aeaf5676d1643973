//! What every role of the operator stands on: one watch a kind ([`watch`]), one Lease a role ([`lease`]). Must never learn what
//! a run, a site or a gang is.
pub mod lease;
pub mod watch;
