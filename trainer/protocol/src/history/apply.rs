//! Legal transitions: every rule a record must keep to follow a head. Either all of a record is applied, or nothing.
use super::{Commit, Head, Ledger, Member, NORM_WINDOW, View, Violation};
use crate::record::{Body, End, Genesis, LeaseUse, Members, Outer, Plan, Record, State, Step, VERSION, Void};
use crate::{Digest, Epoch, Round, Seq, SiteId};

type Rule = (&'static str, String);

fn rule<T>(rule: &'static str, what: impl Into<String>) -> Result<T, Rule> {
    Err((rule, what.into()))
}

impl View {
    pub(super) fn genesis_of(record: &Record) -> Result<Self, Violation> {
        let link = |what: &str| Violation::Link { seq: record.seq.0, what: what.to_owned() };
        if record.version > VERSION {
            return Err(Violation::Version { seq: record.seq.0, version: record.version });
        }
        let Body::Genesis(g) = &record.body else { return Err(link("the first record must be genesis")) };
        if record.seq != Seq(0) || record.parent != Digest::ZERO || record.epoch != Epoch(1) {
            return Err(link("genesis has number 0, epoch 1 and no parent"));
        }
        let mut view = Self {
            run: record.run.clone(),
            head: Head { epoch: record.epoch, seq: record.seq, digest: record.digest()? },
            genesis: g.clone(),
            members: std::collections::BTreeMap::new(),
            plans: std::collections::BTreeMap::new(),
            open: std::collections::BTreeMap::new(),
            commits: [(Seq(0), (Round(0), Commit::Genesis))].into(),
            states: std::collections::BTreeMap::new(),
            ledger: Ledger::default(),
            tokens: 0,
            norms: Vec::new(),
            ended: None,
        };
        view.check_genesis(g).map_err(|(rule, what)| Violation::Rule {
            seq: record.seq.0,
            kind: "genesis",
            rule,
            what,
        })?;
        Ok(view)
    }

    fn check_genesis(&mut self, g: &Genesis) -> Result<(), Rule> {
        if g.sequence_length == 0 || g.batch_tokens == 0 || !g.batch_tokens.is_multiple_of(g.sequence_length) {
            return rule("D10", "batchTokens must be a positive multiple of sequenceLength");
        }
        if g.inner_steps == 0 || g.samples_per_pass == 0 || g.elements == 0 || g.fragments != 1 {
            return rule("D9", "innerSteps, samplesPerPass and elements must be positive and fragments 1");
        }
        if g.members.is_empty() {
            return rule("D9", "a run needs at least one member");
        }
        for m in &g.members {
            let member =
                Member { incarnation: m.incarnation, retired: false, set_aside: None, missed: 0, from_round: Round(1) };
            if self.members.insert(m.site.clone(), member).is_some() {
                return rule("D8", format!("site {} is named twice", m.site));
            }
        }
        Ok(())
    }

    /// Applies the next record, if it is a legal successor of the head. On an error nothing has changed.
    pub fn apply(&mut self, record: &Record) -> Result<(), Violation> {
        let seq = record.seq.0;
        let link = |what: String| Err(Violation::Link { seq, what });
        if record.version > VERSION {
            return Err(Violation::Version { seq, version: record.version });
        }
        if record.run != self.run {
            return link(format!("it belongs to run {}, not {}", record.run, self.run));
        }
        if record.seq != self.head.seq.next() {
            return link(format!("the head is {}, so the next is {}", self.head.seq, self.head.seq.next()));
        }
        if record.parent != self.head.digest {
            return link(format!("its parent is {}, the head {}", record.parent.short(), self.head.digest.short()));
        }
        if record.epoch != self.head.epoch {
            return link(format!(
                "epoch {} after {}: only rewind and takeover change it",
                record.epoch, self.head.epoch
            ));
        }
        let digest = record.digest()?;
        let mut next = self.clone();
        let done = if self.ended.is_some() {
            rule("D11", "the run has ended")
        } else {
            match &record.body {
                Body::Genesis(_) => rule("D6", "genesis comes first and once"),
                Body::Plan(p) => next.plan_(record.seq, p),
                Body::Outer(o) => next.outer(record.seq, o),
                Body::State(s) => next.state_(s),
                Body::Step(s) => next.step(record.seq, s),
                Body::Members(m) => next.members_(m),
                Body::Void(v) => next.void(v),
                Body::End(e) => next.end(e),
                Body::Rewind(_) | Body::Takeover(_) => {
                    return Err(Violation::Reserved { seq, kind: record.body.kind() });
                }
            }
        };
        done.map_err(|(rule, what)| Violation::Rule { seq, kind: record.body.kind(), rule, what })?;
        next.head = Head { epoch: record.epoch, seq: record.seq, digest };
        *self = next;
        Ok(())
    }

    fn plan_(&mut self, seq: Seq, p: &Plan) -> Result<(), Rule> {
        let expected = self.open.keys().next_back().copied().unwrap_or(self.last_round()).next();
        if p.round != expected || self.open.len() >= 2 {
            return rule(
                "D9",
                format!("round {} while {} plans are open and {expected} is next", p.round, self.open.len()),
            );
        }
        let in_flight: u64 = self.open_plans().map(|(_, p)| p.tokens()).sum();
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
        for part in &p.parts {
            match self.members.get(&part.site) {
                Some(m) if !m.retired && m.incarnation == part.incarnation && m.set_aside.is_none() => {
                    if p.round < m.from_round {
                        return rule("D9", format!("{} may enter at round {}", part.site, m.from_round));
                    }
                }
                _ => {
                    return rule(
                        "D8",
                        format!("{} incarnation {} is not a member in good standing", part.site, part.incarnation),
                    );
                }
            }
            let g = &self.genesis;
            if part.tokens != part.ranges.len() * g.sequence_length || part.ranges.is_empty() || part.inner_steps == 0 {
                return rule(
                    "D9",
                    format!("{} is given {} tokens for {} positions", part.site, part.tokens, part.ranges.len()),
                );
            }
            if part.tokens > part.inner_steps * g.batch_tokens {
                return rule(
                    "D9",
                    format!("{} cannot use {} tokens in {} steps", part.site, part.tokens, part.inner_steps),
                );
            }
            self.ledger.lease(&part.site, part.incarnation, seq, &part.ranges).map_err(|w| ("D24", w))?;
        }
        self.open.insert(p.round, seq);
        self.plans.insert(seq, p.clone());
        Ok(())
    }

    /// The open plan that a commit of (plan, round) carries out: it must be the next round.
    fn closing(&self, plan: Seq, round: Round) -> Result<Plan, Rule> {
        if round != self.last_round().next() || self.open.get(&round) != Some(&plan) {
            return rule(
                "D14",
                format!("plan {plan} for round {round} is not the open plan of round {}", self.last_round().next()),
            );
        }
        self.plans.get(&plan).cloned().ok_or(("D14", format!("plan {plan} is unknown")))
    }

    fn consume(&mut self, site: &SiteId, inc: crate::Incarnation, used: &[LeaseUse]) -> Result<u64, Rule> {
        if !used.windows(2).all(|w| w[0].plan < w[1].plan) {
            return rule("D24", format!("{site} names its leases out of order"));
        }
        let mut positions = 0;
        for u in used {
            self.ledger.consume(site, inc, u.plan, &u.used).map_err(|w| ("D24", w))?;
            positions += u.used.len();
        }
        Ok(positions * self.genesis.sequence_length)
    }

    fn outer(&mut self, seq: Seq, o: &Outer) -> Result<(), Rule> {
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
        for i in &o.included {
            let Some(part) = plan.part(&i.key.site) else {
                return rule("D14", format!("{} has no part in plan {}", i.key.site, o.plan));
            };
            if i.key.incarnation != part.incarnation
                || self.incarnation(&i.key.site) != Some(part.incarnation)
                || i.key.epoch != self.head.epoch
                || i.key.plan != o.plan
                || i.key.fragment != o.fragment
            {
                return rule("D8", format!("contribution {} carries a stale fence", i.key));
            }
            if plan.norm_limit.is_some_and(|l| i.norm.get() > l.get()) {
                return rule("D14", format!("norm {} of {} is above the limit", i.norm, i.key));
            }
            let tokens = self.consume(&i.key.site, i.key.incarnation, &i.used)?;
            if tokens != i.tokens || tokens == 0 {
                return rule("D25", format!("{} counts {} tokens for positions worth {tokens}", i.key, i.tokens));
            }
            self.tokens += tokens;
            self.ledger.release(&i.key.site, o.plan);
            if let Some(m) = self.members.get_mut(&i.key.site) {
                m.missed = 0;
            }
            self.norms.push(i.norm);
        }
        if o.tokens != self.tokens {
            return rule("D25", format!("tokens {} recorded, {} counted", o.tokens, self.tokens));
        }
        if o.holders.is_empty() || !o.holders.windows(2).all(|w| w[0] < w[1]) {
            return rule("D14", "holders must be named, in order, each once");
        }
        if let Some(h) = o.holders.iter().find(|h| self.incarnation(h).is_none()) {
            return rule("D14", format!("holder {h} is not a member"));
        }
        let absent: Vec<_> = plan.parts.iter().filter(|p| !o.included.iter().any(|i| i.key.site == p.site)).collect();
        if absent.len() != o.left_out.len() {
            return rule("D18", "leftOut must name every planned member that is not included");
        }
        for (part, left) in absent.iter().zip(&o.left_out) {
            let retired = self.incarnation(&part.site) != Some(part.incarnation);
            let missed = self.members.get(&part.site).map_or(0, |m| m.missed);
            let returned = retired || missed >= 1;
            if left.site != part.site || left.incarnation != part.incarnation || left.returned != returned {
                return rule(
                    "D18",
                    format!("{} is left out with returned = {}, expected {returned}", left.site, left.returned),
                );
            }
            if returned {
                self.ledger.release(&part.site, o.plan);
            }
            if !retired && let Some(m) = self.members.get_mut(&part.site) {
                m.missed = u32::from(!returned);
            }
        }
        let extra = self.norms.len().saturating_sub(NORM_WINDOW);
        self.norms.drain(..extra);
        self.open.remove(&o.round);
        self.commits.insert(seq, (o.round, Commit::Outer(o.clone())));
        Ok(())
    }

    fn step(&mut self, seq: Seq, s: &Step) -> Result<(), Rule> {
        let plan = self.closing(s.plan, s.round)?;
        let Some(part) = plan.part(&s.site).filter(|_| plan.one_member()) else {
            return rule("D30", format!("{} is not the one member of plan {}", s.site, s.plan));
        };
        if part.incarnation != s.incarnation || self.incarnation(&s.site) != Some(s.incarnation) {
            return rule("D8", format!("{} incarnation {} is not valid", s.site, s.incarnation));
        }
        let tokens = self.consume(&s.site, s.incarnation, &s.used)?;
        if tokens == 0 || s.tokens != self.tokens + tokens {
            return rule("D25", format!("tokens {} recorded, {} + {tokens} counted", s.tokens, self.tokens));
        }
        self.tokens = s.tokens;
        self.ledger.release(&s.site, s.plan);
        if let Some(m) = self.members.get_mut(&s.site) {
            m.missed = 0;
        }
        self.open.remove(&s.round);
        self.commits.insert(seq, (s.round, Commit::Step(s.clone())));
        self.states.insert(seq, (s.state, vec![s.site.clone()]));
        Ok(())
    }

    fn state_(&mut self, s: &State) -> Result<(), Rule> {
        if !matches!(self.commits.get(&s.of), Some((_, Commit::Genesis | Commit::Outer(_)))) {
            return rule("D17", format!("record {} has no state to fix", s.of));
        }
        if s.confirmers.is_empty() || self.states.insert(s.of, (s.digest, s.confirmers.clone())).is_some() {
            return rule("D17", format!("the state of record {} is fixed once, by at least one site", s.of));
        }
        Ok(())
    }

    fn members_(&mut self, m: &Members) -> Result<(), Rule> {
        for r in &m.retired {
            match self.members.get_mut(&r.site) {
                Some(x) if !x.retired && x.incarnation == r.incarnation => {
                    x.retired = true;
                    x.set_aside = None;
                    self.ledger.release(&r.site, Seq(u64::MAX));
                }
                _ => return rule("D8", format!("{} incarnation {} cannot be retired", r.site, r.incarnation)),
            }
        }
        // D9: a new site enters earliest two rounds later.
        let from_round = Round(self.last_round().0 + 2);
        for j in &m.joined {
            let expected = match self.members.get(&j.site) {
                Some(x) if !x.retired => return rule("D8", format!("{} is a member already", j.site)),
                Some(x) => x.incarnation.next(),
                None => crate::Incarnation(1),
            };
            if j.incarnation != expected {
                return rule("D8", format!("{} joins as incarnation {}, expected {expected}", j.site, j.incarnation));
            }
            let member = Member { incarnation: expected, retired: false, set_aside: None, missed: 0, from_round };
            self.members.insert(j.site.clone(), member);
        }
        for s in &m.set_aside {
            match self.members.get_mut(&s.site) {
                Some(x) if !x.retired && x.incarnation == s.incarnation && x.set_aside.is_none() => {
                    x.set_aside = Some(s.reason.clone());
                }
                _ => return rule("D14", format!("{} cannot be set aside", s.site)),
            }
        }
        for l in &m.lifted {
            match self.members.get_mut(l) {
                Some(x) if !x.retired && x.set_aside.is_some() => x.set_aside = None,
                _ => return rule("D14", format!("{l} is not set aside")),
            }
        }
        Ok(())
    }

    fn void(&mut self, v: &Void) -> Result<(), Rule> {
        let open: Vec<Seq> = self.open.values().copied().collect();
        if open.is_empty() || v.plans != open || v.round != self.last_round().next() {
            return rule("D14", format!("a void names every open plan ({open:?}) and the next round"));
        }
        self.open.clear();
        Ok(())
    }

    fn end(&mut self, e: &End) -> Result<(), Rule> {
        let (of, ..) = self.last_commit();
        if e.of != of || e.tokens != self.tokens || e.state != self.states.get(&of).map(|s| s.0) {
            return rule("D11", "end must name the last commit, its tokens and its state");
        }
        if e.outcome == crate::record::Outcome::Complete && (e.state.is_none() || e.confirmers.is_empty()) {
            return rule("D11", "a complete run has an agreed state and sites that hold its checkpoint");
        }
        self.open.clear();
        self.ended = Some(e.clone());
        Ok(())
    }
}
