//! What follows from a worker's end: leave or restart, at once or after a pause. Pure.
use std::time::Duration;

use coalition_protocol::exit;
use coalition_protocol::messages::Orders;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Leave with this code.
    Exit(u8),
    /// Start the worker again.
    Restart,
}

/// Decides after a worker ended with `code`. `terminating`: SIGTERM was passed on. `stopped`: the permit ran out. `orders`:
/// what the gateway said, if it did.
pub(super) fn after_exit(code: i32, terminating: bool, stopped: bool, orders: Option<Orders>) -> After {
    let own = u8::try_from(code).unwrap_or(exit::BUG);
    if terminating {
        return After::Exit(if own == exit::FINISHED && orders != Some(Orders::Leave) { exit::STOPPED } else { own });
    }
    if stopped {
        return After::Exit(exit::GATEWAY);
    }
    match orders {
        // 0 is said only after the gateway confirmed the end.
        Some(Orders::Leave) if own == exit::FINISHED => After::Exit(exit::FINISHED),
        Some(Orders::Leave) if own == exit::STOPPED => After::Exit(exit::STOPPED),
        Some(Orders::Leave) => After::Exit(if own == exit::CONFIG || own == exit::DATA { own } else { exit::GATEWAY }),
        None if own == exit::FINISHED => After::Exit(exit::TRY_AGAIN),
        Some(Orders::Restart) | None => After::Restart,
    }
}

/// Processes in a row that ended before their first inner step.
#[derive(Debug, Default)]
pub(super) struct Streak(u32);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(10);

impl Streak {
    /// How long to wait before the next start: nothing as long as processes make progress, and nothing the first two times
    /// they do not (killed while restoring); then 100 ms, doubling up to 10 s. So the eighth kill of a training process costs
    /// what the first did, and a process that cannot start does not burn the machine.
    pub fn pause(&mut self, progressed: bool) -> Duration {
        self.0 = if progressed { 0 } else { self.0.saturating_add(1) };
        match self.0.checked_sub(3) {
            None => Duration::ZERO,
            Some(n) => LONGEST.min(Duration::from_millis(100) * 2u32.saturating_pow(n)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::finished(0, false, false, Some(Orders::Leave), After::Exit(0))]
    #[case::finished_but_unconfirmed(0, false, false, None, After::Exit(75))]
    #[case::finished_too_early(0, false, false, Some(Orders::Restart), After::Restart)]
    #[case::killed(137, false, false, Some(Orders::Restart), After::Restart)]
    #[case::killed_gateway_away(137, false, false, None, After::Restart)]
    #[case::killed_and_unwanted(137, false, false, Some(Orders::Leave), After::Exit(69))]
    #[case::suspended(143, false, false, Some(Orders::Leave), After::Exit(143))]
    #[case::bad_configuration(64, false, false, Some(Orders::Leave), After::Exit(64))]
    #[case::bad_configuration_may_be_mended(64, false, false, Some(Orders::Restart), After::Restart)]
    #[case::terminated(143, true, false, Some(Orders::Restart), After::Exit(143))]
    #[case::terminated_and_killed(137, true, false, None, After::Exit(137))]
    #[case::permit_lost(143, false, true, None, After::Exit(69))]
    fn what_follows(
        #[case] code: i32,
        #[case] terminating: bool,
        #[case] stopped: bool,
        #[case] orders: Option<Orders>,
        #[case] expected: After,
    ) {
        assert_eq!(after_exit(code, terminating, stopped, orders), expected);
    }

    #[test]
    fn a_process_that_trained_is_restarted_at_once_however_often() {
        let mut s = Streak::default();
        assert!((0..100).all(|_| s.pause(true) == Duration::ZERO));
    }

    #[test]
    fn a_process_that_never_starts_is_restarted_ever_more_slowly() {
        let mut s = Streak::default();
        let pauses: Vec<u64> = (0..12).map(|_| s.pause(false).as_millis() as u64).collect();
        assert_eq!(pauses, [0, 0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
        assert_eq!(s.pause(true), Duration::ZERO);
    }
}
