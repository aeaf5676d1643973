//! One program that speaks the trainers' protocol for every played pod: it joins, follows the view, "trains" what it is leased
//! by doing nothing for a while, and offers it. For questions of scale; it must never be taken for a trainer, and knows plans of
//! one member only.

use crate::installed::{Installed, SITE, WORKERS};
use anyhow::{Context, Result, bail};
use coalition_cluster::World;
use coalition_crds::names::{INDEX_LABEL, RUN_LABEL};
use coalition_protocol::bits::BatchHash;
use coalition_protocol::history::View;
use coalition_protocol::messages::{
    Desired, JoinReply, JoinRequest, Progress, StateReport, StepOffer, StoredCheckpoint, TrainerReport, ViewReply,
};
use coalition_protocol::record::LeaseUse;
use coalition_protocol::{Attempt, Digest, Round, Seq, SiteId};
use futures::StreamExt as _;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{ListParams, PostParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a request may take: a view may wait a second at the gateway, a join twenty.
const ANSWER: Duration = Duration::from_secs(40);
/// The pause after a refusal, as trainers make it.
const PAUSE: Duration = Duration::from_secs(1);

/// Refusals in a row after which it joins anew: the gateway may be another pod now.
const REFUSED: u32 = 5;

/// The program. It ends when this is dropped.
#[derive(Debug)]
pub struct StandIn {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    /// Plays the worker in every pod of a run, each round taking `round`, but for the first, which takes no time.
    pub fn start(at: &Installed, round: Duration) -> Self {
        let (end, ended) = oneshot::channel();
        let (world, cluster) = (at.world().clone(), at.hub().clone());
        let thread = std::thread::spawn(move || {
            let work = async {
                let client = cluster.client().await?;
                tokio::select! {
                    () = play_all(client, round) => {}
                    _ = ended => {}
                }
                Ok(())
            };
            if let Err(error) = World::run(&world, work) {
                eprintln!("warning: the stand-in ended: {error:#}");
            }
        });
        Self { end: Some(end), thread: Some(thread) }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.end.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn play_all(client: Client, round: Duration) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), WORKERS);
    let mut seen =
        std::pin::pin!(watcher(pods, Config::default().labels(RUN_LABEL)).default_backoff().applied_objects());
    let mut played = BTreeSet::new();
    while let Some(pod) = seen.next().await {
        let Ok(pod) = pod else { continue };
        let running = pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
        if running && pod.metadata.deletion_timestamp.is_none() && played.insert(pod.uid()) {
            let client = client.clone();
            tokio::spawn(async move {
                let name = pod.name_any();
                if let Err(error) = play(client, pod, round).await {
                    eprintln!("the stand-in of pod {name} ended: {error:#}");
                }
            });
        }
    }
}

/// A pod's gateway, as its worker would reach it: but by the address of a pod behind the Service, since nobody outside of the
/// cluster's nodes reaches Services.
struct Gateway {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Gateway {
    async fn ask<T: DeserializeOwned>(&self, path: &str, body: Option<&(impl Serialize + Sync)>) -> Result<T> {
        let url = format!("{}{path}", self.base);
        let request = match body {
            Some(body) => self.http.post(url).json(body),
            None => self.http.get(url),
        };
        let answer = request.bearer_auth(&self.token).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        if !status.is_success() {
            bail!("{status}: {text}");
        }
        serde_json::from_str(&text).with_context(|| format!("not understood: {text}"))
    }
}

async fn address(client: &Client) -> Result<String> {
    let label = "app.kubernetes.io/component=site";
    let pods: Api<Pod> = Api::all(client.clone());
    let found = pods.list(&ListParams::default().labels(label)).await?;
    let ready = found.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let mut addresses = ready.filter_map(|pod| pod.status.and_then(|status| status.pod_ip));
    Ok(format!("{}:8470", addresses.next().context("no pod of the site role")?))
}

/// A token bound to the pod, as a kubelet asks for it.
async fn token(client: &Client, pod: &Pod) -> Result<String> {
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone()).unwrap_or_default();
    let request: TokenRequest = serde_json::from_value(json!({
        "metadata": {},
        "spec": {
            "audiences": ["coalition-gateway"],
            "expirationSeconds": 3600,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod.name_any(), "uid": pod.uid()},
        },
    }))?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), WORKERS);
    let answer = accounts.create_token_request(&account, &PostParams::default(), &request).await.context("no token")?;
    Ok(answer.status.context("a token request without a token")?.token)
}

async fn play(client: Client, pod: Pod, round: Duration) -> Result<()> {
    let label = |name: &str| pod.labels().get(name).cloned().with_context(|| format!("a pod without label {name}"));
    let (run, worker) = (label(RUN_LABEL)?, label(INDEX_LABEL)?.parse().context("an index")?);
    let path = format!("/gangs/{WORKERS}/{run}/v1");
    let http = reqwest::Client::builder().no_proxy().timeout(ANSWER).build()?;
    let process = pod.uid().unwrap_or_default();
    let mut after = None;
    loop {
        // Anew for every attempt: whoever served the last one may be gone.
        let (base, token) = (format!("http://{}{path}", address(&client).await?), token(&client, &pod).await?);
        let gateway = Gateway { http: http.clone(), base, token };
        let listen = format!("127.0.0.1:{}", 1 + worker);
        let join = JoinRequest { worker, process: process.clone(), listen, class: Digest::ZERO, after };
        let Ok(joined) = gateway.ask::<JoinReply>("/join", Some(&join)).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        if !attempt(&gateway, joined.attempt, round).await? {
            return Ok(());
        }
        after = Some(joined.attempt);
    }
}

/// One attempt; false once it is told to leave.
async fn attempt(gateway: &Gateway, attempt: Attempt, round: Duration) -> Result<bool> {
    let site: SiteId = SITE.parse().context("a site's name")?;
    let (mut view, mut known, mut counter) = (None::<View>, String::new(), 0);
    let mut step: Option<StepOffer> = None;
    let mut refused = 0;
    loop {
        let after = view.as_ref().map(|v| format!("&after={}", v.head().seq)).unwrap_or_default();
        let ask = format!("/view?waitMillis=20000{known}{after}");
        let Ok(reply) = gateway.ask::<ViewReply>(&ask, None::<&()>).await else {
            refused += 1;
            if refused > REFUSED {
                return Ok(true);
            }
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        refused = 0;
        known = format!("&version={}&gateway={}", reply.version, reply.gateway);
        if reply.attempt > attempt {
            return Ok(true);
        }
        for record in &reply.records {
            match &mut view {
                None => view = Some(View::start(record)?),
                Some(view) => view.extend(record)?,
            }
        }
        let Some(view) = &view else { continue };
        if view.ended().is_some() || reply.site_run.desired != Desired::Run {
            return Ok(false);
        }
        if let Some((plan, mine)) = view.current_plan()
            && mine.part(&site).is_some_and(|part| part.incarnation == reply.site_run.incarnation)
            && step.as_ref().is_none_or(|step| step.plan != plan)
        {
            if view.last_round() > Round(0) {
                tokio::time::sleep(round).await;
            }
            step = offer(view, &site, plan);
        }
        counter += 1;
        let commit = view.last_commit().0;
        let state = |of| StateReport { of, digest: state(of, view), chunks: Vec::new(), reproduced: false };
        let saved = StoredCheckpoint { seq: commit, state: state(commit).digest, bytes: 1 };
        let report = TrainerReport {
            epoch: view.head().epoch,
            incarnation: reply.site_run.incarnation,
            attempt,
            counter,
            head: view.head(),
            state: Some(state(commit)),
            offers: Vec::new(),
            step: step.clone(),
            checkpoints: vec![saved],
            progress: Progress { round: view.last_round().next(), ..Progress::default() },
            saved: true,
        };
        let _: Result<Value> = gateway.ask("/report", Some(&report)).await;
    }
}

/// The digest of a state that nobody computes: the one that its step named, or one for the first.
fn state(of: Seq, view: &View) -> Digest {
    view.state(of).map_or_else(|| Digest::of(b"the state of a stand-in"), |(digest, _)| digest)
}

fn offer(view: &View, site: &SiteId, plan: Seq) -> Option<StepOffer> {
    let used: Vec<LeaseUse> = view
        .ledger()
        .leases(site)
        .filter(|(seq, lease)| *seq == plan && !lease.ranges.is_empty())
        .map(|(plan, lease)| LeaseUse { plan, used: lease.ranges.clone() })
        .collect();
    let positions: u64 = used.iter().map(|lease| lease.used.len()).sum();
    let tokens = positions * view.genesis().sequence_length;
    let state = Digest::of(format!("the state of a stand-in after plan {}", plan.0).as_bytes());
    let batch_hash = BatchHash::default();
    (tokens > 0).then_some(StepOffer {
        plan,
        checkpoint: Digest::of(b"none"),
        entry: 0,
        state,
        tokens,
        used,
        batch_hash,
    })
}
