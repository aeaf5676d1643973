//! Apply: intents become requests to the API server, in the order that keeps the fence: an end is told before its worker gets
//! another pod, a birth is noted before its pod is made. Must not decide.
use std::collections::BTreeMap;
use std::time::Duration;

use coalition_crds::gang::{GangPod, PodPhase};
use coalition_gateway::gang::is_failure;
use coalition_gateway::{SiteBackend as _, orders};
use coalition_planner::Millis;
use coalition_planner::gang::{End, Intent};
use coalition_protocol::exit;
use coalition_protocol::messages::{ExitReport, Orders};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Api;
use kube::api::{DeleteParams, LogParams, PostParams, Preconditions};
use tokio::time::timeout;

use super::{Gang, PassError};
use crate::callers::CurrentPod;
use crate::gang::observe::{out_of_memory, process};
use crate::{names, render};

/// Pods of one gang that are made at a time: a burst that any API server bears.
const AT_ONCE: usize = 16;
/// Longest wait for a pod's log: its node may be the reason that it ended.
const LOG_WAIT: Duration = Duration::from_secs(3);
/// Lines and bytes of log that are kept of a pod that ended whole (the bound of a failure in a report).
const LOG: (i64, usize) = (100, 8 * 1024);

impl Gang {
    /// Does what was decided.
    pub(super) async fn apply(&mut self, intents: &[Intent], now: Millis) -> Result<(), PassError> {
        for intent in intents {
            if let Intent::Tell { index, birth, name, end } = intent
                && let Err(e) = self.tell(*index, name, *end).await
            {
                self.memory.untold(*index, *birth);
                return Err(e);
            }
        }
        let births: BTreeMap<u32, i64> = intents
            .iter()
            .filter_map(|i| if let Intent::Create { index, birth } = i { Some((*index, *birth)) } else { None })
            .collect();
        if !births.is_empty() {
            let config = self.config().await?;
            self.note(&births).await?;
            self.create(&births, &config, now).await;
        }
        for intent in intents {
            if let Intent::Delete { name, uid, force } = intent {
                self.delete(name, uid, *force).await?;
            }
        }
        Ok(())
    }

    /// Makes the end of a pod part of the gang's state, under the name by which its process joined.
    async fn tell(&self, index: u32, pod: &str, end: End) -> Result<(), PassError> {
        let api: Api<Pod> = Api::namespaced(self.ctx.local.clone(), &self.namespace);
        let snapshot = self.site.snapshot();
        let orders = orders::orders(&snapshot);
        let ip = self.seen_pod(pod).and_then(|p| p.status.as_ref()?.pod_ip.clone());
        // A supervisor says 0 only once the gateway confirmed the run's end: before it, this is no supervisor.
        let end = match end {
            End::Exited(code) if code == i32::from(exit::FINISHED) && orders == Orders::Restart => {
                End::Exited(i32::from(exit::BUG))
            }
            end => end,
        };
        let memory = self.seen_pod(pod).and_then(|p| out_of_memory(&p));
        let mut log = match end {
            End::Exited(code) if is_failure(code) => last_lines(&api, pod).await,
            _ => String::new(),
        };
        // Its own last line, for it could not say so itself: whoever repeats one line of a failure repeats this.
        if let Some(words) = &memory {
            log = format!("{}\n{words}\n", log.trim_end());
        }
        loop {
            let now = self.site.gang().await.map_err(PassError::Gang)?;
            // A pod that never joined has no process: its name stands for it.
            let process = ip.as_deref().and_then(|ip| process(&now.value, index, ip)).unwrap_or_else(|| pod.to_owned());
            let next = match end {
                End::Exited(exit_code) => {
                    let report = ExitReport { worker: index, process, exit_code, log: log.clone() };
                    now.value.exited(&report, orders)
                }
                End::Lost => now.value.lost(index, &process, orders),
            };
            let Some(next) = next else { return Ok(()) };
            if self.site.swap_gang(now.version, next).await.map_err(PassError::Gang)? {
                break;
            }
        }
        let (reason, what) = match end {
            End::Exited(code) => {
                let why = memory.as_deref().unwrap_or_else(|| exit::meaning(code));
                ("PodEnded", format!("pod {pod} ended: exit code {code}, {why}"))
            }
            End::Lost => ("PodLost", format!("pod {pod} is lost: evicted, or its node does not answer")),
        };
        self.ctx.events.warn(&self.reference(), reason, &what).await;
        self.ctx.metrics.ended(reason);
        Ok(())
    }

    /// Makes the ConfigMap of the workers' configuration stand, and gives its name.
    async fn config(&mut self) -> Result<String, PassError> {
        let gang = self.site.object().seen();
        let input = render::Input { settings: &self.ctx.settings, gang: &gang, gateway: &self.ctx.gateway_url };
        let map = render::config_map(&input).map_err(PassError::Config)?;
        let name = map.metadata.name.clone().unwrap_or_default();
        if self.config.as_ref() != Some(&name) {
            let api: Api<ConfigMap> = Api::namespaced(self.ctx.local.clone(), &self.namespace);
            match api.create(&PostParams::default(), &map).await {
                // Its name is its content's: what stands there is the same.
                Err(kube::Error::Api(s)) if s.code == 409 => {}
                done => drop(done.map_err(|e| PassError::api("ConfigMap", &name, e))?),
            }
            self.config = Some(name.clone());
        }
        Ok(name)
    }

    async fn note(&self, births: &BTreeMap<u32, i64>) -> Result<(), PassError> {
        let notes: Vec<GangPod> = births
            .iter()
            .map(|(index, birth)| GangPod {
                index: i32::try_from(*index).unwrap_or(i32::MAX),
                birth: *birth,
                name: names::pod(&self.name, *index, *birth),
                phase: PodPhase::Pending,
                node: None,
            })
            .collect();
        let noted = |pods: &mut Vec<GangPod>| {
            pods.retain(|p| notes.iter().all(|n| n.index != p.index));
            pods.extend(notes.iter().cloned());
            pods.sort_by_key(|p| p.index);
        };
        self.site.object().write_status(|s| noted(&mut s.pods)).await.map_err(PassError::Object)?;
        self.follow_current(&[]);
        Ok(())
    }

    async fn create(&mut self, births: &BTreeMap<u32, i64>, config: &str, now: Millis) {
        let gang = self.site.object().seen();
        let input = render::Input { settings: &self.ctx.settings, gang: &gang, gateway: &self.ctx.gateway_url };
        let api: Api<Pod> = Api::namespaced(self.ctx.local.clone(), &self.namespace);
        let pods: Vec<(u32, i64, Pod)> =
            births.iter().map(|(i, b)| (*i, *b, render::pod(&input, *i, *b, config))).collect();
        let made: Vec<(u32, i64, Result<Pod, kube::Error>)> = futures::stream::iter(pods)
            .map(|(i, b, pod)| {
                let api = api.clone();
                async move { (i, b, api.create(&PostParams::default(), &pod).await) }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut known = Vec::new();
        for (index, birth, done) in made {
            match done {
                Ok(pod) => {
                    self.ctx.metrics.created();
                    known.extend(pod.metadata.uid.map(|uid| (names::pod(&self.name, index, birth), uid)));
                }
                Err(e) => {
                    // What is noted and was not made is followed by another birth, after a pause.
                    self.memory.died(index, birth, now);
                    let what = format!("the pod of worker {index} was not made: {e}");
                    tracing::warn!(gang = self.name, worker = index, error = %e, "a pod was not made");
                    self.ctx.events.warn(&self.reference(), "PodNotMade", &what).await;
                }
            }
        }
        self.follow_current(&known);
    }

    /// Tells the gateway which pods are current; `known` are names and identities that no watch shows yet.
    pub(super) fn follow_current(&self, known: &[(String, String)]) {
        let gang = self.site.object().seen();
        let noted = gang.status.as_ref().map(|s| s.pods.clone()).unwrap_or_default();
        let uid = |name: &str| {
            let made = known.iter().find(|(n, _)| n == name).map(|(_, uid)| uid.clone());
            made.or_else(|| self.seen_pod(name).and_then(|p| p.metadata.uid.clone()))
        };
        let current = |n: &GangPod| {
            let index = u32::try_from(n.index).ok()?;
            Some((index, CurrentPod { name: n.name.clone(), uid: uid(&n.name) }))
        };
        self.site.set_current(noted.iter().filter_map(current).collect());
    }

    pub(super) async fn delete(&self, name: &str, uid: &str, force: bool) -> Result<(), PassError> {
        let api: Api<Pod> = Api::namespaced(self.ctx.local.clone(), &self.namespace);
        let params = DeleteParams {
            grace_period_seconds: force.then_some(0),
            // Another pod that has its name by now is not meant.
            preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
            ..DeleteParams::default()
        };
        match api.delete(name, &params).await {
            Err(kube::Error::Api(s)) if s.code == 404 || s.code == 409 => Ok(()),
            done => done.map(drop).map_err(|e| PassError::api("pod", name, e)),
        }
    }
}

async fn last_lines(api: &Api<Pod>, pod: &str) -> String {
    let wanted =
        LogParams { container: Some(render::CONTAINER.to_owned()), tail_lines: Some(LOG.0), ..LogParams::default() };
    match timeout(LOG_WAIT, api.logs(pod, &wanted)).await {
        Ok(Ok(text)) => coalition_crds::budget::tail(&text, LOG.1).to_owned(),
        Ok(Err(e)) => format!("(its log cannot be read: {e})"),
        Err(_) => format!("(its log was not given within {} s)", LOG_WAIT.as_secs()),
    }
}
