//! Point-to-point links that the algorithms stand on: one exchange of frames with any set of peers. Must not know sums.
use crate::CommError;

/// What an exchange is for: ranks that disagree about it are out of step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Name for messages.
    pub name: &'static str,
    /// Number of the kind, as it travels.
    pub kind: u32,
    /// Counts exchanges.
    pub number: u64,
}

/// How long a frame may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// Exactly so many bytes.
    Exact(usize),
    /// At most so many.
    UpTo(usize),
}

impl Length {
    /// Refuses a frame of `bytes` from `rank` that does not fit.
    pub fn check(self, call: Call, rank: usize, bytes: u64) -> Result<usize, CommError> {
        match self {
            Self::Exact(n) if bytes == n as u64 => Ok(n),
            Self::Exact(n) => Err(CommError::OutOfStep {
                rank,
                expected: format!("{n} bytes in {} number {}", call.name, call.number),
                got: format!("{bytes} bytes"),
            }),
            Self::UpTo(n) if bytes <= n as u64 => Ok(bytes as usize),
            Self::UpTo(n) => Err(CommError::TooLong { rank, bytes, bound: n as u64 }),
        }
    }
}

/// Links from one rank to all others.
pub(crate) trait Links: Send {
    /// This rank.
    fn rank(&self) -> usize;
    /// Number of ranks.
    fn world(&self) -> usize;
    /// Sends `out[p]` to each peer p that has one and fills `inbox[p]` from each p for which `from[p]` says how long.
    /// Sending and receiving go on together, so no order of ranks can block.
    fn exchange(
        &mut self,
        call: Call,
        out: &[Option<&[u8]>],
        from: &[Option<Length>],
        inbox: &mut [Vec<u8>],
    ) -> Result<(), CommError>;
}
