//! Rules and effects of plans and voids (D9, D14).
use super::apply::{Rule, rule};
use super::{Commit, View};
use crate::record::{End, Outcome, Part, Plan, STRETCH, State, Void};
use crate::{Round, Seq, SiteId};

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
        if p.stretch != STRETCH {
            return rule("D29", format!("stretch {}: this build knows leases for {STRETCH} × hᵢ alone", p.stretch));
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
            if worth != Some(part.tokens) || part.inner_steps == 0 {
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
        self.check_budget(p)?;
        self.ledger.can_lease(p.parts.iter().map(|p| (&p.site, &p.ranges))).map_err(|w| ("D24", w))
    }

    /// D11: T ends at the budget, rounded up to whole samples, and never above it. A contribution may stand for all that
    /// its site was leased up to its plan, and nobody knows how much of that it used before it offers. So the sum over the
    /// sites of all open plans counts with their leases whole: what a plan may lead to is bounded here, once, and no later
    /// record can pass it. Sites without a part in an open plan can contribute to none; their late work counts again in the
    /// plan that names them.
    fn check_budget(&self, p: &Plan) -> Result<(), Rule> {
        if !self.open.is_empty() && p.parts.iter().any(|p| p.drop_late) {
            return rule("D18", "late work is dropped only between rounds, while no plan is open");
        }
        let new = p.parts.iter().filter(|p| !p.drop_late).map(|p| &p.site);
        let mut sites: Vec<&SiteId> =
            self.open_plans().flat_map(|(_, p)| &p.parts).map(|p| &p.site).chain(new).collect();
        sites.sort_unstable();
        sites.dedup();
        let leased: u64 = sites.iter().flat_map(|s| self.ledger.leases(s)).map(|(_, l)| l.ranges.len()).sum();
        let granted = p.parts.iter().fold(0u64, |n, p| n.saturating_add(p.ranges.len()));
        let late = |p: &Part| !p.drop_late && self.ledger.leases(&p.site).next().is_some();
        if granted == 0 && !p.parts.iter().any(late) {
            return rule("D9", "nobody has anything to do in this plan");
        }
        let used = self.ledger.used().len();
        let most = p.budget.div_ceil(self.genesis.sequence_length);
        if used.saturating_add(leased).saturating_add(granted) > most {
            return rule(
                "D11",
                format!(
                    "{used} positions used, {leased} leased and {granted} more pass the budget of {most} positions"
                ),
            );
        }
        Ok(())
    }

    pub(super) fn do_plan(&mut self, seq: Seq, p: &Plan) {
        for part in &p.parts {
            if part.drop_late {
                self.ledger.release(&part.site, seq);
                self.forgive(&part.site);
            }
            if !part.ranges.is_empty() {
                self.ledger.lease(&part.site, part.incarnation, seq, &part.ranges);
            }
        }
        self.open.insert(p.round, seq);
        self.plans.insert(seq, p.clone());
        self.plans_issued += 1;
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
