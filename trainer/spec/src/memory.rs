//! How many bytes a run's state takes, from its sizes alone. Activations are left to the engine that makes them.
use serde::{Deserialize, Serialize};

use crate::model::ModelConfig;
use crate::run::SiteShape;
use crate::training::Precision;

/// Bytes of one worker's and one site's state. Data parallel without sharding: every worker holds all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Parameters, each counted once.
    pub parameters: u64,
    /// Bytes of the masters x, of one worker.
    pub masters: u64,
    /// Bytes of Adam's two moments, of one worker.
    pub moments: u64,
    /// Bytes of gradients, of one worker.
    pub gradients: u64,
    /// Bytes of the outer state (parameters and momentum, always 32-bit), once a site.
    pub outer: u64,
    /// Bytes of a site: all its workers and the outer state.
    pub site: u64,
}

/// Counts the bytes of a site's state.
pub fn count(config: &ModelConfig, precision: Precision, shape: SiteShape) -> Memory {
    let n = config.parameter_count();
    let b = precision.bytes();
    let (masters, moments, gradients) = (n.saturating_mul(b), n.saturating_mul(2 * b), n.saturating_mul(b));
    let outer = n.saturating_mul(8);
    let worker = masters.saturating_add(moments).saturating_add(gradients);
    let site = worker.saturating_mul(u64::from(shape.workers)).saturating_add(outer);
    Memory { parameters: n, masters, moments, gradients, outer, site }
}
