//! Stand-ins for sites: they read what the hub asks and the history, "train" as the planner's simulated sites do, and write
//! reports. All sites of a test are played by one task, so that what couriers fetch is a look into another's store.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use coalition_crds::names::{SITE_LABEL, site_namespace};
use coalition_crds::site::{Capacity, DataSetFacts, Facts, StoreFacts, StoreState, Supply, Versions};
use coalition_crds::site_report::{SITE, SiteAnswer, SiteReport, SiteReportSpec};
use coalition_crds::{RunHistory, SiteRun};
use coalition_protocol::history::Commit;
use coalition_protocol::messages::{Desired, SiteReport as Message};
use coalition_protocol::record::Record;
use coalition_protocol::{Digest, RunId, Seq};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams};
use kube::{Api, Client};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::RUNS;
use super::site::Site;

/// Between two looks of a stand-in, milliseconds: it has no watches.
const TICK: u64 = 20;
/// Between two renewals of a site's Lease, milliseconds.
const RENEW: u64 = 1_000;
/// A site keeps its two newest run checkpoints, whatever it is asked.
const NEWEST: usize = 2;

struct Played {
    site: Site,
    run: Option<RunId>,
    chain: Vec<Record>,
    written: Option<Message>,
    counter: u64,
    renewed: Option<u64>,
}

/// What tests may do to the sites, and see of them.
#[derive(Clone, Debug, Default)]
pub struct Wires {
    /// Sites that do not answer.
    pub silent: Vec<String>,
    /// By site: run checkpoints in its store.
    pub kept: BTreeMap<String, Vec<Seq>>,
}

/// Sites that are played until this is dropped.
pub struct Sites {
    task: JoinHandle<()>,
    pub wires: Arc<Mutex<Wires>>,
    /// Held while a site is played: who is cut off says nothing any more, and is not in the middle of a word either.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Drop for Sites {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sites {
    /// Plays sites of these names, each with its own reach of the API server.
    pub fn play(client: &Client, names: &[&str]) -> Self {
        let wires = Arc::new(Mutex::new(Wires::default()));
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        let (client, shared, playing) = (client.clone(), wires.clone(), turn.clone());
        let mut sites: Vec<Played> = names
            .iter()
            .map(|n| Played {
                site: Site::new(n, 5),
                run: None,
                chain: Vec::new(),
                written: None,
                counter: 0,
                renewed: None,
            })
            .collect();
        let task = tokio::spawn(async move {
            let origin = Instant::now();
            loop {
                let now = u64::try_from(origin.elapsed().as_millis()).unwrap();
                for n in 0..sites.len() {
                    let _turn = playing.lock().await;
                    if shared.lock().unwrap().silent.iter().any(|s| s == sites[n].site.id.as_str()) {
                        continue;
                    }
                    fetch(&mut sites, n);
                    // What an API server does not answer is tried again.
                    if let Err(error) = sites[n].tick(&client, now).await {
                        eprintln!("{}: {error:#}", sites[n].site.id);
                    }
                    let kept = sites[n].site.store.iter().flat_map(|s| s.kept.keys().copied()).collect();
                    shared.lock().unwrap().kept.insert(sites[n].site.id.to_string(), kept);
                }
                tokio::time::sleep(Duration::from_millis(TICK)).await;
            }
        });
        Self { task, wires, turn }
    }

    /// Cuts a site off from the hub, or joins it again. From then on it reads and says nothing.
    pub async fn cut(&self, site: &str, off: bool) {
        let _turn = self.turn.lock().await;
        let mut wires = self.wires.lock().unwrap();
        wires.silent.retain(|s| s != site);
        if off {
            wires.silent.push(site.to_owned());
        }
    }

    /// The run checkpoints in a site's store.
    pub fn kept(&self, site: &str) -> Vec<Seq> {
        self.wires.lock().unwrap().kept.get(site).cloned().unwrap_or_default()
    }
}

/// The courier: what is offered, and what unapplied commits include, from whoever has it.
fn fetch(sites: &mut [Played], n: usize) {
    let s = &sites[n].site;
    let (Some(view), Some(store), Some(asked)) = (&s.view, &s.store, &s.asked) else { return };
    let mut wanted: Vec<_> = asked.offers.iter().map(|o| (o.offer.key.clone(), o.offer.digest)).collect();
    let from = store.states.keys().next_back().copied().unwrap_or(Seq(0));
    for (_, _, c) in view.commits_after(from) {
        if let Commit::Outer(o) = c {
            wanted.extend(o.included.iter().map(|i| (i.key.clone(), i.digest)));
        }
    }
    wanted.retain(|(k, d)| {
        !store.held.contains_key(k)
            && sites.iter().any(|m| m.site.store.as_ref().is_some_and(|s| s.held.get(k) == Some(d)))
    });
    sites[n].site.store.as_mut().unwrap().held.extend(wanted);
}

impl Played {
    async fn tick(&mut self, client: &Client, now: u64) -> Result<()> {
        let namespace = site_namespace(self.site.id.as_str());
        if self.renewed.is_none_or(|at| now - at >= RENEW) {
            self.alive(client, &namespace).await?;
            self.renewed = Some(now);
        }
        let api: Api<SiteRun> = Api::namespaced(client.clone(), &namespace);
        let Some(asked) = api.list(&ListParams::default()).await?.items.into_iter().next_back() else { return Ok(()) };
        let message = asked.spec.message.clone();
        if self.run.as_ref() != Some(&message.run) {
            (self.site, self.chain, self.written) = (Site::new(self.site.id.as_str(), 5), Vec::new(), None);
            self.run = Some(message.run.clone());
        }
        let stop = message.desired != Desired::Run;
        self.site.asked = Some(message.clone());
        let lost = self.site.open();
        assert!(!lost, "a stand-in keeps its store");
        self.read(client, &message.run).await?;
        self.site.read(&self.chain, now);
        self.site.train(now, 2);
        if let Some(store) = &mut self.site.store {
            let newest: Vec<Seq> = store.kept.keys().rev().take(NEWEST).copied().collect();
            store.kept.retain(|seq, _| newest.contains(seq) || message.keep.contains(seq));
        }
        let Some(mut report) = self.site.report(false, now) else { return Ok(()) };
        if stop || self.site.view.as_ref().is_some_and(|v| v.ended().is_some()) {
            report.gang.workers_ready = 0;
            report.gang.stopped = true;
        }
        report.counter = self.counter;
        if self.written.as_ref() == Some(&report) {
            return Ok(());
        }
        self.counter += 1;
        report.counter = self.counter;
        let object = SiteReport::new(report.run.as_str(), SiteReportSpec { run: Some(report.clone()), site: None });
        self.write(client, &namespace, &object).await?;
        self.written = Some(report);
        Ok(())
    }

    /// Mirrors records that it does not have.
    async fn read(&mut self, client: &Client, run: &RunId) -> Result<()> {
        let api: Api<RunHistory> = Api::namespaced(client.clone(), RUNS);
        let Some(history) = api.get_opt(run.as_str()).await? else { return Ok(()) };
        for signed in coalition_hub::history::records(&history.spec)? {
            let next = self.chain.last().map_or(0, |r| r.seq.0 + 1);
            assert!(signed.record.seq.0 <= next, "a record left before this site had it");
            if signed.record.seq.0 == next {
                self.chain.push(signed.record);
            }
        }
        Ok(())
    }

    /// Renews the Lease, and says what the site has.
    async fn alive(&self, client: &Client, namespace: &str) -> Result<()> {
        let id = self.site.id.to_string();
        let spec = LeaseSpec {
            holder_identity: Some("stand-in".to_owned()),
            renew_time: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(jiff::Timestamp::now())),
            ..LeaseSpec::default()
        };
        let metadata = ObjectMeta {
            name: Some(SITE.to_owned()),
            labels: Some([(SITE_LABEL.to_owned(), id.clone())].into()),
            ..ObjectMeta::default()
        };
        let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
        let lease = Lease { metadata, spec: Some(spec) };
        leases.patch(SITE, &PatchParams::apply("stand-in").force(), &Patch::Apply(&lease)).await?;
        let answer = SiteAnswer { counter: 1, facts: facts(), runs: Vec::new() };
        self.write(client, namespace, &SiteReport::new(SITE, SiteReportSpec { run: None, site: Some(answer) })).await
    }

    async fn write(&self, client: &Client, namespace: &str, report: &SiteReport) -> Result<()> {
        let api: Api<SiteReport> = Api::namespaced(client.clone(), namespace);
        let name = report.metadata.name.clone().unwrap();
        api.patch(&name, &PatchParams::apply("stand-in").force(), &Patch::Apply(report)).await?;
        Ok(())
    }
}

/// What a stand-in says that it has.
pub fn facts() -> Facts {
    let supply: Supply = serde_json::from_value(serde_json::json!({"cpu": "8", "memory": "16Gi", "gpus": 0})).unwrap();
    Facts {
        versions: Versions::default(),
        features: Vec::new(),
        capacity: Capacity { nodes: 1, total: supply.clone(), free: supply },
        store: StoreFacts { place: "s3://bucket/site".to_owned(), state: StoreState::Usable, message: String::new() },
        endpoint: None,
        data_sets: vec![DataSetFacts {
            name: "text".to_owned(),
            digest: Digest::of(b"data").to_string(),
            tokens: 1_000_000,
            vocabulary: 256,
        }],
        namespaces: vec![RUNS.to_owned()],
        refusal: None,
    }
}
