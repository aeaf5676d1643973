//! The two types of training. Must not know models.
use tch::Kind;

/// f32, or f64 where errors shall mean mistakes.
pub trait Real: coalition_kernels::Element + tch::kind::Element {
    /// The tensor library's name of the type.
    const TENSOR: Kind;
}

impl Real for f32 {
    const TENSOR: Kind = Kind::Float;
}

impl Real for f64 {
    const TENSOR: Kind = Kind::Double;
}
