//! A small legal history of three sites, and contributions to go with it.
#![allow(dead_code)]
use std::sync::Arc;
use std::time::Duration;

use coalition_courier::{Courier, Input, Options, router};
use coalition_outer::ContributionManifest;
use coalition_protocol::bits::BatchHash;
use coalition_protocol::history::View;
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::messages::{Desired, Offer, OfferNotice, Peer, SiteRun};
use coalition_protocol::record::{
    Assignment, Body, Genesis, Included, LeaseUse, Origin, Outer, Part, Plan, Record, State, VERSION,
};
use coalition_protocol::sign::{HubKey, SignedRecord};
use coalition_protocol::{Digest, Epoch, Incarnation, IntervalSet, Real, Round, Seq, SiteId};
use coalition_store::{Location, Store, contribution};

/// Elements of the vector of these tests: one padded tensor.
pub const ELEMENTS: u64 = 4096;
/// Three sites: the fewest where one can fetch from another than the origin.
pub const SITES: [&str; 3] = ["east", "north", "south"];
/// What couriers show each other: any text.
pub const TOKEN: &str = "between couriers";

pub fn site(name: &str) -> SiteId {
    name.parse().expect("a label")
}

pub struct Chain {
    key: HubKey,
    pub view: View,
    pub records: Vec<SignedRecord>,
}

impl Chain {
    /// Genesis with three members, and its state.
    pub fn new() -> Self {
        let mut chain = Self::from(None);
        chain.state(Seq(0));
        chain
    }

    /// Genesis with three members, from the state that another run left if one is given.
    pub fn from(origin: Option<Origin>) -> Self {
        let key = HubKey::from_seed(&[1; 32]);
        let genesis = Genesis {
            hub_key: key.public().0,
            hub_generation: 1,
            spec: Digest::ZERO,
            data: Digest::ZERO,
            samples_per_pass: 1000,
            sequence_length: 1,
            batch_tokens: 1,
            inner_steps: 2,
            budget: 1000,
            seed: 1,
            elements: ELEMENTS,
            fragments: 1,
            outer_lr: Real::new(0.7).expect("finite"),
            outer_momentum: Real::new(0.9).expect("finite"),
            members: SITES.iter().map(|s| Assignment { site: site(s), incarnation: Incarnation(1) }).collect(),
            origin,
        };
        let record = Record {
            version: VERSION,
            run: "run".parse().expect("a label"),
            epoch: Epoch(1),
            seq: Seq(0),
            parent: Digest::ZERO,
            body: Body::Genesis(genesis),
        };
        let signed = key.sign(record).expect("canonical");
        let view = View::start(&signed).expect("legal");
        Self { key, view, records: vec![signed] }
    }

    pub fn append(&mut self, body: Body) -> Seq {
        let signed = self.key.sign(self.view.next(body)).expect("canonical");
        self.view.extend(&signed).expect("legal");
        self.records.push(signed);
        self.view.head().seq
    }

    pub fn state(&mut self, of: Seq) {
        self.agree(of, Digest::of(&of.0.to_le_bytes()));
    }

    pub fn agree(&mut self, of: Seq, digest: Digest) {
        let confirmers = SITES.iter().map(|s| site(s)).collect();
        self.append(Body::State(State { of, digest, confirmers }));
    }

    /// The next plan: two positions for each site.
    pub fn plan(&mut self) -> Seq {
        let mut taken = IntervalSet::new();
        let parts = SITES
            .iter()
            .map(|s| {
                let ranges = self.view.ledger().next_free(2, &taken);
                taken = taken.union(&ranges);
                Part { site: site(s), incarnation: Incarnation(1), inner_steps: 2, tokens: 2, ranges, drop_late: false }
            })
            .collect();
        self.append(Body::Plan(Plan {
            round: self.view.last_round().next(),
            tokens_before: self.view.tokens(),
            budget: 1000,
            parts,
            stretch: 1,
            grace_millis: 1000,
            quorum: 1,
            norm_limit: None,
        }))
    }

    /// What `maker` would contribute to the open plan.
    pub fn contribution(&self, maker: &str) -> (ContributionManifest, Vec<u8>) {
        let (plan, p) = self.view.current_plan().expect("an open plan");
        let used = vec![LeaseUse { plan, used: p.part(&site(maker)).expect("a part").ranges.clone() }];
        let key = ContributionKey {
            site: site(maker),
            epoch: Epoch(1),
            incarnation: Incarnation(1),
            plan,
            fragment: 0,
            entry: 3,
        };
        let delta: Vec<f32> = (0..ELEMENTS).map(|n| n as f32 * 1e-3 + plan.0 as f32).collect();
        let m = ContributionManifest::describe(key, &delta, 2, used, BatchHash(7)).expect("finite");
        (m, coalition_outer::contribution::encode(&delta))
    }

    /// Commits the open plan with these makers, all three holding them, and a state.
    pub fn commit(&mut self, makers: &[&str]) -> Seq {
        let seq = self.commit_alone(makers);
        self.state(seq);
        seq
    }

    /// The commit without its state.
    pub fn commit_alone(&mut self, makers: &[&str]) -> Seq {
        let (plan, p) = self.view.current_plan().map(|(s, p)| (s, p.clone())).expect("an open plan");
        let included: Vec<Included> = makers
            .iter()
            .map(|m| {
                let o = self.contribution(m).0.offer().expect("canonical");
                Included {
                    key: o.key,
                    digest: o.digest,
                    tokens: o.tokens,
                    used: o.used,
                    batch_hash: o.batch_hash,
                    norm: o.norm,
                }
            })
            .collect();
        let left_out = p
            .parts
            .iter()
            .filter(|p| !makers.contains(&p.site.as_str()))
            .map(|p| {
                let missed = self.view.members()[&p.site].missed;
                coalition_protocol::record::LeftOut {
                    site: p.site.clone(),
                    incarnation: p.incarnation,
                    returned: missed >= 1,
                }
            })
            .collect();
        let tokens = self.view.tokens() + 2 * makers.len() as u64;
        let holders = SITES.iter().map(|s| site(s)).collect();
        let round: Round = p.round;
        self.append(Body::Outer(Outer { plan, round, fragment: 0, included, holders, left_out, tokens }))
    }
}

fn courier(site: &SiteId, store: &Store) -> Courier {
    let options = Options { site: site.clone(), token: TOKEN.to_owned(), lag: Duration::ZERO };
    Courier::new(options, store.clone()).expect("a client")
}

/// A site with a store, its courier served on a port.
pub struct Member {
    pub store: Store,
    pub courier: Courier,
    pub endpoint: String,
    pub server: tokio::task::JoinHandle<()>,
    site: SiteId,
}

impl Member {
    pub async fn new(name: &str) -> Self {
        Self::over(name, Store::open(&Location::Memory).expect("memory")).await
    }

    /// One over this store.
    pub async fn over(name: &str, store: Store) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let app = router(store.clone(), "run".parse().expect("a label"), TOKEN);
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        let site = site(name);
        let courier = courier(&site, &store);
        Self { store, courier, endpoint, server, site }
    }

    /// Another courier over the same store, as after a kill.
    pub fn restarted(self) -> Self {
        Self { courier: courier(&self.site, &self.store), ..self }
    }

    pub async fn make(&self, chain: &Chain) -> Offer {
        let (m, data) = chain.contribution(self.site.as_str());
        contribution::put(&self.store, chain.view.run(), &m, data.into()).await.expect("stored");
        m.offer().expect("canonical")
    }

    /// What the hub asks of this site.
    pub fn asked(&self, chain: &Chain, peers: &[&Member], offers: &[Offer], keep: &[Seq]) -> SiteRun {
        SiteRun {
            run: chain.view.run().clone(),
            site: self.site.clone(),
            epoch: Epoch(1),
            incarnation: Incarnation(1),
            nonce: "n".to_owned(),
            desired: Desired::Run,
            head: chain.view.head(),
            spec: serde_json::Value::Null,
            peers: peers.iter().map(|p| Peer { site: p.site.clone(), endpoint: p.endpoint.clone() }).collect(),
            offers: offers
                .iter()
                .map(|o| OfferNotice { offer: o.clone(), holders: peers.iter().map(|p| p.site.clone()).collect() })
                .collect(),
            disagreement: vec![],
            keep: keep.to_vec(),
            save: vec![],
            requires: vec![],
        }
    }

    /// Passes until `met`; panics with the last findings if it never is.
    pub async fn until(
        &mut self,
        chain: &Chain,
        run: SiteRun,
        opened: Option<Incarnation>,
        met: impl Fn(&coalition_courier::Findings) -> bool,
    ) -> coalition_courier::Findings {
        let run = Arc::new(run);
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
        let mut woken = self.courier.woken();
        loop {
            let from = self.courier.head().map_or(0, |h| h.seq.0 as usize + 1);
            let input = Input { site_run: run.clone(), opened, records: chain.records[from..].to_vec(), applied: None };
            woken.borrow_and_update();
            let found = self.courier.pass(&input).await;
            if met(&found) {
                return found;
            }
            tokio::time::timeout_at(deadline, woken.changed())
                .await
                .unwrap_or_else(|_| panic!("never met: {found:#?}"))
                .expect("the courier lives");
        }
    }
}
