//! Why a process stops: a message for people and an exit code for machines. Must not know who restarts it.
use std::fmt;

use coalition_comm::CommError;
use coalition_data::DataError;
use coalition_outer::OuterError;
use coalition_protocol::exit;

/// The end of a process, other than a good one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// One of `coalition_protocol::exit`.
    pub code: u8,
    /// What happened, to which object, the bound, what to do.
    pub message: String,
}

impl Failure {
    /// A failure with this code.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
    /// Something that cannot be: a bug of this program.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(exit::BUG, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<DataError> for Failure {
    fn from(e: DataError) -> Self {
        Self::new(e.exit_code(), e.to_string())
    }
}

impl From<OuterError> for Failure {
    fn from(e: OuterError) -> Self {
        let code = match e {
            OuterError::Damaged { .. } | OuterError::Manifest { .. } | OuterError::Length { .. } => exit::CHECKPOINT,
            OuterError::Arithmetic(_) | OuterError::Layout(_) => exit::CONFIG,
            OuterError::NoTokens { .. } | OuterError::NotFinite { .. } => exit::BUG,
        };
        Self::new(code, e.to_string())
    }
}

/// Why a gang's common work stopped.
#[derive(Debug)]
pub enum Stop {
    /// A rank was lost or the attempt is over: this process lives on and joins again.
    Rejoin(String),
    /// This process ends.
    Exit(Failure),
}

impl From<Failure> for Stop {
    fn from(f: Failure) -> Self {
        Self::Exit(f)
    }
}
impl From<CommError> for Stop {
    fn from(e: CommError) -> Self {
        Self::Rejoin(e.to_string())
    }
}
impl From<DataError> for Stop {
    fn from(e: DataError) -> Self {
        Self::Exit(e.into())
    }
}
impl From<OuterError> for Stop {
    fn from(e: OuterError) -> Self {
        Self::Exit(e.into())
    }
}
impl From<coalition_engine::Error> for Stop {
    fn from(e: coalition_engine::Error) -> Self {
        use coalition_engine::Error;
        match e {
            Error::Reduce(_) => Self::Rejoin(e.to_string()),
            Error::Vocabulary { .. } | Error::NoLossTokens => Self::Exit(Failure::new(exit::DATA, e.to_string())),
            Error::Model(_) | Error::Option { .. } => Self::Exit(Failure::new(exit::CONFIG, e.to_string())),
            _ => Self::Exit(Failure::bug(e.to_string())),
        }
    }
}
