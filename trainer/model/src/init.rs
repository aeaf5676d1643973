//! First values of parameters: functions of (seed, tensor, element), the same bits at every site (D2). Must not know
//! where parameters live.
use coalition_protocol::philox::{Draws, Purpose};
use coalition_spec::parameters::{ParamInfo, ParamInit};

use crate::normal::quantile;

/// The first values of one parameter.
#[derive(Clone, Copy, Debug)]
pub struct Initializer {
    init: ParamInit,
    draws: Draws,
}

impl Initializer {
    /// `tensor` is the parameter's index among the model's sorted names.
    pub fn new(info: &ParamInfo, tensor: u32, seed: u64) -> Self {
        Self { init: info.init, draws: Draws::new(seed, Purpose::Init, 0, tensor) }
    }

    /// The value of element `n` (row-major), in f64; rounded to the type of training by the caller. Only additions,
    /// multiplications, divisions and square roots are used, so no machine's mathematics library has a say in the bits.
    pub fn at(&self, n: u64) -> f64 {
        match self.init {
            ParamInit::Normal { std } => std * quantile(self.draws.uniform(n)),
            ParamInit::Zeros => 0.0,
            ParamInit::Ones => 1.0,
        }
    }
}
