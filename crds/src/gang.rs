//! `Gang`: one site's part of a run, in the site's own cluster. It mirrors what the hub asked last, so that the site goes on
//! without the hub, and holds the durable state of the gang's formation: every change of it is one PUT with resourceVersion
//! (D8). It owns the pods, the Service and the Secrets of the gang. No secret stands in it: the token of an attempt lies in
//! the Secret that it names.
use coalition_protocol::messages::{Failure, bounds};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::names::{DIGEST_PATTERN, LABEL_PATTERN};
use crate::rules;
use crate::site_run::SiteRunSpec;
use crate::wire;

/// Holds one site's part of a run: its workers train together or not at all.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "coalition.training",
    version = "v1alpha1",
    kind = "Gang",
    plural = "gangs",
    shortname = "tgang",
    category = "training",
    namespaced,
    status = "GangStatus",
    derive = "PartialEq",
    doc = "Holds one site's part of a run. Stop it with: kubectl annotate gang NAME coalition.training/owner-stop=WHY.",
    printcolumn(name = "Run", type_ = "string", json_path = ".spec.siteRun.trainingRun.name"),
    printcolumn(name = "Desired", type_ = "string", json_path = ".spec.siteRun.desired"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.workersReady", description = "workers"),
    printcolumn(name = "Workers", type_ = "integer", json_path = ".spec.siteRun.shape.workers"),
    printcolumn(name = "Attempt", type_ = "integer", json_path = ".status.attempt"),
    printcolumn(name = "Failures", type_ = "integer", json_path = ".status.failed"),
    printcolumn(
        name = "Owner-Stop",
        type_ = "string",
        json_path = ".metadata.annotations.coalition\\.training/owner-stop"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Hub-Namespace",
        type_ = "string",
        json_path = ".spec.siteRun.trainingRun.namespace",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct GangSpec {
    /// Mirrors what the hub asked last and this site acknowledged.
    pub site_run: SiteRunSpec,

    /// Gives the generation of the SiteRun that is mirrored.
    #[schemars(range(min = 0))]
    #[x_kube(validation = rules::rule(
        "self >= oldSelf",
        "an older SiteRun never replaces a newer one; read the SiteRun again",
    ))]
    pub site_run_generation: i64,
}

/// Tells how the gang stands. What forms it is durable state, not a view.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::rule(
    "self.attempt >= oldSelf.attempt",
    "the attempt never falls, or a worker of an older one could write again; read the object and raise its attempt",
))]
pub struct GangStatus {
    /// Names the generation of the spec this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Counts how often the gang has formed; raised by this site alone.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9_007_199_254_740_992_i64))]
    pub attempt: i64,

    /// Says that a formation is open: the attempt in force is then the next one.
    #[serde(default)]
    pub forming: bool,

    /// Names the Secret with the token of the newest attempt's collective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL_PATTERN))]
    pub token_secret_name: Option<String>,

    /// Counts the workers that are ready.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub workers_ready: i32,

    /// Lists the processes of the newest attempt, by worker.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub members: Vec<GangProcess>,

    /// Lists the processes that joined the formation that is open, by worker.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub joining: Vec<GangProcess>,

    /// Lists workers whose process ended and that have no new one yet.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub gone: Vec<GoneProcess>,

    /// Lists by worker the process whose end was reported last: a repeated report of it changes nothing.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub last_exits: Vec<LastExit>,

    /// Lists the newest failures, oldest first, with their last log lines.
    #[serde(default)]
    #[schemars(schema_with = "failures")]
    pub failures: Vec<Failure>,

    /// Counts failures ever: the number of the newest.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9_007_199_254_740_992_i64))]
    pub failed: i64,

    /// Counts processes restarted in place, ever.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9_007_199_254_740_992_i64))]
    pub process_restarts: i64,

    /// Names the incarnation whose store a worker found damaged beyond use: as good as lost (D8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_992_i64))]
    pub damaged: Option<i64>,

    /// Names the incarnation whose opening entry the hub was told of: only then may its workers write (D8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_992_i64))]
    pub opened: Option<i64>,

    /// Lists the pods of the workers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub pods: Vec<GangPod>,

    /// Tells the state in the standard form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::conditions::schema")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Names a worker's process that joined.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GangProcess {
    /// Gives the worker's index, from 0.
    #[schemars(range(min = 0, max = 1023))]
    pub worker: i32,
    /// Names the process: fresh for every one.
    #[schemars(length(min = 1, max = 80))]
    pub process: String,
    /// Gives the address where its collective listens, as HOST:PORT.
    #[schemars(length(min = 1, max = 80))]
    pub listen: String,
    /// Gives its class: what decides the bits of a step (D1).
    #[schemars(length(min = 64, max = 64), regex(pattern = DIGEST_PATTERN))]
    pub class: String,
}

/// Describes the last end of a worker's process.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GoneProcess {
    /// Gives the worker's index, from 0.
    #[schemars(range(min = 0, max = 1023))]
    pub worker: i32,
    /// Names the process.
    #[schemars(length(min = 1, max = 80))]
    pub process: String,
    /// Gives its exit code; 128 + signal when killed.
    #[schemars(range(min = -1, max = 255))]
    pub exit_code: i32,
    /// Says that it was told to leave, so that none follows it.
    pub left: bool,
}

/// Names the process of a worker whose end was reported last.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastExit {
    /// Gives the worker's index, from 0.
    #[schemars(range(min = 0, max = 1023))]
    pub worker: i32,
    /// Names the process.
    #[schemars(length(min = 1, max = 80))]
    pub process: String,
}

/// Tells where a worker's pod is.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GangPod {
    /// Gives the worker's index, from 0.
    #[schemars(range(min = 0, max = 1023))]
    pub index: i32,
    /// Counts how often this worker's pod was made: a pod's name is never used again.
    #[schemars(range(min = 0))]
    pub birth: i64,
    /// Names the pod.
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL_PATTERN))]
    pub name: String,
    /// Tells its phase as Kubernetes does, or that it is on its way out.
    pub phase: PodPhase,
    /// Names its node; absent until it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node: Option<String>,
}

/// Tells the phase of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum PodPhase {
    /// It waits for a node, or for its image.
    Pending,
    /// Its containers run.
    Running,
    /// They ended as they should.
    Succeeded,
    /// One of them failed.
    Failed,
    /// It is being deleted.
    Terminating,
    /// Its node does not answer.
    Unknown,
}

/// Characters of all logs together: the newest failure's whole log and some lines of every other, as a gateway keeps them.
const LOGS: usize = 24 << 10;

fn failures(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = wire::list::<Failure>(generator, bounds::FAILURES);
    let rule = format!("self.map(f, size(f.log)).sum() <= {LOGS}");
    let message = format!("logs must be at most {LOGS} characters together; keep fewer lines of older failures");
    wire::validate(&mut schema, rules::rule(&rule, &message));
    schema
}
