//! Rules and effects of plans and voids (D9, D14).
use super::apply::{Rule, rule};
use super::{Commit, View};
use crate::record::{End, Outcome, Plan, State, Void};
use crate::{Round, Seq};

impl View {
    pub(super) fn check_plan(&self, p: &Plan) -> Result<(), Rule> {
        let expected = self.next_round();
        if p.round != expected || self.open.len() >= 2 {
            return rule(
                "D9",
                format!("round {} while {} plans are open and {expected} is next", p.round, self.open.len()),
            );
        }
        let in_flight = self.in_flight();
        if p.tokens_before != self.tokens + in_flight {
            return rule(
                "D9",
                format!("tokensBefore {} is not {} committed + {in_flight} in flight", p.tokens_before, self.tokens),
            );
        }
        if p.parts.is_empty() || p.quorum == 0 || p.quorum as usize > p.parts.len() {
            return rule("D9", format!("quorum {} of {} parts", p.quorum, p.parts.len()));
        }
        if !p.parts.windows(2).all(|w| w[0].site < w[1].site) {
            return rule("D9", "parts are not ordered by site, each once");
        }
        let plannable: Vec<_> = self.plannable(p.round).collect();
        for part in &p.parts {
            let standing = self.members.get(&part.site).filter(|m| m.in_good_standing());
            let Some(member) = standing.filter(|m| m.incarnation == part.incarnation) else {
                return rule(
                    "D8",
                    format!("{} incarnation {} is not a member in good standing", part.site, part.incarnation),
                );
            };
            if !plannable.contains(&&part.site) {
                return rule("D9", format!("{} may enter at round {}", part.site, member.from_round));
            }
            let g = &self.genesis;
            let worth = part.ranges.len().checked_mul(g.sequence_length);
            if worth != Some(part.tokens) || part.ranges.is_empty() || part.inner_steps == 0 {
                return rule(
                    "D9",
                    format!("{} is given {} tokens for {} positions", part.site, part.tokens, part.ranges.len()),
                );
            }
            if part.inner_steps.checked_mul(g.batch_tokens).is_some_and(|most| part.tokens > most) {
                return rule(
                    "D9",
                    format!("{} cannot use {} tokens in {} steps", part.site, part.tokens, part.inner_steps),
                );
            }
        }
        if p.one_member()
            && let Some(other) = self.plannable(p.round).find(|s| p.part(s).is_none())
        {
            return rule("D9", format!("a plan for one member while {other} is a member in good standing"));
        }
        self.ledger.can_lease(p.parts.iter().map(|p| (&p.site, &p.ranges))).map_err(|w| ("D24", w))
    }

    pub(super) fn do_plan(&mut self, seq: Seq, p: &Plan) {
        for part in &p.parts {
            self.ledger.lease(&part.site, part.incarnation, seq, &part.ranges);
        }
        self.open.insert(p.round, seq);
        self.plans.insert(seq, p.clone());
    }

    /// The open plan that a commit of (plan, round) carries out: it must be the next round.
    pub(super) fn closing(&self, plan: Seq, round: Round) -> Result<&Plan, Rule> {
        if round != self.last_round().next() || self.open.get(&round) != Some(&plan) {
            return rule(
                "D14",
                format!("plan {plan} for round {round} is not the open plan of round {}", self.last_round().next()),
            );
        }
        self.plans.get(&plan).ok_or(("D14", format!("plan {plan} is unknown")))
    }

    pub(super) fn check_void(&self, v: &Void) -> Result<(), Rule> {
        let open: Vec<Seq> = self.open.values().copied().collect();
        if open.is_empty() || v.plans != open || v.round != self.last_round().next() {
            return rule("D14", format!("a void names every open plan ({open:?}) and the next round"));
        }
        Ok(())
    }

    pub(super) fn check_state(&self, s: &State) -> Result<(), Rule> {
        if !matches!(self.commits.get(&s.of), Some((_, Commit::Genesis | Commit::Outer(_)))) {
            return rule("D17", format!("record {} has no state to fix", s.of));
        }
        if self.states.contains_key(&s.of) {
            return rule("D17", format!("the state of record {} is fixed already", s.of));
        }
        if s.confirmers.is_empty() || !s.confirmers.windows(2).all(|w| w[0] < w[1]) {
            return rule("D17", "confirmers must be named, in order, each once");
        }
        match s.confirmers.iter().find(|c| self.incarnation(c).is_none()) {
            Some(c) => rule("D17", format!("confirmer {c} is not a member")),
            None => Ok(()),
        }
    }

    pub(super) fn check_end(&self, e: &End) -> Result<(), Rule> {
        let (of, ..) = self.last_commit();
        if e.of != of || e.tokens != self.tokens || e.state != self.states.get(&of).map(|s| s.0) {
            return rule("D11", "end must name the last commit, its tokens and its state");
        }
        if e.outcome != Outcome::Complete {
            return Ok(());
        }
        if e.state.is_none() || e.confirmers.is_empty() {
            return rule("D11", "a complete run has an agreed state and sites that hold its checkpoint");
        }
        // The budget in force may only be raised, so genesis names the least it can be.
        if self.tokens < self.genesis.budget {
            return rule("D11", format!("complete at {} tokens of at least {}", self.tokens, self.genesis.budget));
        }
        Ok(())
    }
}
