//! The hub role: what users ask for becomes plans, records and requests to sites. For each run: observe, plan, apply, report,
//! a file each. Must never learn pods, nodes, or what a site does inside itself.
pub mod access;
pub mod apply;
pub mod chain;
pub mod checkpoints;
pub mod conditions;
pub mod facts;
pub mod figures;
pub mod heard;
pub mod history;
pub mod key;
pub mod leader;
pub mod memory;
pub mod names;
pub mod observe;
pub mod report;
mod run;
pub mod sites;
pub mod sources;
pub mod stop;
mod strays;
pub mod wake;

use std::sync::{Arc, Mutex, PoisonError};

use coalition_kit::metrics::Metrics;
use kube::Client;
use tokio::task::JoinSet;

use figures::Figures;
use sources::Sources;

/// The hub role of one process. Its watches run from the start, so that a standby knows all when it begins to lead; they end when
/// this is dropped.
pub struct Hub {
    client: Client,
    namespace: String,
    identity: String,
    sources: Arc<Sources>,
    metrics: Arc<Metrics>,
    figures: Figures,
    watches: Mutex<JoinSet<()>>,
}

impl Hub {
    /// Starts the watches. `namespace` is the hub's own, `identity` its name among its replicas.
    pub fn start(client: Client, metrics: Arc<Metrics>, namespace: &str, identity: &str) -> Self {
        let mut watches = JoinSet::new();
        let sources = Arc::new(Sources::start(&client, namespace, &metrics, &mut watches));
        let figures = Figures::new(&metrics);
        let (namespace, identity) = (namespace.to_owned(), identity.to_owned());
        Self { client, namespace, identity, sources, metrics, figures, watches: Mutex::new(watches) }
    }

    /// True once every watch has seen all there is.
    pub fn is_ready(&self) -> bool {
        self.sources.is_ready()
    }

    /// Leads until the caller stops polling.
    pub async fn lead(&self) {
        let (sources, metrics, figures) = (self.sources.clone(), self.metrics.clone(), self.figures.clone());
        leader::lead(&self.client, &self.namespace, &self.identity, sources, metrics, figures).await;
    }

    /// Ends the watches.
    pub fn end(&self) {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}
