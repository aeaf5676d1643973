//! The clock and the learning rate on it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_wrap)] // tests: a failure here is the finding
use coalition_engine::{clock, rate};
use coalition_spec::training::Schedule;
use proptest::prelude::*;

/// A tenth of the budget of 1000 warms up, the last fifth decays: corners at round numbers.
const WSD: Schedule = Schedule::Wsd { warmup_tokens: 100, decay_share: 0.2 };
/// The same warm-up, then half a cosine.
const COSINE: Schedule = Schedule::Cosine { warmup_tokens: 100 };
/// The same warm-up, then flat.
const CONSTANT: Schedule = Schedule::Constant { warmup_tokens: 100 };

#[test]
fn rates_by_hand() {
    for (schedule, at, share) in [
        (WSD, 0.0, 0.0),
        (WSD, 25.0, 0.25),
        (WSD, 100.0, 1.0),
        (WSD, 800.0, 1.0),
        (WSD, 900.0, 0.5),
        (WSD, 1000.0, 0.0),
        (WSD, 2000.0, 0.0),
        (COSINE, 50.0, 0.5),
        (COSINE, 100.0, 1.0),
        (COSINE, 550.0, 0.5),
        (COSINE, 325.0, 0.5 + 0.5 * std::f64::consts::FRAC_1_SQRT_2),
        (COSINE, 1000.0, 0.0),
        (CONSTANT, 10.0, 0.1),
        (CONSTANT, 1000.0, 1.0),
        (Schedule::Constant { warmup_tokens: 0 }, 0.0, 1.0),
        (Schedule::Wsd { warmup_tokens: 0, decay_share: 0.0 }, 1000.0, 1.0),
        (Schedule::Cosine { warmup_tokens: 1000 }, 1000.0, 1.0),
    ] {
        let got = rate(&schedule, 3e-3, at, 1000);
        assert!((got - 3e-3 * share).abs() < 1e-15, "{schedule:?} at {at}: {got}");
    }
}

#[test]
fn the_clock_runs_from_the_plan_to_the_next() {
    assert_eq!(clock(1000, 0, 8, 400, 10_000), 1000.0);
    assert_eq!(clock(1000, 2, 8, 400, 10_000), 1100.0);
    assert_eq!(clock(1000, 8, 8, 400, 10_000), clock(1400, 0, 8, 400, 10_000));
    // A stretched round and the end of the budget.
    assert_eq!(clock(1000, 16, 8, 400, 10_000), 1800.0);
    assert_eq!(clock(1000, 8, 8, 400, 1200), 1200.0);
}

proptest! {
    #[test]
    fn bounded_and_continuous(at in 0.0f64..2e6, warmup in 0u64..400_000, share in 0.0f64..1.0) {
        let budget = 1_000_000;
        for s in [
            Schedule::Wsd { warmup_tokens: warmup, decay_share: share },
            Schedule::Cosine { warmup_tokens: warmup },
            Schedule::Constant { warmup_tokens: warmup },
        ] {
            let (a, b) = (rate(&s, 1.0, at, budget), rate(&s, 1.0, at + 1.0, budget));
            prop_assert!((0.0..=1.0).contains(&a));
            // One token moves the rate by at most one part in the shortest ramp.
            let ramp = (warmup as f64).min(share * 1e6).min(1e6 - warmup as f64).max(1.0);
            prop_assert!((a - b).abs() <= 2.0 / ramp);
        }
    }
}
