//! Objects as they are: JSON and YAML for machines. Pure.
use serde::Serialize;

use super::ClusterError;
use crate::args::Output;

/// The text of an object in the form that was asked for; none if that is a table.
pub fn whole(object: &impl Serialize, output: Output) -> Result<Option<String>, ClusterError> {
    let bug = |e: String| ClusterError::Bug(e);
    match output {
        Output::Json => serde_json::to_string_pretty(object).map(Some).map_err(|e| bug(e.to_string())),
        Output::Yaml => {
            let text = serde_saphyr::to_string(object).map_err(|e| bug(e.to_string()))?;
            Ok(Some(text.trim_end().to_owned()))
        }
        Output::Table | Output::Wide => Ok(None),
    }
}

/// A list as kubectl prints one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct List<'a, T> {
    api_version: &'static str,
    kind: &'static str,
    items: &'a [T],
}

impl<'a, T> List<'a, T> {
    /// Of these.
    pub const fn of(items: &'a [T]) -> Self {
        Self { api_version: "v1", kind: "List", items }
    }
}
