//! What a run reads.
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::LABEL_PATTERN;
use crate::rules;

/// Describes what the model reads.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::computed(
        "!has(self.tokenizer.dataset) || self.mixture.exists(m, m.name == self.tokenizer.dataset)",
        "'is %s: must be a data set of mixture: this version reads a tokenizer from the data set it trains on; write %s'\
         .format([self.tokenizer.dataset, self.mixture[0].name])",
    )
    .field_path(".tokenizer.dataset")
)]
pub struct Data {
    /// Sets the tokens of a sample.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub sequence_length: i32,

    /// Says how text becomes tokens.
    pub tokenizer: Tokenizer,

    /// Lists the data sets by name; each site says in its own settings where a name lies. This version trains on one.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = rules::rule(
            "size(self) == 1",
            "must have exactly one entry: this version trains on one data set; prepare the texts together under one name",
        )
    )]
    pub mixture: Vec<MixtureEntry>,
}

/// Names one data set.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MixtureEntry {
    /// Names the data set.
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL_PATTERN))]
    pub name: String,
}

/// Says how text becomes tokens: builtin, or dataset and file.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::rule(
    "has(self.builtin) ? !has(self.dataset) && !has(self.file) : has(self.dataset) && has(self.file)",
    "must have either builtin, or both dataset and file; use builtin: bytes if the text needs no vocabulary",
))]
pub struct Tokenizer {
    /// Names a tokenizer this version brings: bytes (258 tokens, one a byte, two that begin and end a document).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builtin: Option<Builtin>,

    /// Names the data set that holds the tokenizer's file: the one of mixture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL_PATTERN))]
    pub dataset: Option<String>,

    /// Names the tokenizer's file in that data set: tokenizer.json, as `data prepare` writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub file: Option<String>,
}

/// Names a tokenizer this version brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Builtin {
    /// One token a byte.
    Bytes,
}
