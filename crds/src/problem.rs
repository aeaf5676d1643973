//! One thing that is wrong with a manifest, told so that its reader can act.
//!
//! `coalition_spec::Problem` has the same parts without a place in a file. There is no crate where one type could stand for
//! both: this one may depend on nothing of the project, and that one must not know Kubernetes (`e2e/tests/layers.rs`).
use std::fmt;

use serde::Serialize;

/// The longest value a message repeats; longer ones are cut, so that bad input cannot flood a terminal or a status.
const SHOWN: usize = 120;

/// Where, what stands there, what must hold, and a way out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Line in the file, from 1; none if the problem has no place in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Kind and name, such as `TrainingRun/quickstart`; empty if it is about the file.
    pub object: String,
    /// Path of the field, such as `spec.training.batchTokens`; empty if it is about the object.
    pub field: String,
    /// What stands there; empty if nothing does.
    pub value: String,
    /// What must hold.
    pub bound: String,
    /// What to do instead.
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
        let mut shown = value.to_string();
        if shown.chars().count() > SHOWN {
            shown = shown.chars().take(SHOWN).chain("…".chars()).collect();
        }
        Self { field: field.into(), value: shown, bound: bound.into(), way_out: way_out.into(), ..Self::default() }
    }

    /// A problem from the message of a rule, which says what must hold and, after the last "; ", what to do instead.
    pub fn from_rule(field: impl Into<String>, value: impl fmt::Display, message: &str) -> Self {
        let (bound, way_out) = message.rsplit_once("; ").unwrap_or((message, ""));
        let mut letters = way_out.chars();
        let way_out: String = letters.next().map(|c| c.to_uppercase().chain(letters).collect()).unwrap_or_default();
        Self::new(field, value, bound, if way_out.is_empty() { way_out } else { format!("{way_out}.") })
    }

    /// The same problem, said of this object.
    #[must_use]
    pub fn of(mut self, object: &str) -> Self {
        object.clone_into(&mut self.object);
        self
    }

    /// The same problem, at this line.
    #[must_use]
    pub fn at(mut self, line: Option<u64>) -> Self {
        self.line = line;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.line.map(|l| format!("line {l}"));
        let parts = [place.as_deref().unwrap_or(""), &self.object, &self.field, &self.value, &self.bound];
        let told: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
        write!(f, "{}", told.join(": "))?;
        if self.way_out.is_empty() { Ok(()) } else { write!(f, ". {}", self.way_out) }
    }
}

impl std::error::Error for Problem {}
