//! The Kubernetes API of Coalition: types, conditions, names, schemas.
//!
//! What people and programs write and read, and what an API server can check by itself. SiteRun, SiteReport and Gang carry the
//! protocol's messages, the one thing of the project that this crate knows. It must never learn how a run is carried out: no
//! client, no runtime, no planner, no trainer.

// Every printer column has a name, a type and a path: that they repeat is no mistake.
#![allow(clippy::duplicated_attributes)]

pub mod amounts;
pub mod budget;
pub mod checkpoint;
pub mod checkpoint_policy;
pub mod conditions;
pub mod gang;
pub mod generate;
pub mod manifest;
pub mod names;
pub mod problem;
pub mod rules;
pub mod run_history;
pub mod schema;
pub mod site;
pub mod site_report;
pub mod site_run;
pub mod stand_in;
pub mod training_run;
pub mod validate;
mod wire;

pub use checkpoint::{Checkpoint, CheckpointSpec, CheckpointStatus};
pub use checkpoint_policy::{CheckpointPolicy, CheckpointPolicySpec};
pub use gang::{Gang, GangSpec, GangStatus};
pub use problem::Problem;
pub use run_history::{RunHistory, RunHistorySpec};
pub use site::{Site, SiteSpec, SiteStatus};
pub use site_report::{SiteReport, SiteReportSpec};
pub use site_run::{SiteRun, SiteRunSpec};
pub use training_run::{TrainingRun, TrainingRunSpec, TrainingRunStatus};
