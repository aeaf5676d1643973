//! The small message rank 0 sends before each common action: rank 0 decides, all act. Must not know why it decided.
use coalition_comm::Collective;
use coalition_protocol::IntervalSet;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Stop};

/// What all ranks do together next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Decision {
    /// Nothing yet: rank 0 waits for something. Sent at least once a second, so that a lost rank is noticed.
    Idle,
    /// One inner step over these positions.
    Step {
        /// Positions of the whole batch; each rank takes its part of them, by index.
        positions: IntervalSet,
        /// The learning rate.
        lr: f64,
        /// Numbers the step for the draws of D2.
        number: u64,
    },
    /// Take rank 0's parameters.
    Parameters,
    /// Take rank 0's parameters, moments and Adam count.
    State {
        /// Updates the moments have seen.
        adam_count: u64,
    },
    /// Measure rank 0's θ on held-out text, each rank its windows.
    Evaluate,
    /// Part.
    Leave {
        /// The exit code of this process; absent: it joins again.
        code: Option<u8>,
    },
}

/// Sends a decision from rank 0.
pub fn announce(comm: &mut dyn Collective, decision: &Decision) -> Result<(), Stop> {
    if comm.world() == 1 {
        return Ok(());
    }
    let mut bytes = serde_json::to_vec(decision).map_err(|e| Failure::bug(format!("a decision without words: {e}")))?;
    Ok(comm.broadcast(0, &mut bytes)?)
}

/// Waits for rank 0's next decision.
pub fn await_decision(comm: &mut dyn Collective) -> Result<Decision, Stop> {
    let mut bytes = Vec::new();
    comm.broadcast(0, &mut bytes)?;
    serde_json::from_slice(&bytes).map_err(|e| Failure::bug(format!("a decision that cannot be read: {e}")).into())
}

/// The part of `rows` that rank `rank` of `world` takes: contiguous, so that samples keep their order over the ranks.
pub const fn share(rows: usize, rank: usize, world: usize) -> std::ops::Range<usize> {
    rows * rank / world..rows * (rank + 1) / world
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_arrives_as_it_was_made() {
        let mut gang = coalition_comm::local::gang(2, std::time::Duration::from_secs(10));
        let mut other = gang.pop().unwrap();
        let sent = Decision::Step { positions: IntervalSet::span(7, 40), lr: 0.1 + 0.2, number: u64::MAX >> 12 };
        let reader = std::thread::spawn(move || await_decision(other.as_mut()).unwrap());
        announce(gang[0].as_mut(), &sent).unwrap();
        assert_eq!(reader.join().unwrap(), sent);
    }

    #[test]
    fn shares_are_a_partition_in_order() {
        for (rows, world) in [(0, 3), (1, 3), (7, 3), (64, 5)] {
            let all: Vec<usize> = (0..world).flat_map(|r| share(rows, r, world)).collect();
            assert_eq!(all, (0..rows).collect::<Vec<_>>());
        }
    }
}
