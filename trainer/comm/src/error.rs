//! What can go wrong between ranks. Must not know what the ranks were doing.
use std::time::Duration;

/// Why a collective failed. Whatever it was, the collective cannot be used again: form a new one.
#[derive(Debug, thiserror::Error)]
pub enum CommError {
    /// A rank closed its connection: its process ended.
    #[error("rank {rank} is gone ({reason}); the gang must form again")]
    PeerLost {
        /// The rank.
        rank: usize,
        /// What was seen.
        reason: String,
    },
    /// A call took longer than its deadline.
    #[error("no answer from {} within {} s during {call}; the gang must form again", ranks(.waiting_for), .deadline.as_secs_f64())]
    Deadline {
        /// What was being done.
        call: &'static str,
        /// Ranks that had not answered.
        waiting_for: Vec<usize>,
        /// How long it was waited for.
        deadline: Duration,
    },
    /// Ranks make different calls: a bug, never a matter of the network.
    #[error("rank {rank} is out of step: expected {expected}, got {got}")]
    OutOfStep {
        /// The rank whose message did not fit.
        rank: usize,
        /// What this rank is doing.
        expected: String,
        /// What came.
        got: String,
    },
    /// A message above its bound.
    #[error("rank {rank} announces {bytes} bytes, the bound is {bound}")]
    TooLong {
        /// The rank.
        rank: usize,
        /// Announced bytes.
        bytes: u64,
        /// The most that is taken.
        bound: u64,
    },
    /// The peer belongs to another attempt, or does not know its token.
    #[error("rank {rank} at {address} refused: {reason}")]
    Refused {
        /// The rank.
        rank: usize,
        /// Where.
        address: String,
        /// Why.
        reason: String,
    },
    /// A peer of a newer attempt called: this one is over.
    #[error("attempt {mine} is over: a peer of attempt {theirs} called")]
    Superseded {
        /// The attempt being formed here.
        mine: u64,
        /// The caller's.
        theirs: u64,
    },
    /// The gang cannot be formed as described.
    #[error("cannot form the gang: {0}")]
    Forming(String),
    /// The collective failed before.
    #[error("this collective failed before; form a new one")]
    Broken,
}

fn ranks(list: &[usize]) -> String {
    let names: Vec<String> = list.iter().map(usize::to_string).collect();
    format!("rank{} {}", if list.len() == 1 { "" } else { "s" }, names.join(", "))
}
