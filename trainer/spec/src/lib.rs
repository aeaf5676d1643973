//! What a run is asked to be: model, data, training and sites as numbers and names, with presets, limits and counts.
//!
//! [`RunSpec`] is the resolved and validated request that planner and trainer share. This crate must never learn
//! tensors, files, Kubernetes or the form in which people write a manifest.

pub mod data;
pub mod hugging_face;
pub mod memory;
pub mod model;
pub mod parameters;
pub mod preset;
pub mod problem;
pub mod run;
pub mod tokens;
pub mod training;
pub mod validate;

pub use model::ModelConfig;
pub use problem::Problem;
pub use run::RunSpec;
