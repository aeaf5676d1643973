//! Applying a record: the link to the head, then the rules of its kind, then its effect. All is checked before anything
//! changes, so a refused record leaves no trace, and no copy of the view is made.
use super::{Commit, Head, Ledger, Mark, Member, View, Violation};
use crate::record::{Body, Genesis, Record, VERSION};
use crate::{Digest, Epoch, Round, Seq};

/// A definition and what breaks it.
pub(super) type Rule = (&'static str, String);

pub(super) fn rule<T>(rule: &'static str, what: impl Into<String>) -> Result<T, Rule> {
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
        check_genesis(g).map_err(|(rule, what)| Violation::Rule { seq: record.seq.0, kind: "genesis", rule, what })?;
        let digest = record.digest()?;
        let member = |inc| Member {
            incarnation: inc,
            retired: false,
            set_aside: None,
            missed: 0,
            from_round: Round(1),
            joined_at: Seq(0),
            set_aside_at: None,
        };
        Ok(Self {
            run: record.run.clone(),
            head: Head { epoch: record.epoch, seq: record.seq, digest },
            digests: vec![digest],
            members: g.members.iter().map(|m| (m.site.clone(), member(m.incarnation))).collect(),
            genesis: g.clone(),
            plans: std::collections::BTreeMap::new(),
            plans_issued: 0,
            open: std::collections::BTreeMap::new(),
            marks: [(Seq(0), Mark { round: Round(0), tokens: 0 })].into(),
            short_rounds: 0,
            reached: g.members.iter().map(|m| (m.site.clone(), Seq(0))).collect(),
            commits: [(Seq(0), (Round(0), Commit::Genesis))].into(),
            // An adopted state is fixed by its name: nobody computes it, everybody compares with it.
            states: g.origin.iter().map(|o| (Seq(0), (o.state, Vec::new()))).collect(),
            ledger: Ledger::default(),
            tokens: 0,
            norms: Vec::new(),
            ended: None,
        })
    }

    /// Applies the next record, if it is a legal successor of the head. On an error nothing has changed.
    pub fn apply(&mut self, record: &Record) -> Result<(), Violation> {
        self.check_link(record)?;
        let digest = record.digest()?;
        self.check_body(record)?;
        self.effect(record.seq, &record.body);
        self.head = Head { epoch: record.epoch, seq: record.seq, digest };
        self.digests.push(digest);
        Ok(())
    }

    /// Checks whether `record` may follow the head, and changes nothing.
    pub fn check(&self, record: &Record) -> Result<(), Violation> {
        self.check_link(record)?;
        record.digest()?;
        self.check_body(record)
    }

    fn check_link(&self, record: &Record) -> Result<(), Violation> {
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
        Ok(())
    }

    fn check_body(&self, record: &Record) -> Result<(), Violation> {
        let seq = record.seq.0;
        let done = if self.ended.is_some() {
            rule("D11", "the run has ended")
        } else {
            match &record.body {
                Body::Genesis(_) => rule("D6", "genesis comes first and once"),
                Body::Plan(p) => self.check_plan(p),
                Body::Outer(o) => self.check_outer(o),
                Body::State(s) => self.check_state(s),
                Body::Step(s) => self.check_step(s),
                Body::Members(m) => self.check_members(m),
                Body::Void(v) => self.check_void(v),
                Body::End(e) => self.check_end(e),
                Body::Rewind(_) | Body::Takeover(_) => {
                    return Err(Violation::Reserved { seq, kind: record.body.kind() });
                }
            }
        };
        done.map_err(|(rule, what)| Violation::Rule { seq, kind: record.body.kind(), rule, what })
    }

    // Only after `check_body`: what it refuses never gets here.
    fn effect(&mut self, seq: Seq, body: &Body) {
        match body {
            Body::Plan(p) => self.do_plan(seq, p),
            Body::Outer(o) => self.do_outer(seq, o),
            Body::State(s) => {
                self.states.insert(s.of, (s.digest, s.confirmers.clone()));
            }
            Body::Step(s) => self.do_step(seq, s),
            Body::Members(m) => self.do_members(seq, m),
            Body::Void(_) => self.open.clear(),
            Body::End(e) => {
                self.open.clear();
                self.ended = Some(e.clone());
            }
            Body::Genesis(_) | Body::Rewind(_) | Body::Takeover(_) => {}
        }
    }
}

fn check_genesis(g: &Genesis) -> Result<(), Rule> {
    if g.sequence_length == 0 || g.batch_tokens == 0 || !g.batch_tokens.is_multiple_of(g.sequence_length) {
        return rule("D10", "batchTokens must be a positive multiple of sequenceLength");
    }
    if g.inner_steps == 0 || g.samples_per_pass == 0 || g.elements == 0 || g.fragments != 1 {
        return rule("D9", "innerSteps, samplesPerPass and elements must be positive and fragments 1");
    }
    if g.members.is_empty() {
        return rule("D9", "a run needs at least one member");
    }
    if g.origin.as_ref().is_some_and(|o| o.seq == Seq(0) || o.state == Digest::ZERO) {
        return rule("D6", "the state a run begins from is that of a commit, and has a digest");
    }
    if let Some(w) = g.members.windows(2).find(|w| w[0].site >= w[1].site) {
        return rule("D8", format!("site {} is named twice, or out of order", w[1].site));
    }
    if let Some(m) = g.members.iter().find(|m| m.incarnation != crate::Incarnation(1)) {
        return rule("D8", format!("{} begins as incarnation {}; the first is 1", m.site, m.incarnation));
    }
    Ok(())
}
