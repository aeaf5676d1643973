//! Which sites train, and in which shape.
use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::amounts::Quantity;
use crate::names::LABEL_PATTERN;
use crate::rules;

/// Sets how many sites train, and which.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::computed(
    "self.min <= self.max",
    "'is %d: must be at most max = %d; lower min or raise max'.format([self.min, self.max])",
).field_path(".min"))]
pub struct Sites {
    /// Lets the run go on while at least so many sites are alive. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    pub min: i32,

    /// Limits how many sites train at a time.
    #[schemars(range(min = 1, max = 64))]
    pub max: i32,

    /// Takes only sites with these labels. Default: every site.
    #[serde(default)]
    #[x_kube(validation = rules::rule(
        "!has(self.matchLabels) || self.matchLabels.map(k, size(k) + size(self.matchLabels[k])).sum() <= 1024",
        "labels must be at most 1024 characters together; use fewer or shorter labels",
    ))]
    pub selector: Selector,

    /// Gives an unreachable site's part to another after so many seconds. Default: 300 with several sites, 120 with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub replace_after_seconds: Option<i32>,
}

const fn one() -> i32 {
    1
}

/// Selects sites by label; empty selects all.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// Matches sites that carry all of these labels; every site carries `coalition.training/site` with its name.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 16), schema_with = "labels")]
    pub match_labels: BTreeMap<String, String>,
}

fn labels(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "default": {},
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 63},
        "x-kubernetes-map-type": "atomic",
    })
}

/// Gives the sites it selects a shape. A site trains data parallel over its workers.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteTemplate {
    /// Selects the sites this entry is for. Default: every site.
    #[serde(default)]
    pub selector: Selector,

    /// Sets the number of workers; each trains a share of the site's batch.
    #[schemars(range(min = 1, max = 1024))]
    pub workers: i32,

    /// Pins the compute threads of a worker; part of what makes a run reproducible bit by bit. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1024))]
    pub cpu_threads: i32,

    /// Sets the cores and memory of a worker's pod. Default: what the site sets for workers.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,
}

/// Sets the cores and memory of a worker's pod.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = rules::rule(
        "!has(self.requests) || !has(self.limits) || !has(self.requests.cpu) || !has(self.limits.cpu) \
         || !quantity(string(self.requests.cpu)).isGreaterThan(quantity(string(self.limits.cpu)))",
        "requests.cpu must be at most limits.cpu; lower the request or raise the limit",
    ),
    validation = rules::rule(
        "!has(self.requests) || !has(self.limits) || !has(self.requests.memory) || !has(self.limits.memory) \
         || !quantity(string(self.requests.memory)).isGreaterThan(quantity(string(self.limits.memory)))",
        "requests.memory must be at most limits.memory; lower the request or raise the limit",
    )
)]
pub struct Resources {
    /// Sets what a node must have free for the pod. Default: as limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Compute>,

    /// Sets what the pod gets at most: more memory ends it, more cores are not given. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Compute>,
}

impl Resources {
    /// True if nothing is set.
    pub const fn is_empty(&self) -> bool {
        self.requests.is_none() && self.limits.is_none()
    }
}

/// Sets an amount of cores and memory.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Compute {
    /// Sets the cores, such as 8 or 500m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,

    /// Sets the memory in bytes, such as 64Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
}

/// Sets the shape of one site's part, as the hub made it of the first template that matches the site.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shape {
    /// Sets the number of workers; one worker is one pod.
    #[schemars(range(min = 1, max = 1024))]
    pub workers: i32,

    /// Pins the compute threads of a worker.
    #[schemars(range(min = 1, max = 1024))]
    pub cpu_threads: i32,

    /// Names the trainer's image. Default: the site's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = IMAGE_PATTERN))]
    pub image: Option<String>,

    /// Sets the cores and memory of a worker's pod. Default: what the site sets for workers.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,

    /// Names the hub's PriorityClass of the run, which the site maps to one of its own. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = crate::names::LABEL_PATTERN))]
    pub priority_class_name: Option<String>,
}

/// Names the trainer's program.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trainer {
    /// Names its image, which each site must allow; a change takes effect at the next attempt. Default: the site's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = IMAGE_PATTERN))]
    pub image: Option<String>,
}

impl Trainer {
    /// True if every site takes the one it brings.
    pub const fn is_default(&self) -> bool {
        self.image.is_none()
    }
}

/// A reference to an image: registry and path, then a tag, a digest or both; no address with a user's name.
pub(crate) const IMAGE_PATTERN: &str = "^[a-z0-9]([a-zA-Z0-9._:/-]*[a-zA-Z0-9])?(@sha256:[0-9a-f]{64})?$";

/// Names a TrainingRun at the hub.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunReference {
    /// Gives its namespace at the hub.
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL_PATTERN))]
    pub namespace: String,

    /// Gives its name.
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL_PATTERN))]
    pub name: String,

    /// Gives its Kubernetes UID: another run of the same name has another one.
    #[schemars(length(min = 1, max = 63))]
    pub uid: String,
}
