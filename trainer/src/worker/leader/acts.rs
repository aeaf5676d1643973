//! Carrying out what [`next`](crate::worker::next::next) says. Every act may be repeated after a failure. Must not decide.
use std::time::Instant;

use coalition_engine::{clock, rate};
use coalition_protocol::history::View;
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::messages::Evaluation;
use coalition_protocol::record::Plan;
use coalition_protocol::{Real, Seq, exit};
use coalition_store::StoreError;
use serde::Serialize;

use super::{Leader, Offered};
use crate::events::emit;
use crate::failure::{Failure, Stop};
use crate::worker::checkpointing::{NotSaved, save_run, save_site};
use crate::worker::contribution::{Work, create, step};
use crate::worker::cursor::WARMUP;
use crate::worker::decisions::Decision;
use crate::worker::next::Action;
use crate::worker::progress::Stepped;
use crate::worker::rank::Done;
use crate::worker::watch::Seen;

/// Why an act was not carried out.
pub(super) enum Undone {
    /// The store did not do its part; the act may be tried again.
    Later(StoreError),
    /// The gang's work stops.
    Stop(Stop),
}

impl From<StoreError> for Undone {
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::Fenced { .. } => Self::Stop(e.into()),
            e => Self::Later(e),
        }
    }
}
impl From<NotSaved> for Undone {
    fn from(e: NotSaved) -> Self {
        match e {
            NotSaved::Store(e) => e.into(),
            NotSaved::Stop(s) => Self::Stop(s),
        }
    }
}
impl From<Stop> for Undone {
    fn from(s: Stop) -> Self {
        Self::Stop(s)
    }
}
impl From<Failure> for Undone {
    fn from(f: Failure) -> Self {
        Self::Stop(f.into())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Took {
    seq: u64,
    round: u64,
    millis: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bits_per_byte: Option<f64>,
}

impl Leader<'_, '_> {
    pub(super) fn act(&mut self, seen: &Seen, view: &View, action: Action) -> Result<Option<u8>, Undone> {
        let started = Instant::now();
        let mut told = None;
        let what = match action {
            Action::Leave(how) => return Ok(Some(self.leave(seen, how)?)),
            Action::Wait(why) => {
                self.wait(seen, &why)?;
                return Ok(None);
            }
            Action::Step => {
                self.one_step(view)?;
                self.report(seen);
                return Ok(None);
            }
            Action::Begin(plan) => {
                self.cursor.begin(plan);
                return Ok(None);
            }
            Action::LeavePlan => {
                self.leave_plan(view);
                return Ok(None);
            }
            Action::DropLate => {
                tracing::warn!("late work has lost its lease and is dropped");
                self.cursor.settle();
                self.take_theta()?;
                return Ok(None);
            }
            Action::Save => {
                self.save()?;
                "saved"
            }
            Action::Offer => {
                self.offer(view)?;
                "offered"
            }
            Action::Apply(seq) => {
                self.apply(view, seq)?;
                "applied"
            }
            Action::Jump(seq) => {
                self.jump(view, seq)?;
                "jumped"
            }
            Action::Reproduce => {
                self.reproduce(seen, view)?;
                self.report(seen);
                return Ok(None);
            }
            Action::Store(seq) => {
                let stored = save_run(
                    self.store,
                    view,
                    &self.layout,
                    &self.spec.model.config,
                    self.rank.body,
                    seq,
                    &self.outer,
                )?;
                self.stored.insert(seq, stored);
                "stored"
            }
            Action::Evaluate(seq) => {
                told = self.evaluate(seq)?;
                "evaluated"
            }
        };
        let round = self.cursor.round.0;
        let millis = started.elapsed().as_secs_f64() * 1e3;
        emit(what, Took { seq: self.cursor.applied.0, round, millis, bits_per_byte: told });
        self.report(seen);
        Ok(None)
    }

    fn plan<'v>(&self, view: &'v View) -> Result<(Seq, &'v Plan), Failure> {
        self.cursor
            .plan
            .and_then(|seq| Some((seq, view.plan(seq)?)))
            .ok_or_else(|| Failure::bug("there is no plan in work"))
    }

    fn one_step(&mut self, view: &View) -> Result<(), Undone> {
        self.share()?;
        let (seq, plan) = self.plan(view)?;
        let part = plan.part(&self.site).ok_or_else(|| Failure::bug(format!("plan {seq} has no part of this site")))?;
        let positions = self.cursor.batch(plan, &self.site, self.rows());
        let t = &self.spec.training;
        // D11.
        let now = clock(plan.tokens_before, self.cursor.inner_step, part.inner_steps, plan.tokens(), plan.budget);
        let mut lr = rate(&t.schedule, t.optimizer.adamw().lr, now, plan.budget);
        if self.cursor.warmup_left > 0 {
            lr *= (WARMUP + 1 - self.cursor.warmup_left) as f64 / WARMUP as f64;
        }
        let tokens = positions.len() * self.spec.data.sequence_length as u64;
        let started = Instant::now();
        let decision = Decision::Step { positions, lr, number: self.cursor.steps };
        let Done::Stepped(report, hash, told) = self.together(&decision)? else {
            return Err(Failure::bug("a step did something else").into());
        };
        self.terminate |= told;
        self.cursor.stepped(hash, report.applied, plan.round);
        let stepped = Stepped {
            round: plan.round,
            loss: report.loss,
            lr,
            gradient_norm: report.gradient_norm,
            applied: report.applied,
            tokens,
            took: started.elapsed(),
        };
        self.meter.stepped(&stepped, &self.cursor, view.tokens());
        let budget = u64::from(self.spec.training.non_finite.skip_steps);
        if self.cursor.non_finite > budget {
            return Err(Failure::new(
                exit::CONFIG,
                format!(
                    "loss or gradient of {} steps was not finite, spec.training.nonFinite.skipSteps allows {budget}: the \
                     training diverged; lower the learning rate or clip harder, and go on from a checkpoint",
                    self.cursor.non_finite
                ),
            )
            .into());
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), Undone> {
        let pins: Vec<u64> = self.offered.iter().map(Offered::entry).collect();
        let saved = save_site(
            self.store,
            &mut self.log,
            &self.layout,
            &self.rank.body.trainer,
            &self.cursor,
            self.class,
            &pins,
        )?;
        self.saved = Some((self.cursor.clone(), saved.entry));
        self.saved_at = Instant::now();
        Ok(())
    }

    /// Offers what was trained: the site checkpoint at the snapshot first (D12), then the contribution or the step.
    fn offer(&mut self, view: &View) -> Result<(), Undone> {
        if self.saved.as_ref().is_none_or(|(c, _)| c.mark() != self.cursor.mark()) {
            self.save()?;
        }
        let Some((_, entry)) = self.saved.clone() else {
            return Err(Failure::bug("what was just saved is not there").into());
        };
        let (seq, plan) = self.plan(view)?;
        let (used, hash) = self.cursor.all_used(seq, plan, &self.site, self.rows());
        let positions: u64 = used.iter().map(|u| u.used.len()).sum();
        let work = Work { used, hash, tokens: positions * view.genesis().sequence_length };
        let x = self.rank.body.trainer.params();
        self.offered = Some(if plan.one_member() {
            Offered::Step(step(seq, &entry, &self.outer, x, work)?)
        } else {
            let key = ContributionKey {
                site: self.site.clone(),
                epoch: self.fence.epoch,
                incarnation: self.fence.incarnation,
                plan: seq,
                fragment: 0,
                entry: entry.n,
            };
            Offered::Contribution(create(self.store, view.run(), key, &self.outer, x, work)?)
        });
        Ok(())
    }

    fn evaluate(&mut self, seq: Seq) -> Result<Option<f64>, Undone> {
        self.share()?;
        let Done::Measured(nats, tokens, bytes) = self.together(&Decision::Evaluate)? else {
            return Err(Failure::bug("a measurement did something else").into());
        };
        let bits = coalition_data::HeldOut::bits_per_byte(nats, bytes as u64);
        self.cursor.measured = Some(seq);
        let (Ok(loss), Ok(bits_per_byte)) = (Real::new(nats / tokens), Real::new(bits)) else {
            tracing::warn!("the measurement of record {seq} is not a finite number and is not reported");
            return Ok(None);
        };
        self.cursor.evaluation = Some(Evaluation { of: seq, loss, bits_per_byte });
        Ok(Some(bits))
    }
}
