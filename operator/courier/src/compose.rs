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
