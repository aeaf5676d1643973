//! What can go wrong inside a model. Must not know who handles it.

/// A model that cannot be made, or a call whose shapes do not fit.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A configuration whose arithmetic is not defined.
    #[error("model configuration: {field} = {value}, but it must be {bound}")]
    Config {
        /// The key of `config.json`.
        field: &'static str,
        /// What it says.
        value: usize,
        /// What it may say.
        bound: String,
    },
    /// A stage asked for a parameter that it was not given.
    #[error("stage {stage} needs parameter {name:?}, which it was not given")]
    MissingParameter {
        /// The stage.
        stage: String,
        /// The Hugging Face name.
        name: String,
    },
    /// A carry of another form than the stage takes.
    #[error("stage {stage} takes {expected}, but was given {got}")]
    Carry {
        /// The stage.
        stage: String,
        /// What it takes.
        expected: &'static str,
        /// What came.
        got: String,
    },
    /// The tensor library refused an operation, most often because shapes do not fit.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] tch::TchError),
}
