//! `Site`: one cluster that offers to train, as the hub sees it. People write its spec; its status is made of the site's
//! reports and of when they came.
use coalition_protocol::messages::bounds;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::amounts::Quantity;
use crate::names::{DIGEST_PATTERN, LABEL_PATTERN};

/// Admits one cluster to the coalition; runs select sites by the labels of these objects.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "coalition.training",
    version = "v1alpha1",
    kind = "Site",
    plural = "sites",
    shortname = "csite",
    category = "training",
    status = "SiteStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Admits one cluster to the coalition; runs select sites by its labels. Its reports come to the namespace site-NAME.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(
        name = "Lease",
        type_ = "string",
        json_path = ".status.lease",
        description = "Fresh, Late, Lost or Never"
    ),
    printcolumn(name = "Runs", type_ = "integer", json_path = ".status.runs"),
    printcolumn(name = "CPU", type_ = "string", json_path = ".status.facts.capacity.free.cpu", description = "free"),
    printcolumn(
        name = "GPUs",
        type_ = "integer",
        json_path = ".status.facts.capacity.free.gpus",
        description = "free"
    ),
    printcolumn(name = "Store", type_ = "string", json_path = ".status.facts.store.state"),
    printcolumn(name = "Cordoned", type_ = "boolean", json_path = ".spec.cordoned", priority = 1),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.facts.versions.operator", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct SiteSpec {
    /// Gives the site no new part of any run; what it trains goes on. Default: false.
    #[serde(default)]
    pub cordoned: bool,

    /// Names the group of members it belongs to, for people; runs select by labels. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL_PATTERN))]
    pub tier: Option<String>,
}

/// Tells how the site does.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteStatus {
    /// Names the generation of the spec this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Tells how old the site's last sign of life is, by the hub's own clock.
    #[serde(default)]
    pub lease: LeaseAge,

    /// Counts the runs it is a member of.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub runs: i32,

    /// Tells what the site said last about itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,

    /// Tells the state in the standard form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::conditions::schema")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// How old a sign of life is. A class, not a time: a status that repeats a clock would be written all the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum LeaseAge {
    /// It was never heard of.
    #[default]
    Never,
    /// It was heard of as often as it should be.
    Fresh,
    /// It missed a renewal.
    Late,
    /// Nothing was heard of it for so long that it counts as away.
    Lost,
}

/// Tells what a site has and offers.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Facts {
    /// Tells the versions at work there.
    pub versions: Versions,

    /// Lists the features its software knows; a run that needs another is refused by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub features: Vec<String>,

    /// Tells what it could train with.
    pub capacity: Capacity,

    /// Tells how its object store does.
    pub store: StoreFacts,

    /// Gives the address where couriers of other sites reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = bounds::ADDRESS))]
    pub endpoint: Option<String>,

    /// Lists the data sets it has, by the names that runs use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub data_sets: Vec<DataSetFacts>,

    /// Lists the namespaces at the hub whose runs it takes; a run of another one is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63), regex(pattern = LABEL_PATTERN)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub namespaces: Vec<String>,

    /// Tells why it takes no part at all; absent if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub refusal: Option<String>,
}

/// Tells versions.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Versions {
    /// Gives the version of the site's operator.
    #[schemars(length(max = 63))]
    pub operator: String,
    /// Gives the version of its Kubernetes.
    #[schemars(length(max = 63))]
    pub kubernetes: String,
}

/// Tells what a site could train with.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Capacity {
    /// Counts the nodes that take workers.
    #[schemars(range(min = 0))]
    pub nodes: i32,
    /// Tells what these nodes have in all.
    pub total: Supply,
    /// Tells what of it is free.
    pub free: Supply,
}

/// Tells an amount of compute.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Supply {
    /// Gives the cores.
    pub cpu: Quantity,
    /// Gives the memory, bytes.
    pub memory: Quantity,
    /// Counts the GPUs.
    #[schemars(range(min = 0))]
    pub gpus: i64,
}

/// Tells how an object store does.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoreFacts {
    /// Gives its place, such as s3://BUCKET/PREFIX; never a credential.
    #[schemars(length(max = 253), regex(pattern = bounds::ADDRESS))]
    pub place: String,
    /// Tells whether it can be written and read.
    pub state: StoreState,
    /// Tells what is wrong with it; empty if nothing.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// Tells whether a store can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum StoreState {
    /// It was not tried yet.
    Unknown,
    /// It takes writes and gives them back.
    Usable,
    /// It takes no more writes, for lack of room.
    Full,
    /// It takes no writes.
    ReadOnly,
    /// It does not answer.
    Away,
}

/// Tells what a hub must know of a data set before a run of it begins.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataSetFacts {
    /// Names the data set.
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL_PATTERN))]
    pub name: String,
    /// Gives the BLAKE3 digest of the prepared data set: sites of one run must have the same.
    #[schemars(length(min = 64, max = 64), regex(pattern = DIGEST_PATTERN))]
    pub digest: String,
    /// Counts its tokens.
    #[schemars(range(min = 0))]
    pub tokens: i64,
    /// Counts the words of its vocabulary.
    #[schemars(range(min = 0))]
    pub vocabulary: i64,
}
