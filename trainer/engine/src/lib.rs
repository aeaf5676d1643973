//! Stage-wise backward, accumulation, clipping, AdamW, schedules: one rank's part of an inner step (D10).
//!
//! [`Trainer`] owns the inner state (parameters, moments, Adam count) as flat vectors in the layout of D3 and walks the
//! stages of a model over them. It is generic over the type of training: f32, or f64 for tests of exactness. Ranks meet
//! through [`Reduce`] alone. With threads pinned, the same calls give the same bits (D1).
//!
//! This crate must never learn files, Kubernetes, or what happens between sites.
#![allow(clippy::cast_possible_wrap)] // shapes and token ids are i64 in the tensor library; sizes are bounded where they enter

mod batch;
mod error;
mod evaluate;
mod flat;
mod generate;
mod gradient;
mod layout;
mod memory;
mod reduce;
mod schedule;
mod step;
mod trainer;
mod walk;

pub use batch::Batch;
pub use coalition_model::{IGNORE, Options as ModelOptions};
pub use error::Error;
pub use evaluate::{Evaluation, Past};
pub use flat::Real;
pub use generate::Sampling;
pub use layout::{Entry, Layout, PADDING};
pub use reduce::{Alone, Over, Reduce};
pub use schedule::{clock, rate};
pub use step::{Options, StepReport};
pub use trainer::Trainer;
