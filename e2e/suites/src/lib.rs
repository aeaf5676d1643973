//! Coalition installed on real clusters, for scenarios of some thirty lines: install, apply, break something, wait, judge.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use coalition_cluster::Fault;
//! use coalition_suites::{Installed, Layout, Tiny};
//!
//! let Some(at) = Installed::or_skip(Layout::one(2))? else { return Ok(()) };
//! let run = at.apply(&Tiny::new("demo").workers(2))?;
//! run.until_round(3)?;
//! at.hub().apply(&Fault::ApiServerDown)?;
//! at.hub().apply(&Fault::ApiServerUp)?;
//! run.until("Complete")?;
//! run.check()?; // one chain, no attempt that fell, no token counted twice
//! # Ok(())
//! # }
//! ```
//!
//! Calls wait, with a bound that says what they waited for; what fails prints conditions, events and logs. Must not know how
//! the operator or the trainer work inside: it sees what their users see, the API and the pods.

pub mod archives;
pub mod audit;
mod chart;
mod data;
mod heal;
mod installed;
mod manifest;
mod recovery;
pub mod rights;
mod run;
mod said;
mod stand_in;
pub mod trials;
mod usage;
mod watch;

pub use heal::SelfHeal;
pub use installed::{Installed, Layout, RUNS, SITE, SYSTEM, WORKERS};
pub use manifest::Tiny;
pub use recovery::{Recovery, Watched};
pub use run::Run;
pub use stand_in::StandIn;
pub use usage::Usage;
