//! Rules and effects of commits: outer steps and steps of one-member plans (D14, D15, D18, D24, D25, D30).
use super::apply::{Rule, rule};
use super::{Commit, Mark, NORM_WINDOW, View};
use crate::record::{Body, Included, LeaseUse, Outer, Plan, Step};
use crate::sign::SignedRecord;
use crate::{Incarnation, Round, Seq, SiteId};

/// True if a commit names work of this incarnation of the site, which then had a store and opened it (D8). For who has the
/// records at hand and no view of them.
pub fn names_work_of(records: &[SignedRecord], site: &SiteId, incarnation: Incarnation) -> bool {
    records.iter().any(|r| match &r.record.body {
        Body::Outer(o) => o.included.iter().any(|i| i.key.site == *site && i.key.incarnation == incarnation),
        Body::Step(s) => s.site == *site && s.incarnation == incarnation,
        _ => false,
    })
}

impl View {
    /// What positions used by a contribution to `plan` are worth in tokens, if (site, incarnation) may use them: a prefix of
    /// each of its leases of this plan and of earlier ones (late work, D18).
    pub fn worth(
        &self,
        site: &SiteId,
        incarnation: Incarnation,
        plan: Seq,
        used: &[LeaseUse],
    ) -> Result<u64, (&'static str, String)> {
        if !used.windows(2).all(|w| w[0].plan < w[1].plan) {
            return rule("D24", format!("{site} names its leases out of order"));
        }
        let mut positions = 0u64;
        for u in used {
            if u.plan > plan {
                return rule("D24", format!("{site} used positions of plan {} for plan {plan}", u.plan));
            }
            self.ledger.can_consume(site, incarnation, u.plan, &u.used).map_err(|w| ("D24", w))?;
            positions += u.used.len();
        }
        Ok(positions * self.genesis.sequence_length)
    }

    pub(super) fn check_outer(&self, o: &Outer) -> Result<(), Rule> {
        let plan = self.closing(o.plan, o.round)?;
        if plan.one_member() {
            return rule("D30", "a plan with one member commits step records");
        }
        if o.fragment >= self.genesis.fragments {
            return rule("D3", format!("fragment {} of {}", o.fragment, self.genesis.fragments));
        }
        if (o.included.len() as u64) < u64::from(plan.quorum) {
            return rule("D14", format!("{} contributions, the quorum is {}", o.included.len(), plan.quorum));
        }
        if !o.included.windows(2).all(|w| w[0].key.site < w[1].key.site) {
            return rule("D15", "contributions are not ordered by site, each once");
        }
        let before = self.last_commit().0;
        if before == Seq(0) && !self.states.contains_key(&before) {
            return rule("D17", "the initial state has no agreed digest yet");
        }
        let mut tokens = self.tokens;
        for i in &o.included {
            tokens += self.check_included(o, plan, i)?;
        }
        if o.tokens != tokens {
            return rule("D25", format!("tokens {} recorded, {tokens} counted", o.tokens));
        }
        if o.holders.is_empty() || !o.holders.windows(2).all(|w| w[0] < w[1]) {
            return rule("D14", "holders must be named, in order, each once");
        }
        if let Some(h) = o.holders.iter().find(|h| self.incarnation(h).is_none()) {
            return rule("D14", format!("holder {h} is not a member"));
        }
        self.check_left_out(o, plan)
    }

    fn check_included(&self, o: &Outer, plan: &Plan, i: &Included) -> Result<u64, Rule> {
        let Some(part) = plan.part(&i.key.site) else {
            return rule("D14", format!("{} has no part in plan {}", i.key.site, o.plan));
        };
        let in_good_standing =
            self.members.get(&i.key.site).is_some_and(|m| m.in_good_standing() && m.incarnation == part.incarnation);
        if i.key.incarnation != part.incarnation
            || !in_good_standing
            || i.key.epoch != self.head.epoch
            || i.key.plan != o.plan
            || i.key.fragment != o.fragment
        {
            return rule("D8", format!("contribution {} carries a stale fence or is of a site set aside", i.key));
        }
        if plan.norm_limit.is_some_and(|l| i.norm.get() > l.get()) {
            return rule("D14", format!("norm {} of {} is above the limit", i.norm, i.key));
        }
        let tokens = self.worth(&i.key.site, i.key.incarnation, o.plan, &i.used)?;
        if tokens != i.tokens || tokens == 0 {
            return rule("D25", format!("{} counts {} tokens for positions worth {tokens}", i.key, i.tokens));
        }
        Ok(tokens)
    }

    fn check_left_out(&self, o: &Outer, plan: &Plan) -> Result<(), Rule> {
        let expected = self.left_out(plan, |s| o.included.iter().any(|i| i.key.site == *s));
        if expected == o.left_out {
            return Ok(());
        }
        rule("D18", format!("leftOut must name, in order, every planned member that is not included: {expected:?}"))
    }

    pub(super) fn do_outer(&mut self, seq: Seq, o: &Outer) {
        for i in &o.included {
            for u in &i.used {
                self.ledger.consume(&i.key.site, u.plan, &u.used);
            }
            // D24: the unused rest returns with the record that includes the site's contribution.
            self.ledger.release(&i.key.site, o.plan);
            self.forgive(&i.key.site);
            self.norms.push(i.norm);
        }
        let extra = self.norms.len().saturating_sub(NORM_WINDOW);
        self.norms.drain(..extra);
        for left in &o.left_out {
            if left.returned {
                self.ledger.release(&left.site, o.plan);
            }
            if let Some(m) = self.members.get_mut(&left.site)
                && !m.retired
                && m.incarnation == left.incarnation
            {
                m.missed = u32::from(!left.returned);
            }
        }
        self.tokens = o.tokens;
        self.open.remove(&o.round);
        self.short_rounds += u64::from(!o.left_out.is_empty());
        self.add_commit(seq, o.round, Commit::Outer(o.clone()));
    }

    fn add_commit(&mut self, seq: Seq, round: Round, commit: Commit) {
        let before = self.last_commit().0;
        let members = &self.members;
        let has = |site: &SiteId| match &commit {
            Commit::Genesis => true,
            Commit::Outer(o) => o.holders.contains(site),
            Commit::Step(s) => s.site == *site && members.get(site).is_some_and(|m| m.incarnation == s.incarnation),
        };
        for (site, at) in &mut self.reached {
            if *at == before && has(site) {
                *at = seq;
            }
        }
        self.marks.insert(seq, Mark { round, tokens: self.tokens });
        self.commits.insert(seq, (round, commit));
    }

    pub(super) fn check_step(&self, s: &Step) -> Result<(), Rule> {
        let plan = self.closing(s.plan, s.round)?;
        let Some(part) = plan.part(&s.site).filter(|_| plan.one_member()) else {
            return rule("D30", format!("{} is not the one member of plan {}", s.site, s.plan));
        };
        if part.incarnation != s.incarnation || self.incarnation(&s.site) != Some(s.incarnation) {
            return rule("D8", format!("{} incarnation {} is not valid", s.site, s.incarnation));
        }
        let tokens = self.worth(&s.site, s.incarnation, s.plan, &s.used)?;
        if tokens == 0 || s.tokens != self.tokens + tokens {
            return rule("D25", format!("tokens {} recorded, {} + {tokens} counted", s.tokens, self.tokens));
        }
        Ok(())
    }

    pub(super) fn do_step(&mut self, seq: Seq, s: &Step) {
        for u in &s.used {
            self.ledger.consume(&s.site, u.plan, &u.used);
        }
        self.ledger.release(&s.site, s.plan);
        self.forgive(&s.site);
        self.tokens = s.tokens;
        self.open.remove(&s.round);
        self.add_commit(seq, s.round, Commit::Step(s.clone()));
        self.states.insert(seq, (s.state, vec![s.site.clone()]));
    }

    pub(super) fn forgive(&mut self, site: &SiteId) {
        if let Some(m) = self.members.get_mut(site) {
            m.missed = 0;
        }
    }
}
