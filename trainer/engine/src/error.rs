//! What can go wrong in a step. Must not know who retries.

/// Why a call of the engine failed. After an error the inner state is as it was before the call, unless the variant says
/// otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model refused its configuration or a call.
    #[error(transparent)]
    Model(#[from] coalition_model::Error),
    /// The kernels refused a call.
    #[error(transparent)]
    Kernel(#[from] coalition_kernels::KernelError),
    /// The tensor library refused an operation.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] tch::TchError),
    /// A vector of another length than the layout's.
    #[error(
        "{what} has {got} elements, the layout of this model has {expected}: it belongs to another model or precision"
    )]
    Length {
        /// Which vector.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The layout's.
        expected: usize,
    },
    /// A batch whose parts do not fit together.
    #[error("batch: {0}")]
    Batch(String),
    /// A token that the model has no row for.
    #[error("batch: token {token} is not below the model's vocab_size {vocab_size}: the tokenizer is not this model's")]
    Vocabulary {
        /// The token id.
        token: i64,
        /// Rows of the embedding.
        vocab_size: usize,
    },
    /// No rank has a position whose loss counts.
    #[error("batch: no position of it counts in the loss (over all ranks), so there is nothing to learn from")]
    NoLossTokens,
    /// Ranks could not add up; gradients are lost, the inner state is untouched.
    #[error("adding up over the ranks failed: {0}")]
    Reduce(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An option outside its range.
    #[error("{name} = {value} is outside {bound}")]
    Option {
        /// Which one.
        name: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        bound: &'static str,
    },
}
