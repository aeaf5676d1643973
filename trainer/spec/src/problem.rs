//! One thing that is wrong with a request, told so that its reader can act. Must not know who reads it.
//!
//! `coalition_crds::Problem` adds a place in a manifest. There is no crate where one type could stand for both: this one must
//! not know Kubernetes, and that one may depend on nothing of the project (`e2e/tests/layers.rs`).
use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest value that a message repeats; longer ones are cut, so that bad input cannot flood a status or a terminal.
const SHOWN: usize = 120;

/// A field, what it holds, what it must hold, and a way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Problem {
    /// Where: a path as it stands in the manifest, such as `spec.training.batchTokens`.
    pub field: String,
    /// What stands there, cut to a readable length; empty if nothing does.
    pub value: String,
    /// What must hold, as a sentence that begins with "must" or "is".
    pub bound: String,
    /// What to do instead, as a sentence.
    pub way_out: String,
}

impl Problem {
    /// A problem with `field`, which holds `value`.
    pub fn new(
        field: impl Into<String>,
        value: impl fmt::Display,
        bound: impl Into<String>,
        way_out: impl Into<String>,
    ) -> Self {
        let mut shown: String = value.to_string();
        if shown.chars().count() > SHOWN {
            shown = shown.chars().take(SHOWN).chain("…".chars()).collect();
        }
        Self { field: field.into(), value: shown, bound: bound.into(), way_out: way_out.into() }
    }

    /// The same problem, one level further down: `training.tokens` under `spec` is `spec.training.tokens`.
    #[must_use]
    pub fn under(mut self, parent: &str) -> Self {
        self.field = match (parent.is_empty(), self.field.is_empty()) {
            (true, _) => self.field,
            (_, true) => parent.to_owned(),
            _ => format!("{parent}.{}", self.field),
        };
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.field)?;
        if !self.value.is_empty() {
            write!(f, ": {}", self.value)?;
        }
        write!(f, ": {}. {}", self.bound, self.way_out)
    }
}

impl std::error::Error for Problem {}
