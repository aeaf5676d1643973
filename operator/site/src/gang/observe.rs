//! Observe: what the watches show of a gang becomes what its pods are decided from. What a watch does not show is asked of the API
//! server before it counts as absent; what nobody answers stays unknown, and then nothing is decided. Must not decide.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coalition_crds::gang::{Gang, GangPod, PodPhase};
use coalition_crds::names::{BIRTH_LABEL, INDEX_LABEL};
use coalition_gateway::GangState;
use coalition_planner::gang::{End, Node, Observed, Pod, State, Wanted};
use coalition_planner::restarts::OUT_OF_MEMORY;
use k8s_openapi::api::core::v1 as core;
use kube::{Api, Client, Resource as _};
use tokio::time::timeout;

use crate::render::CONTAINER;
use crate::sources::Sources;

/// An API server that does not answer for so long is away: the pass is tried again.
const ANSWERS: Duration = Duration::from_secs(10);
/// Reasons of a pod's failure that are not its program's.
const NOT_ITS_OWN: [&str; 9] = [
    "Evicted",
    "Preempting",
    "NodeLost",
    "NodeShutdown",
    "Shutdown",
    "Terminated",
    "NodeAffinity",
    "UnexpectedAdmissionError",
    "PodGone",
];

/// Reason of a container's end where the kernel killed it for its memory, as kubelets write it.
const KILLED_FOR_MEMORY: &str = "OOMKilled";

/// Something that could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// The API server does not say.
    #[error("it is not known whether {what} exists: {error}")]
    Api {
        /// Which object.
        what: String,
        /// What it said.
        error: String,
    },
}

/// What is fixed about a gang for one pass.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Workers.
    pub workers: u32,
    /// What they shall do.
    pub wanted: Wanted,
    /// Nothing starts anew.
    pub hold: bool,
    /// Image of new pods.
    pub image: String,
    /// Seconds a pod has to leave.
    pub grace_seconds: u32,
}

/// The pods of a gang as they are seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What the decision goes by.
    pub observed: Observed,
    /// The workers' current pods as a status shows them.
    pub pods: Vec<GangPod>,
    /// What keeps pods from running, in words, by pod.
    pub troubles: BTreeMap<String, String>,
}

/// Looks at the gang's pods and their nodes.
pub async fn observe(
    client: &Client,
    sources: &Sources,
    gang: &Gang,
    state: &GangState,
    frame: Frame,
) -> Result<Seen, Unknown> {
    let meta = gang.meta();
    let (namespace, name) = (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
    let noted = gang.status.as_ref().map(|s| s.pods.clone()).unwrap_or_default();
    let uid = meta.uid.as_deref().unwrap_or_default();
    let mut found: Vec<Arc<core::Pod>> = sources.pods(namespace, name);
    found.retain(|p| is_owned(p, uid));
    for note in &noted {
        if !found.iter().any(|p| p.metadata.name.as_deref() == Some(&note.name)) {
            // The watch may be behind: of what was just made it knows nothing yet.
            let api: Api<core::Pod> = Api::namespaced(client.clone(), namespace);
            let pod = asked(&format!("pod {}", note.name), api.get_opt(&note.name)).await?;
            found.extend(pod.filter(|p| is_owned(p, uid)).map(Arc::new));
        }
    }
    let births: BTreeMap<u32, i64> =
        noted.iter().filter_map(|n| u32::try_from(n.index).ok().map(|i| (i, n.birth))).collect();
    let mut nodes = BTreeMap::new();
    for node in found.iter().filter_map(|p| p.spec.as_ref()?.node_name.clone()) {
        if let std::collections::btree_map::Entry::Vacant(slot) = nodes.entry(node.clone()) {
            slot.insert(look_at(client, sources, &node).await?);
        }
    }
    let pods: Vec<Pod> = found.iter().filter_map(|p| pod(p, state)).collect();
    let Frame { workers, wanted, hold, image, grace_seconds } = frame;
    let observed = Observed { workers, wanted, hold, image, grace_seconds, births, pods, nodes };
    let troubles = found.iter().filter_map(|p| Some((p.metadata.name.clone()?, trouble(p)?))).collect();
    Ok(Seen { pods: noted.iter().map(|n| noted_as(n, &observed)).collect(), observed, troubles })
}

async fn asked<T>(
    what: &str,
    request: impl Future<Output = Result<Option<T>, kube::Error>>,
) -> Result<Option<T>, Unknown> {
    let unknown = |error: String| Unknown::Api { what: what.to_owned(), error };
    match timeout(ANSWERS, request).await {
        Ok(done) => done.map_err(|e| unknown(e.to_string())),
        Err(_) => Err(unknown(format!("no answer for {} s", ANSWERS.as_secs()))),
    }
}

fn is_owned(pod: &core::Pod, gang: &str) -> bool {
    pod.metadata.owner_references.iter().flatten().any(|o| o.uid == gang)
}

async fn look_at(client: &Client, sources: &Sources, name: &str) -> Result<Node, Unknown> {
    if let Some(node) = sources.nodes.get(None, name) {
        return Ok(if is_ready(&node) { Node::Ready } else { Node::Silent });
    }
    let api: Api<core::Node> = Api::all(client.clone());
    let node = asked(&format!("node {name}"), api.get_opt(name)).await?;
    Ok(node.map_or(Node::Gone, |n| if is_ready(&n) { Node::Ready } else { Node::Silent }))
}

/// True if the node's kubelet is heard of and well, as the cluster's own node controller says.
pub fn is_ready(node: &core::Node) -> bool {
    let conditions = node.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
}

fn container(pod: &core::Pod) -> Option<&core::ContainerState> {
    let all = pod.status.as_ref()?.container_statuses.as_ref()?;
    all.iter().find(|c| c.name == CONTAINER)?.state.as_ref()
}

fn pod(pod: &core::Pod, state: &GangState) -> Option<Pod> {
    let label = |name: &str| pod.metadata.labels.as_ref()?.get(name);
    let index: u32 = label(INDEX_LABEL)?.parse().ok()?;
    let spec = pod.spec.as_ref();
    let ip = pod.status.as_ref().and_then(|s| s.pod_ip.as_deref());
    Some(Pod {
        index,
        birth: label(BIRTH_LABEL)?.parse().ok()?,
        name: pod.metadata.name.clone()?,
        uid: pod.metadata.uid.clone()?,
        image: spec.and_then(|s| s.containers.first()?.image.clone()).unwrap_or_default(),
        state: doing(pod),
        leaving: pod.metadata.deletion_timestamp.is_some(),
        node: spec.and_then(|s| s.node_name.clone()),
        joined: ip.is_some_and(|ip| process(state, index, ip).is_some()),
    })
}

/// The process by which the pod at this address takes part in a formation, or did in the newest.
pub fn process(state: &GangState, index: u32, ip: &str) -> Option<String> {
    let seats = state.joining.get(&index).into_iter().chain(state.members.get(index as usize));
    seats.into_iter().find(|j| host(&j.listen) == ip).map(|j| j.process.clone())
}

/// The host of HOST:PORT, an address of IP version 6 without its brackets.
fn host(listen: &str) -> &str {
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

fn doing(pod: &core::Pod) -> State {
    let status = pod.status.clone().unwrap_or_default();
    let phase = status.phase.as_deref().unwrap_or("Pending");
    let code = container(pod).and_then(|s| s.terminated.as_ref()).map(|t| t.exit_code);
    let disrupted = status.reason.as_deref().is_some_and(|r| NOT_ITS_OWN.contains(&r) || r.starts_with("OutOf"))
        || status.conditions.iter().flatten().any(|c| c.type_ == "DisruptionTarget" && c.status == "True");
    match (phase, code) {
        // It ended as it was told to, whatever else befell it.
        (_, Some(code @ (0 | 143))) => State::Ended(End::Exited(code)),
        ("Failed" | "Succeeded", code) if disrupted || code.is_none() => State::Ended(End::Lost),
        (_, Some(code)) => State::Ended(End::Exited(code)),
        ("Running" | "Unknown", None) => State::Running,
        _ => State::Pending,
    }
}

/// That a pod was killed for its memory, with the way out; none if it was not.
pub fn out_of_memory(pod: &core::Pod) -> Option<String> {
    let ended = container(pod)?.terminated.as_ref()?;
    if ended.reason.as_deref() != Some(KILLED_FOR_MEMORY) {
        return None;
    }
    let containers = pod.spec.iter().flat_map(|s| &s.containers);
    let mut limits = containers.filter(|c| c.name == CONTAINER).filter_map(|c| c.resources.as_ref()?.limits.as_ref());
    Some(match limits.find_map(|l| l.get("memory")) {
        Some(limit) => format!(
            "{OUT_OF_MEMORY}: limit {}; raise resources.limits.memory, in a new run that begins from a checkpoint of this one, \
             or, where the run sets none, in the site's settings (worker.resources)",
            limit.0
        ),
        None => format!(
            "{OUT_OF_MEMORY}: no limit is set, and its node had no more; set resources.requests.memory to what it needs"
        ),
    })
}

/// Why a pod does not run, in words; none if it does.
fn trouble(pod: &core::Pod) -> Option<String> {
    if let Some(waiting) = container(pod).and_then(|s| s.waiting.as_ref()) {
        let reason = waiting.reason.as_deref().filter(|r| *r != "ContainerCreating" && *r != "PodInitializing")?;
        let message = waiting.message.as_deref().unwrap_or_default();
        return Some(format!("{reason} {message}").trim().to_owned());
    }
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let held = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
    Some(held.message.clone().unwrap_or_else(|| "no node takes it".to_owned()))
}

fn noted_as(note: &GangPod, o: &Observed) -> GangPod {
    let found = o.pods.iter().find(|p| p.name == note.name);
    let phase = match found {
        // Noted and not made, or gone: another takes its place.
        None => PodPhase::Pending,
        Some(p) if p.node.as_ref().is_some_and(|n| o.nodes.get(n).is_some_and(|n| *n != Node::Ready)) => {
            PodPhase::Unknown
        }
        Some(p) if p.leaving => PodPhase::Terminating,
        Some(p) => match p.state {
            State::Pending => PodPhase::Pending,
            State::Running => PodPhase::Running,
            State::Ended(End::Exited(0)) => PodPhase::Succeeded,
            State::Ended(_) => PodPhase::Failed,
        },
    };
    GangPod { phase, node: found.and_then(|p| p.node.clone()), ..note.clone() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state_of(status: serde_json::Value) -> State {
        doing(&serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap())
    }

    #[test]
    fn what_befell_a_pod_is_told_apart_from_what_it_did() {
        let ended = |code: i32| {
            json!([{"name": "trainer", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": code}}}])
        };
        let cases = [
            (json!({}), State::Pending),
            (json!({"phase": "Running"}), State::Running),
            (json!({"phase": "Unknown"}), State::Running),
            (json!({"phase": "Failed", "containerStatuses": ended(137)}), State::Ended(End::Exited(137))),
            (json!({"phase": "Running", "containerStatuses": ended(1)}), State::Ended(End::Exited(1))),
            (json!({"phase": "Failed", "reason": "Evicted"}), State::Ended(End::Lost)),
            (json!({"phase": "Failed", "reason": "OutOfcpu"}), State::Ended(End::Lost)),
            (json!({"phase": "Failed", "reason": "Evicted", "containerStatuses": ended(137)}), State::Ended(End::Lost)),
            (
                json!({"phase": "Failed", "reason": "Evicted", "containerStatuses": ended(143)}),
                State::Ended(End::Exited(143)),
            ),
            (json!({"phase": "Succeeded", "containerStatuses": ended(0)}), State::Ended(End::Exited(0))),
        ];
        for (status, expected) in cases {
            assert_eq!(state_of(status.clone()), expected, "{status}");
        }
        assert_eq!((host("10.0.0.1:80"), host("[fd00::1]:80")), ("10.0.0.1", "fd00::1"));
    }

    #[test]
    fn a_pod_that_was_killed_for_its_memory_says_which_limit() {
        let pod = |reason: &str, resources: serde_json::Value| -> core::Pod {
            let state = json!({"terminated": {"exitCode": 137, "reason": reason}});
            serde_json::from_value(json!({
                "metadata": {},
                "spec": {"containers": [{"name": "trainer", "resources": resources}]},
                "status": {"phase": "Failed", "containerStatuses": [{"name": "trainer", "image": "", "imageID": "",
                    "ready": false, "restartCount": 0, "state": state}]}
            }))
            .unwrap()
        };
        let limit = json!({"limits": {"memory": "2Gi"}});
        assert_eq!(out_of_memory(&pod("Error", limit.clone())), None, "killed from outside");
        let words = out_of_memory(&pod("OOMKilled", limit)).unwrap();
        assert!(words.starts_with("out of memory: limit 2Gi; raise resources.limits.memory, in a new run"), "{words}");
        assert!(out_of_memory(&pod("OOMKilled", json!({}))).unwrap().contains("no limit is set"));
    }
}
