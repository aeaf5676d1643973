//! A site on a real API server, without nodes: the tests play the kubelet, the workers and the hub.
#![allow(dead_code, reason = "each test uses a part")]
pub mod history;
pub mod samples;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use coalition_cluster::{Cluster, Spec, World, wait};
use coalition_crds::{Gang, SiteReport, SiteRun};
use coalition_kit::health::Health;
use coalition_kit::lease::Timing;
use coalition_kit::metrics::Metrics;
use coalition_kit::role::{self, Process};
use coalition_site::{Access, Options, Site, names};
use coalition_store::{Location, Store};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Binding, Node, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Longest wait for anything: what takes milliseconds alone takes seconds beside a build.
pub const LONG: Duration = Duration::from_secs(40);

/// Objects that a hub and an administrator make.
const BASE: &str = include_str!("base.yaml");

/// The cluster with our kinds and what a chart and a hub would make.
pub fn cluster(world: &World) -> Result<Cluster> {
    let cluster = world.cluster(Spec::api("north"))?;
    let root = std::fs::canonicalize(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))?;
    let crds = root.join("crds/yaml");
    let crds = crds.to_str().context("a path that is no text")?;
    cluster.kubectl(&["apply", "--server-side", "-f", crds])?;
    cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "-f", crds])?;
    let base = world.folder().join("base.yaml");
    std::fs::write(&base, BASE)?;
    cluster.kubectl(&["apply", "-f", base.to_str().context("a path that is no text")?])?;
    Ok(cluster)
}

/// One API server as the tests use it.
pub struct Api1 {
    pub client: Client,
    config: Config,
    http: reqwest::Client,
    tasks: JoinSet<()>,
}

impl Api1 {
    pub async fn new(cluster: &Cluster) -> Result<Self> {
        let file = Kubeconfig::read_from(cluster.kubeconfig())?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        let (client, http) = (cluster.client().await?, reqwest::Client::new());
        Ok(Self { client, config, http, tasks: JoinSet::new() })
    }

    /// Starts a replica of the site role that listens at `at`. What is returned stops it when it is dropped.
    pub async fn site(&mut self, store: &std::path::Path, at: &str, hub: Access) -> Result<watch::Sender<bool>> {
        let (stop_to, stop) = watch::channel(false);
        let at: SocketAddr = at.parse()?;
        let process = Process {
            client: self.client.clone(),
            namespace: "coalition".to_owned(),
            identity: format!("replica-{}_{}", at.ip(), at.ip()),
            health: Health::default(),
            metrics: Arc::new(Metrics::new("0")),
            stop,
        };
        let options = Options {
            settings: "/nowhere".into(),
            hub,
            cluster: self.config.clone(),
            gateway: at,
            exchange: SocketAddr::new(at.ip(), 8471),
            version: "test".to_owned(),
        };
        let store = Store::open(&Location::Folder(store.to_owned()))?;
        let site = Site::start_on(store, samples::settings(), options, &process).await?;
        self.tasks.spawn(async move {
            let site = Arc::new(site);
            // A lease that runs out soon, so that a takeover is not waited for.
            let timing = Timing {
                duration: Duration::from_secs(3),
                deadline: Duration::from_secs(2),
                retry: Duration::from_millis(300),
            };
            role::lead(&process, "site", timing, || {
                let site = site.clone();
                async move { site.lead().await }
            })
            .await;
        });
        Ok(stop_to)
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), "training")
    }
    pub fn gangs(&self) -> Api<Gang> {
        Api::namespaced(self.client.clone(), "training")
    }
    pub fn asked(&self) -> Api<SiteRun> {
        Api::namespaced(self.client.clone(), "site-north")
    }
    pub fn reports(&self) -> Api<SiteReport> {
        Api::namespaced(self.client.clone(), "site-north")
    }

    /// Asks for another run's part of a namespace that the site's settings do not list.
    pub async fn ask_unlisted(&self, run: &str) -> Result<()> {
        let mut spec = samples::asked(json!({"workers": 1, "cpuThreads": 1}));
        spec["run"] = json!(run);
        spec["trainingRun"]["namespace"] = json!("elsewhere");
        let object = SiteRun::new(run, serde_json::from_value(spec)?);
        self.asked().create(&PostParams::default(), &object).await?;
        Ok(())
    }

    /// Annotates the gang, or takes the annotation away.
    pub async fn annotate(&self, name: &str, value: Option<&str>) -> Result<()> {
        let note = json!({"metadata": {"annotations": {name: value}}});
        self.gangs().patch(samples::RUN, &PatchParams::default(), &Patch::Merge(&note)).await?;
        Ok(())
    }

    /// Waits until the gateway gives worker 0 these orders.
    pub async fn orders(&self, at: &str, token: &str, worker: u32, orders: &str) -> Result<()> {
        let permit = json!({"worker": worker, "process": "any"});
        wait::until_async(&format!("orders to {orders}"), LONG, || async {
            let (_, permit) = self.post(at, token, "/v1/permit", &permit).await?;
            Ok((permit["orders"] == orders).then_some(()))
        })
        .await
    }

    /// Asks the site for its part of a run, as a hub does.
    pub async fn ask(&self, change: impl Fn(&mut Value)) -> Result<SiteRun> {
        let mut spec = samples::asked(json!({"workers": 2, "cpuThreads": 1}));
        spec["head"] = history::head();
        change(&mut spec);
        let old = self.asked().get_opt(samples::RUN).await?;
        let mut object = SiteRun::new(samples::RUN, serde_json::from_value(spec)?);
        match old {
            Some(old) => {
                object.metadata = old.metadata;
                Ok(self.asked().replace(samples::RUN, &PostParams::default(), &object).await?)
            }
            None => Ok(self.asked().create(&PostParams::default(), &object).await?),
        }
    }

    /// Waits until `look` finds something in the gang.
    pub async fn gang<T>(&self, what: &str, look: impl Fn(&Gang) -> Option<T>) -> Result<T> {
        let found = wait::until_async(what, LONG, || async {
            Ok(self.gangs().get_opt(samples::RUN).await?.and_then(|g| look(&g)))
        });
        match found.await {
            Ok(found) => Ok(found),
            Err(e) => bail!("{e:#}; the gang: {}", serde_json::to_string(&self.gangs().get_opt(samples::RUN).await?)?),
        }
    }

    /// Waits until the newest pods of the workers stand, and gives them by worker.
    pub async fn current(&self, what: &str, births: [i64; 2]) -> Result<Vec<Pod>> {
        self.gang(what, |g| {
            let pods = &g.status.as_ref()?.pods;
            let noted: Vec<i64> = pods.iter().map(|p| p.birth).collect();
            (noted == births).then_some(())
        })
        .await?;
        let mut pods = Vec::new();
        for (worker, birth) in births.into_iter().enumerate() {
            let name = names::pod(samples::RUN, worker as u32, birth);
            let what = format!("pod {name}");
            pods.push(wait::until_async(&what, LONG, || async { Ok(self.pods().get_opt(&name).await?) }).await?);
        }
        Ok(pods)
    }

    /// Plays scheduler and kubelet: the pod runs at this address.
    pub async fn start(&self, pod: &Pod, ip: &str) -> Result<()> {
        let name = pod.metadata.name.clone().context("a name")?;
        if pod.spec.as_ref().is_some_and(|s| s.node_name.is_none()) {
            let target =
                json!({"metadata": {"name": name}, "target": {"apiVersion": "v1", "kind": "Node", "name": "node-1"}});
            let binding: Binding = serde_json::from_value(target)?;
            self.pods()
                .create_subresource::<_, Value>("binding", &name, &PostParams::default(), &binding)
                .await
                .map(drop)
                .or_else(answered)?;
        }
        self.status(&name, "Running", ip, &json!({"running": {}})).await
    }

    /// The pod's program ended.
    pub async fn end(&self, pod: &Pod, ip: &str, code: i32) -> Result<()> {
        let name = pod.metadata.name.clone().context("a name")?;
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        self.status(&name, phase, ip, &json!({"terminated": {"exitCode": code}})).await
    }

    /// The kernel kills a pod's container for its memory.
    pub async fn end_for_memory(&self, pod: &Pod, ip: &str) -> Result<()> {
        let name = pod.metadata.name.clone().context("a name")?;
        self.status(&name, "Failed", ip, &json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}})).await
    }

    async fn status(&self, name: &str, phase: &str, ip: &str, state: &Value) -> Result<()> {
        let container =
            json!({"name": "trainer", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": state});
        let status =
            json!({"status": {"phase": phase, "podIP": ip, "podIPs": [{"ip": ip}], "containerStatuses": [container]}});
        self.pods().patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await?;
        Ok(())
    }

    /// A node whose kubelet is heard of, or not.
    pub async fn node(&self, name: &str, ready: bool) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let node: Node = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        nodes.create(&PostParams::default(), &node).await.map(drop).or_else(answered)?;
        let value = if ready { "True" } else { "Unknown" };
        let status = json!({"status": {"conditions": [{"type": "Ready", "status": value}]}});
        nodes.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await?;
        Ok(())
    }

    /// The object is gone at once, as a kubelet ends it.
    pub async fn remove(&self, pod: &Pod) -> Result<()> {
        let force = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        self.pods().delete(pod.metadata.name.as_deref().context("a name")?, &force).await.map(drop).or_else(answered)
    }

    /// The token that a kubelet would give the pod.
    pub async fn token(&self, pod: &Pod, audience: &str) -> Result<String> {
        let bound = json!({"kind": "Pod", "apiVersion": "v1", "name": pod.metadata.name, "uid": pod.metadata.uid});
        let request = json!({"spec": {"audiences": [audience], "expirationSeconds": 3600, "boundObjectRef": bound}});
        let request: TokenRequest = serde_json::from_value(request)?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), "training");
        let given = accounts.create_token_request("trainer", &PostParams::default(), &request).await?;
        Ok(given.status.context("a token")?.token)
    }

    /// Asks the gateway at `at` as a worker does.
    pub async fn post(&self, at: &str, token: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
        let url = format!("http://{at}/gangs/training/{}{path}", samples::RUN);
        let sent = self.http.post(url).bearer_auth(token).json(body).send().await?;
        Ok((sent.status().as_u16(), sent.json().await?))
    }

    /// Reads the gateway at `at` as a worker does.
    pub async fn view(&self, at: &str, token: &str) -> Result<(u16, Value)> {
        let url = format!("http://{at}/gangs/training/{}/v1/view", samples::RUN);
        let sent = self.http.get(url).bearer_auth(token).send().await?;
        Ok((sent.status().as_u16(), sent.json().await?))
    }

    /// Objects of a kind in the namespace of workers, by name.
    pub async fn names<K>(&self, api: &Api<K>) -> Result<Vec<String>>
    where
        K: kube::Resource + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let all = api.list(&ListParams::default()).await?;
        Ok(all.items.iter().filter_map(|o| o.meta().name.clone()).collect())
    }
}

/// That it stands, or is gone, already is as good.
fn answered(e: kube::Error) -> Result<()> {
    match e {
        kube::Error::Api(s) if s.code == 409 || s.code == 404 => Ok(()),
        other => Err(other.into()),
    }
}
