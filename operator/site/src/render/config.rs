//! The workers' configuration as an immutable ConfigMap, named by its content: a pod that is made later never changes one that
//! runs. Must not know how the trainer reads it beyond the names of its fields.
use coalition_spec::RunSpec;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use super::Input;
use super::pod::{CACHE, TOKEN_FILE};
use crate::names;

/// The file's name.
pub const FILE: &str = "worker.json";

/// A configuration that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoConfig {
    /// The resolved run is not one this version reads.
    #[error("the request of the hub holds no run that this version reads ({0}); upgrade the site's operator")]
    Spec(String),
    /// The site does not have the data set.
    #[error("data set {name} is not in the site's settings, which have: {known}")]
    DataSet {
        /// The name.
        name: String,
        /// What there is.
        known: String,
    },
}

/// The ConfigMap.
pub fn config_map(input: &Input<'_>) -> Result<ConfigMap, NoConfig> {
    let (asked, settings) = (&input.spec().site_run, input.settings);
    let spec: RunSpec =
        serde_json::from_value(asked.message.spec.clone()).map_err(|e| NoConfig::Spec(e.to_string()))?;
    let wanted = &spec.data.dataset;
    let Some(data) = settings.data_sets.iter().find(|d| d.name == *wanted) else {
        let known: Vec<&str> = settings.data_sets.iter().map(|d| d.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(NoConfig::DataSet { name: wanted.clone(), known });
    };
    let text = json!({
        "run": asked.message.run,
        "site": asked.message.site,
        // Which worker it is stands in its pod's arguments, so that all share one file.
        "worker": 0,
        "workers": asked.shape.workers,
        "gateway": names::gateway(input.gateway, input.namespace(), input.name()),
        "tokenFile": TOKEN_FILE,
        "store": settings.store.url,
        "data": data.url,
        "dataCache": CACHE,
        "threads": asked.shape.cpu_threads,
    })
    .to_string();
    Ok(ConfigMap {
        metadata: input.metadata(names::config(input.name(), &text)),
        immutable: Some(true),
        data: Some([(FILE.to_owned(), text)].into()),
        binary_data: None,
    })
}
