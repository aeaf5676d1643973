//! Live numbers: for a person a bar, for a machine one JSON line a step, for the report the newest values. Must not know
//! what is trained.
use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use coalition_protocol::messages::{Moments, Progress, Resume};
use coalition_protocol::{Real, Round};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::cursor::Cursor;
use crate::events::{Nothing, emit};

/// Steps over which speed is averaged at the least.
const WINDOW: usize = 16;
/// Steps that are kept for it at most.
const LARGEST_WINDOW: usize = 4096;

/// One line a step.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_field_names)] // The names of the line's fields.
struct Line {
    round: Round,
    inner_step: u64,
    step: u64,
    loss: f64,
    lr: f64,
    gradient_norm: f64,
    applied: bool,
    tokens: u64,
    tokens_per_second: f64,
    step_millis: f64,
}

/// What one step did.
pub struct Stepped {
    /// Its round.
    pub round: Round,
    /// Loss before the update, nats a token.
    pub loss: f64,
    /// Learning rate.
    pub lr: f64,
    /// Norm before clipping.
    pub gradient_norm: f64,
    /// False if it was skipped.
    pub applied: bool,
    /// Tokens of the whole batch.
    pub tokens: u64,
    /// How long it took.
    pub took: Duration,
}

/// Collects live numbers.
pub struct Meter {
    newest: VecDeque<(Round, Duration, u64)>,
    loss: Option<Real>,
    stepped: bool,
    bar: Option<ProgressBar>,
    waiting_since: Option<Instant>,
    resumed: Resume,
    moments: Moments,
}

impl Meter {
    /// For a run with a budget of `budget` tokens.
    pub fn new(budget: u64, resumed: Resume, moments: Moments) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(budget);
            let shape = "{msg} {wide_bar} {human_pos}/{human_len} tokens {eta}";
            if let Ok(style) = ProgressStyle::with_template(shape) {
                bar.set_style(style);
            }
            bar
        });
        Self { newest: VecDeque::new(), loss: None, stepped: false, bar, waiting_since: None, resumed, moments }
    }

    /// A step was done; `committed` tokens are committed.
    pub fn stepped(&mut self, s: &Stepped, cursor: &Cursor, committed: u64) {
        if !self.stepped {
            self.stepped = true;
            emit("firstStep", Nothing {});
        }
        self.waiting_since = None;
        self.newest.push_back((s.round, s.took, s.tokens));
        // The whole of this round and the last: plans follow this figure, and where sites share a machine the last steps of a
        // round are those of whoever was late, alone and fast. By them it would get still more work, and be still later.
        while self.newest.len() > LARGEST_WINDOW
            || (self.newest.len() > WINDOW && self.newest.front().is_some_and(|(round, ..)| round.next() < s.round))
        {
            self.newest.pop_front();
        }
        if let Ok(loss) = Real::new(s.loss) {
            self.loss = Some(loss);
        }
        let speed = self.speed();
        if let Some(bar) = &self.bar {
            bar.set_position(committed);
            bar.set_message(format!("round {} loss {:.3} {speed:.0} tokens/s", s.round, s.loss));
        } else {
            emit(
                "step",
                Line {
                    round: s.round,
                    inner_step: cursor.inner_step,
                    step: cursor.steps,
                    loss: s.loss,
                    lr: s.lr,
                    gradient_norm: s.gradient_norm,
                    applied: s.applied,
                    tokens: s.tokens,
                    tokens_per_second: speed,
                    step_millis: s.took.as_secs_f64() * 1e3,
                },
            );
        }
    }

    /// The moments were set to zero at a commit.
    pub fn zeroed(&mut self) {
        self.moments = Moments::Zero;
        emit("zeroed", Nothing {});
    }

    fn speed(&self) -> f64 {
        let seconds: f64 = self.newest.iter().map(|(_, took, _)| took.as_secs_f64()).sum();
        let tokens: u64 = self.newest.iter().map(|(.., tokens)| tokens).sum();
        if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 }
    }

    /// Nothing can be done at the moment; says so once a cause.
    pub fn waits(&mut self, why: &str) {
        self.waiting_since.get_or_insert_with(Instant::now);
        if let Some(bar) = &self.bar {
            bar.set_message(format!("waits for {why}"));
        }
    }

    /// What goes into the report.
    pub fn report(&self, cursor: &Cursor, inner_steps: u64, waiting_for: &str) -> Progress {
        let speed = self.speed();
        Progress {
            step: cursor.steps,
            round: cursor.round.next(),
            inner_step: cursor.inner_step,
            inner_steps,
            loss: self.loss,
            tokens_per_second: (speed > 0.0).then(|| Real::new(speed).ok()).flatten(),
            evaluation: cursor.evaluation.clone(),
            waiting_for: waiting_for.to_owned(),
            non_finite: cursor.non_finite,
            resumed: Some(self.resumed),
            moments: Some(self.moments),
        }
    }
}
