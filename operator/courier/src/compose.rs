//! A site's report put together from its parts: trainer, courier, gang. Pure.
use crate::Findings;
use coalition_protocol::Incarnation;
use coalition_protocol::messages::{GangReport, Held, Progress, SiteReport, SiteRun, TrainerReport};

/// The parts of a report.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// The trainer's newest, if it reported since the site started.
    pub trainer: Option<TrainerReport>,
    /// What the courier found.
    pub findings: Findings,
    /// The gang.
    pub gang: GangReport,
    /// For how long its gang has been still.
    pub still_seconds: u64,
    /// The incarnation whose store a worker found damaged beyond use.
    pub damaged: Option<Incarnation>,
    /// Where the courier is reached.
    pub endpoint: Option<String>,
    /// The leader's nonce under which the courier last looked at its store. Only that one is echoed: an answer to a new
    /// leader says what is mirrored here beyond its head (D7).
    pub looked: String,
}

impl Parts {
    /// Takes what the courier found under the leader's `nonce`. True if that changes what trainers are shown.
    pub fn take(&mut self, findings: Findings, endpoint: Option<&str>, nonce: &str) -> bool {
        let before = &self.findings;
        // An answer to a leader says what is mirrored here beyond its head: without a look there is none.
        let looked = findings.compared;
        let visible = looked && self.looked != nonce
            || before.records.is_empty() != findings.records.is_empty()
            || before.held != findings.held
            || before.lacks_origin != findings.lacks_origin
            || before.store_lost != findings.store_lost
            || before.opened != findings.opened;
        self.findings = findings;
        self.endpoint = endpoint.map(str::to_owned);
        if looked {
            nonce.clone_into(&mut self.looked);
        }
        visible
    }

    /// True if trainers may be shown what is asked. Not before the state stands here that the run begins from; and not while a
    /// hub that was seen lacks records that stand here, for a trainer would go on from an older state (D7).
    pub fn is_whole(&self, run: &SiteRun, hub_seen: bool) -> bool {
        let answered = self.looked == run.nonce && self.findings.records.is_empty();
        !self.findings.lacks_origin && (answered || !hub_seen)
    }
}

/// The report that follows from the parts. What no part says is as in `before`, unless that belongs to another incarnation.
pub fn compose(run: &SiteRun, before: Option<&SiteReport>, parts: &Parts) -> SiteReport {
    let before = before.filter(|b| b.run == run.run);
    let same = before.filter(|b| b.epoch == run.epoch && b.incarnation == run.incarnation);
    let trainer = parts.trainer.as_ref().filter(|t| t.epoch == run.epoch && t.incarnation == run.incarnation);
    // What the courier found for an incarnation before this one says nothing of this one's store.
    let nothing = Findings::default();
    let current = parts.findings.opened == Some(run.incarnation);
    let findings = if current { &parts.findings } else { &nothing };
    let mut report = SiteReport {
        run: run.run.clone(),
        site: run.site.clone(),
        counter: before.map_or(0, |b| b.counter),
        nonce: if parts.looked.is_empty() {
            before.map_or_else(String::new, |b| b.nonce.clone())
        } else {
            parts.looked.clone()
        },
        epoch: run.epoch,
        incarnation: run.incarnation,
        opened: findings.opened.or_else(|| same.and_then(|b| b.opened)),
        // A log that cannot be read is a store that was lost: what it held cannot be told, so nothing may go on under its name.
        store_lost: findings.store_lost || parts.damaged == Some(run.incarnation),
        head: same.and_then(|b| b.head),
        endpoint: parts.endpoint.clone(),
        state: same.and_then(|b| b.state.clone()),
        offers: same.map(|b| b.offers.clone()).unwrap_or_default(),
        holds: findings.holds.iter().map(|(key, digest)| Held { key: key.clone(), digest: *digest }).collect(),
        step: same.and_then(|b| b.step.clone()),
        checkpoints: findings.checkpoints.clone(),
        mirrored: findings.mirrored,
        records: findings.records.clone(),
        gang: GangReport { still_seconds: parts.still_seconds, ..parts.gang.clone() },
        progress: same.map(|b| b.progress.clone()).unwrap_or_default(),
        refusals: parts.findings.problems.clone(),
    };
    if let Some(t) = trainer {
        report.head = Some(t.head);
        report.state.clone_from(&t.state);
        report.offers.clone_from(&t.offers);
        report.step.clone_from(&t.step);
        report.progress = t.progress.clone();
    }
    if report.gang.workers_ready < report.gang.workers {
        idle(&mut report.progress, &report.gang);
    }
    if report.store_lost {
        // D8: a store that lost its opening entry offers and holds nothing.
        report.offers.clear();
        report.holds.clear();
        report.step = None;
        report.checkpoints.clear();
        "the hub to assign this site anew: its store was lost".clone_into(&mut report.progress.waiting_for);
    }
    report
}

/// Numbers of a gang that is not complete say nothing.
fn idle(progress: &mut Progress, gang: &GangReport) {
    progress.tokens_per_second = None;
    progress.waiting_for = if gang.stopped {
        String::new()
    } else {
        format!("workers to join ({} of {})", gang.workers_ready, gang.workers)
    };
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn run() -> SiteRun {
        let zero = coalition_protocol::Digest::ZERO;
        serde_json::from_value(serde_json::json!({
            "run": "mine", "site": "north", "epoch": 1, "incarnation": 1, "nonce": "n", "desired": "run",
            "head": {"epoch": 1, "seq": 0, "digest": zero}, "spec": {}, "peers": [], "offers": [],
        }))
        .unwrap()
    }

    #[test]
    fn no_trainer_begins_before_the_state_stands_that_the_run_begins_from() {
        let mut parts = Parts::default();
        let lacks = Findings { compared: true, lacks_origin: true, ..Findings::default() };
        assert!(parts.take(lacks.clone(), None, "n"));
        assert!(!parts.is_whole(&run(), true) && !parts.is_whole(&run(), false));
        assert!(!parts.take(lacks.clone(), None, "n"), "nothing new");
        assert!(parts.take(Findings { lacks_origin: false, ..lacks }, None, "n"), "trainers wait for this");
        assert!(parts.is_whole(&run(), true) && parts.is_whole(&run(), false));
    }

    #[test]
    fn a_leader_that_was_not_answered_shows_trainers_nothing() {
        let mut parts = Parts::default();
        assert!(!parts.is_whole(&run(), true));
        assert!(parts.is_whole(&run(), false), "nobody to answer");
        assert!(parts.take(Findings { compared: true, ..Findings::default() }, None, "n"));
        assert!(parts.is_whole(&run(), true));
        assert!(!parts.is_whole(&SiteRun { nonce: "next".to_owned(), ..run() }, true), "another leader");
    }
}
