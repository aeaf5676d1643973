//! Which sites train, and in which shape.
use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

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
}
