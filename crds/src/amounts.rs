//! Amounts that people write as a number or as a word: tokens with a suffix, a grace that is `auto` or seconds, cores and
//! bytes. Kept as written, so that applying an object again changes nothing.
use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// An amount of tokens: a whole number, or a string with one of the suffixes k, M, G, T (powers of 1000).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Tokens {
    /// As a number.
    Number(i64),
    /// As a string.
    Text(String),
}

impl Tokens {
    /// The amount as text, as `coalition_spec::tokens::parse` reads it.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Number(n) => Cow::Owned(n.to_string()),
            Self::Text(s) => Cow::Borrowed(s),
        }
    }
}

impl From<&str> for Tokens {
    fn from(s: &str) -> Self {
        Self::Text(s.to_owned())
    }
}

impl From<i64> for Tokens {
    fn from(n: i64) -> Self {
        Self::Number(n)
    }
}

impl JsonSchema for Tokens {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Tokens".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // A Kubernetes quantity reads these suffixes too, so CEL can compute with amounts. 2^53 is where a JSON number
        // stops being exact.
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 17,
            "pattern": "^[0-9]+[kMGT]?$",
            "x-kubernetes-validations": [{
                // Compared as quantities: as an integer, an amount beyond 64 bits stops the rule instead of failing it.
                "rule": "!quantity(string(self)).isLessThan(quantity('0')) \
                         && !quantity(string(self)).isGreaterThan(quantity('9007199254740992'))",
                "message": "must be 0 to 9007T tokens (2^53); write a whole number, or one with k, M, G or T such as 400k",
            }],
        })
    }
}

/// A wait: `auto`, or whole seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Grace {
    /// Seconds.
    Seconds(i64),
    /// A word; `auto` is the only one.
    Word(String),
}

impl Grace {
    /// `auto`.
    pub fn auto() -> Self {
        Self::Word("auto".to_owned())
    }

    /// The seconds, none for `auto`.
    pub fn seconds(&self) -> Option<i64> {
        match self {
            Self::Seconds(s) => Some(*s),
            Self::Word(_) => None,
        }
    }
}

impl JsonSchema for Grace {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Grace".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 4,
            "pattern": "^auto$",
            "x-kubernetes-validations": [{
                "rule": "string(self) == 'auto' || (int(string(self)) >= 1 && int(string(self)) <= 86400)",
                "message": "must be auto or 1 to 86400 seconds; auto waits max(20 s, 1.5 x the predicted transfer, \
                            a tenth of the round)",
            }],
        })
    }
}

/// Cores or bytes as Kubernetes writes them: `2`, `500m`, `64Gi`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Quantity {
    /// As a number.
    Number(i64),
    /// As a string.
    Text(String),
}

impl Quantity {
    /// The amount as text, as a pod's resources take it.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Number(n) => Cow::Owned(n.to_string()),
            Self::Text(s) => Cow::Borrowed(s),
        }
    }
}

impl From<&str> for Quantity {
    fn from(s: &str) -> Self {
        Self::Text(s.to_owned())
    }
}

/// Form of a [`Quantity`]: a subset of what Kubernetes reads, without exponents and signs.
pub(crate) const QUANTITY_PATTERN: &str = "^[0-9]+(\\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$";

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            // A signed 64-bit number with a suffix.
            "maxLength": 22,
            "pattern": QUANTITY_PATTERN,
        })
    }
}
