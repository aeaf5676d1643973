//! The inner learning rate as a function of committed tokens (D11). Pure.
use coalition_spec::training::Schedule;

/// The clock of an inner step: min(budget, T + (j / h)·Σn), in tokens. `committed` is T of the plan, `step` of `steps` is
/// j of h (from 0), `planned` the tokens that all sites together add in the round.
pub fn clock(committed: u64, step: u64, steps: u64, planned: u64, budget: u64) -> f64 {
    let part = if steps == 0 { 0.0 } else { step as f64 / steps as f64 };
    (committed as f64 + part * planned as f64).min(budget as f64)
}

/// The learning rate at a clock, for a peak of `lr`.
///
/// Warm-up is linear from zero; WSD falls linearly to zero over the last `decay_share` of the budget, the cosine falls to
/// zero from the end of the warm-up to the budget. Where the warm-up would reach into the decay, the smaller of the two
/// holds. A clock beyond the budget counts as the budget.
pub fn rate(schedule: &Schedule, lr: f64, clock: f64, budget: u64) -> f64 {
    let budget = budget as f64;
    let clock = clock.clamp(0.0, budget);
    let warmup = schedule.warmup_tokens() as f64;
    let rising = if clock < warmup { clock / warmup } else { 1.0 };
    let falling = match schedule {
        Schedule::Constant { .. } => 1.0,
        Schedule::Wsd { decay_share, .. } => {
            let decay = decay_share * budget;
            if decay > 0.0 { ((budget - clock) / decay).min(1.0) } else { 1.0 }
        }
        Schedule::Cosine { .. } => {
            let span = budget - warmup;
            let done = if span > 0.0 { ((clock - warmup) / span).clamp(0.0, 1.0) } else { 0.0 };
            0.5 * (1.0 + (std::f64::consts::PI * done).cos())
        }
    };
    lr * rising.min(falling)
}
