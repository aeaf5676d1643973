//! A backend in memory, with the failures that tests ask for.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use coalition_gateway::gang::Step;
use coalition_gateway::{BackendError, GangState, SiteBackend, Snapshot, Versioned};
use coalition_protocol::history::Head;
use coalition_protocol::messages::{Desired, JoinRequest, Progress, SiteRun, TrainerReport};
use coalition_protocol::record::{Body, Record, VERSION, Void};
use coalition_protocol::sign::{HubKey, SignedRecord};
use coalition_protocol::{Attempt, Digest, Epoch, Incarnation, Round, Seq};
use tokio::sync::watch;

#[derive(Default)]
struct Inner {
    snapshot: Snapshot,
    gang: Versioned<GangState>,
    records: Vec<SignedRecord>,
    reports: usize,
    broken: Option<String>,
    rivals: u32,
    still: BTreeMap<u32, (String, std::time::Duration)>,
}

pub struct Memory {
    inner: Mutex<Inner>,
    version: watch::Sender<u64>,
}

pub fn head() -> Head {
    Head { epoch: Epoch(1), seq: Seq(0), digest: Digest::ZERO }
}

pub fn site_run() -> SiteRun {
    SiteRun {
        run: "run".parse().expect("a label"),
        site: "north".parse().expect("a label"),
        epoch: Epoch(1),
        incarnation: Incarnation(1),
        nonce: "n".to_owned(),
        desired: Desired::Run,
        head: head(),
        spec: serde_json::json!({}),
        peers: vec![],
        offers: vec![],
        disagreement: vec![],
        keep: vec![],
        save: vec![],
        requires: vec![],
    }
}

pub fn join_request(worker: u32, process: &str, after: Option<u64>) -> JoinRequest {
    JoinRequest {
        worker,
        process: process.to_owned(),
        listen: format!("127.0.0.1:{}", 9000 + worker),
        class: Digest::ZERO,
        after: after.map(Attempt),
    }
}

pub fn trainer_report(epoch: u64, incarnation: u64, attempt: u64) -> TrainerReport {
    TrainerReport {
        epoch: Epoch(epoch),
        incarnation: Incarnation(incarnation),
        attempt: Attempt(attempt),
        counter: 1,
        head: head(),
        state: None,
        offers: vec![],
        step: None,
        checkpoints: vec![],
        progress: Progress::default(),
        saved: false,
    }
}

impl Memory {
    pub fn unassigned() -> Arc<Self> {
        Arc::new(Self { inner: Mutex::default(), version: watch::Sender::new(1) })
    }
    pub fn assigned() -> Arc<Self> {
        let m = Self::unassigned();
        m.change(|i| i.snapshot.site_run = Some(Arc::new(site_run())));
        m
    }
    fn change<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        let out = f(&mut self.inner.lock().expect("not poisoned"));
        self.version.send_modify(|v| *v += 1);
        out
    }
    pub fn reports(&self) -> usize {
        self.inner.lock().expect("not poisoned").reports
    }
    pub fn still(&self, worker: u32) -> Option<(String, std::time::Duration)> {
        self.change(|i| i.still.get(&worker).cloned())
    }
    pub fn break_report(&self, why: &str) {
        self.change(|i| i.broken = Some(why.to_owned()));
    }
    /// Before each of the next `n` swaps a rival gateway forms an attempt with the process "rival".
    pub fn lose_swaps(&self, n: u32) {
        self.change(|i| i.rivals = n);
    }
    pub fn end_run(&self) {
        self.change(|i| i.snapshot.over = true);
    }
    pub fn records_up_to(&self, last: u64) {
        let key = HubKey::from_seed(&[7; 32]);
        let record = |n| Record {
            version: VERSION,
            run: "run".parse().expect("a label"),
            epoch: Epoch(1),
            seq: Seq(n),
            parent: Digest::ZERO,
            body: Body::Void(Void { round: Round(1), plans: vec![], reason: String::new() }),
        };
        self.change(|i| i.records = (0..=last).map(|n| key.sign(record(n)).expect("canonical")).collect());
    }
}

impl SiteBackend for Memory {
    fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }
    fn snapshot(&self) -> Snapshot {
        self.inner.lock().expect("not poisoned").snapshot.clone()
    }
    async fn records(&self, after: Option<Seq>, limit: usize) -> Result<Vec<SignedRecord>, BackendError> {
        let inner = self.inner.lock().expect("not poisoned");
        Ok(inner.records.iter().filter(|r| after.is_none_or(|a| r.record.seq > a)).take(limit).cloned().collect())
    }
    async fn gang(&self) -> Result<Versioned<GangState>, BackendError> {
        Ok(self.inner.lock().expect("not poisoned").gang.clone())
    }
    async fn swap_gang(&self, seen: u64, next: GangState) -> Result<bool, BackendError> {
        Ok(self.change(|i| {
            if i.rivals > 0 {
                i.rivals -= 1;
                let rival = join_request(0, &format!("rival-{}", i.rivals), None);
                if let Ok(Step::Swap(n)) = i.gang.value.join(&rival, 1, "theirs") {
                    i.gang = Versioned { version: i.gang.version + 1, value: *n };
                }
            }
            let won = i.gang.version == seen;
            if won {
                i.gang = Versioned { version: seen + 1, value: next };
            }
            won
        }))
    }
    fn still(&self, worker: u32, process: &str, time: std::time::Duration) {
        self.change(|i| i.still.insert(worker, (process.to_owned(), time)));
    }
    async fn report(&self, _: TrainerReport) -> Result<(), BackendError> {
        self.change(|i| {
            if let Some(why) = &i.broken {
                return Err(BackendError::Broken(why.clone()));
            }
            i.reports += 1;
            Ok(())
        })
    }
}
