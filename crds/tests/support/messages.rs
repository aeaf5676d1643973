//! Messages as large as they may be, and with numbers that a careless JSON writer would change.
use coalition_crds::budget;
use coalition_crds::training_run::{Compute, Resources, RunReference, Shape};
use coalition_crds::{SiteRun, SiteRunSpec};
use coalition_protocol::bits::BatchHash;
use coalition_protocol::history::Head;
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::messages::{
    self, Desired, Failure, GangReport, Held, Moments, Offer, OfferNotice, Peer, Progress, Resume, SiteReport,
    StateNotice, StateReport, StoredCheckpoint,
};
use coalition_protocol::record::LeaseUse;
use coalition_protocol::schema::EXACT;
use coalition_protocol::{Attempt, Digest, Epoch, Incarnation, IntervalSet, Real, Round, RunId, Seq, SiteId};
use serde_json::{Value, json};

/// Site `n` with a name as long as one may be.
pub fn site(n: usize) -> SiteId {
    format!("{n:02}{}", "s".repeat(61)).parse().unwrap()
}

/// A run with a name as long as one may be.
pub fn run() -> RunId {
    "r".repeat(63).parse().unwrap()
}

pub fn digest() -> Digest {
    Digest::of(b"x")
}

pub fn key(n: usize) -> ContributionKey {
    ContributionKey {
        site: site(n),
        epoch: Epoch(EXACT),
        incarnation: Incarnation(EXACT),
        plan: Seq(EXACT - 1),
        fragment: u32::MAX,
        entry: EXACT,
    }
}

pub fn offer(n: usize, ranges: u64) -> Offer {
    let span = |i: u64| coalition_protocol::intervals::Interval(EXACT - 4000 + 2 * i, EXACT - 3999 + 2 * i);
    let used = IntervalSet::from_normal((0..ranges).map(span).collect()).unwrap();
    Offer {
        key: key(n),
        digest: digest(),
        bytes: EXACT,
        tokens: EXACT,
        used: vec![LeaseUse { plan: Seq(EXACT), used: used.clone() }, LeaseUse { plan: Seq(EXACT), used }],
        batch_hash: BatchHash(u128::MAX),
        norm: Real::new(-f64::MIN_POSITIVE).unwrap(),
    }
}

/// Chunk digests of a state and the state itself.
pub fn state(chunks: usize) -> StateReport {
    StateReport { of: Seq(EXACT), digest: digest(), chunks: vec![digest(); chunks], reproduced: false }
}

/// What a hub with so many members, all with open offers that everyone holds, asks of one of them.
pub fn site_run(members: usize) -> SiteRunSpec {
    let others = 1..members;
    let holders: Vec<SiteId> = (0..members).map(site).collect();
    SiteRunSpec {
        message: messages::SiteRun {
            run: run(),
            site: site(0),
            epoch: Epoch(EXACT),
            incarnation: Incarnation(EXACT),
            nonce: "f".repeat(64),
            desired: Desired::Suspend,
            head: Head { epoch: Epoch(EXACT), seq: Seq(EXACT), digest: digest() },
            spec: json!({"numbers": [1, 0, 9_007_199_254_740_992_u64, 0.1, 1e-8, 3.0e-4, 1e300], "text": "x".repeat(6000)}),
            peers: others
                .clone()
                .map(|n| Peer { site: site(n), endpoint: format!("https://{}:65535", "e".repeat(40)) })
                .collect(),
            offers: others.map(|n| OfferNotice { offer: offer(n, 2), holders: holders.clone() }).collect(),
            disagreement: (0..2).map(|n| StateNotice { site: site(n), state: state(900) }).collect(),
            keep: (0..167).map(|n| Seq(EXACT - n)).collect(),
            save: vec![Seq(EXACT)],
            requires: vec!["feature".to_owned()],
        },
        training_run: RunReference { namespace: "n".repeat(63), name: "t".repeat(63), uid: "u".repeat(36) },
        shape: Shape {
            workers: 1024,
            cpu_threads: 1024,
            image: Some("i".repeat(512)),
            resources: Resources {
                requests: Some(Compute { cpu: Some("8".into()), memory: Some("64Gi".into()) }),
                limits: Some(Compute { cpu: Some("8".into()), memory: Some("64Gi".into()) }),
            },
            priority_class_name: Some("p".repeat(63)),
        },
    }
}

/// A report as large as gateway, courier and trainer make one among so many members.
pub fn site_report(members: usize) -> SiteReport {
    // Line breaks take two bytes in JSON.
    let failure =
        |number: u64, bytes: usize| Failure { number, worker: 1023, exit_code: 255, log: "x\n".repeat(bytes / 2) };
    let mut failures: Vec<Failure> = (1..32).map(|n| failure(n, 512)).collect();
    failures.push(failure(32, 8192));
    SiteReport {
        run: run(),
        site: site(0),
        counter: EXACT,
        nonce: "f".repeat(64),
        epoch: Epoch(EXACT),
        incarnation: Incarnation(EXACT),
        opened: Some(Incarnation(EXACT)),
        store_lost: false,
        head: Some(Head { epoch: Epoch(EXACT), seq: Seq(EXACT), digest: digest() }),
        endpoint: Some(format!("https://{}:65535", "e".repeat(200))),
        state: Some(state(800)),
        offers: vec![offer(0, 4), offer(0, 4)],
        holds: (0..2 * members).map(|n| Held { key: key(n % members), digest: digest() }).collect(),
        step: None,
        checkpoints: (0..20).map(|n| StoredCheckpoint { seq: Seq(EXACT - n), state: digest(), bytes: EXACT }).collect(),
        mirrored: Some(Seq(EXACT)),
        records: vec![],
        gang: GangReport {
            attempt: Attempt(EXACT),
            workers_ready: 1024,
            workers: 1024,
            process_restarts: EXACT,
            last_failure: failures.last().cloned(),
            failures,
            stopped: true,
            still_seconds: EXACT,
        },
        progress: Progress {
            step: EXACT,
            round: Round(EXACT),
            inner_step: EXACT,
            inner_steps: EXACT,
            loss: Some(Real::new(1.0 / 3.0).unwrap()),
            tokens_per_second: Some(Real::new(1e7).unwrap()),
            evaluation: None,
            waiting_for: "w".repeat(200),
            non_finite: EXACT,
            resumed: Some(Resume::Outer),
            moments: Some(Moments::Zero),
        },
        refusals: [("DataMissing".to_owned(), "d".repeat(2000))].into(),
    }
}

/// A SiteRun as an object.
pub fn object(spec: SiteRunSpec) -> Value {
    let mut object = SiteRun::new("case", spec);
    object.metadata.namespace = Some("site-north".to_owned());
    serde_json::to_value(object).unwrap()
}

/// The bytes of an object and of what a server adds to it.
pub fn bytes(object: &Value) -> usize {
    budget::bytes(object) + budget::METADATA
}
