//! A whole coalition on one machine: the planner and gateway of the cluster, sites as folders, workers as processes.
//!
//! [`Runner`] hosts the hub's loop and, for each pretended site, a gateway, a courier and the supervisors of its workers. All
//! that counts is in files ([`layout`]), so the runner may be killed at any instant and started again on the same folder.
//!
//! It must never learn: decisions (the planner's), tensors, and what a trainer does between two reports.

pub mod clock;
pub mod control;
pub mod doubts;
pub mod durable;
pub mod error;
pub mod faults;
pub mod hub;
mod inputs;
pub mod layout;
pub mod lock;
pub mod manifest;
pub mod paste;
pub mod runner;
pub mod setup;
pub mod site;
pub mod stop;

pub use error::{LocalError, exit_code};
pub use faults::KillPlan;
pub use hub::snapshot::{Down, Measured, Snapshot, Spent, Steps, Told};
pub use layout::Layout;
pub use runner::{Ending, Runner};
pub use setup::RunOptions;
