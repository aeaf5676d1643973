//! The hub that leads: a task for each run, one for the Sites, one for what runs left behind. Must not know what any of them
//! does.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coalition_kit::metrics::Metrics;
use coalition_kit::said::Said;
use coalition_planner::Millis;
use coalition_protocol::sign::HubKey;
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use tokio::task::{Id, JoinSet};

use crate::apply::MANAGER;
use crate::figures::Figures;
use crate::key::{KeyError, key};
use crate::sources::Sources;
use crate::{run, sites, strays};

/// Pause after the key could not be read.
const AGAIN: Duration = Duration::from_secs(1);

/// What all runs of a leader share.
pub struct Leader {
    /// The hub's API server.
    pub client: Client,
    /// The hub's own namespace there.
    pub namespace: String,
    /// The hub's key.
    pub key: HubKey,
    /// What is watched.
    pub sources: Arc<Sources>,
    /// Fresh for every leader (D7).
    pub nonce: String,
    /// Since when it leads.
    pub since: Millis,
    /// For events.
    pub recorder: Recorder,
    /// What every role measures.
    pub metrics: Arc<Metrics>,
    /// What this one does.
    pub figures: Figures,
}

/// Leads until the caller stops polling.
pub(crate) async fn lead(
    client: &Client,
    namespace: &str,
    identity: &str,
    sources: Arc<Sources>,
    metrics: Arc<Metrics>,
    figures: Figures,
) {
    // What is decided on half a picture would be decided again.
    sources.ready().await;
    let mut said = Said::default();
    let leader = loop {
        match begin(client, namespace, identity, &sources, &metrics, &figures).await {
            Ok(leader) => break Arc::new(leader),
            Err(error) if said.is_news(&error) => {
                tracing::warn!(%error, "the hub cannot begin; it is tried again");
            }
            Err(_) => {}
        }
        tokio::time::sleep(AGAIN).await;
    };
    // Dropped with this function, wherever it stands: then all of it ends.
    let mut tasks = JoinSet::new();
    tasks.spawn(sites::keep(leader.clone()));
    tasks.spawn(strays::keep(leader.clone()));
    let mut running: BTreeMap<(String, String), Id> = BTreeMap::new();
    loop {
        for object in sources.runs.all() {
            let of = |field: &Option<String>| field.clone().unwrap_or_default();
            let key = (of(&object.metadata.namespace), of(&object.metadata.name));
            if let std::collections::btree_map::Entry::Vacant(entry) = running.entry(key) {
                let (namespace, name) = entry.key().clone();
                let task = tasks.spawn(run::keep(leader.clone(), namespace, name));
                entry.insert(task.id());
            }
        }
        tokio::select! {
            () = sources.wake.list.notified() => {}
            Some(ended) = tasks.join_next_with_id() => {
                let id = match &ended {
                    Ok((id, ())) => *id,
                    Err(error) => {
                        tracing::error!(%error, "a task of the hub broke; it is begun again. Please report this");
                        error.id()
                    }
                };
                if !running.values().any(|known| *known == id) {
                    // One that serves all runs: the whole leader begins again.
                    return;
                }
                running.retain(|_, known| *known != id);
            }
        }
    }
}

async fn begin(
    client: &Client,
    namespace: &str,
    identity: &str,
    sources: &Arc<Sources>,
    metrics: &Arc<Metrics>,
    figures: &Figures,
) -> Result<Leader, KeyError> {
    let key = key(client, namespace).await?;
    let mut nonce = [0; 8];
    getrandom::fill(&mut nonce).map_err(KeyError::Random)?;
    let reporter = Reporter { controller: MANAGER.to_owned(), instance: Some(identity.to_owned()) };
    Ok(Leader {
        client: client.clone(),
        namespace: namespace.to_owned(),
        key,
        sources: sources.clone(),
        nonce: hex::encode(nonce),
        since: sources.heard.now(),
        recorder: Recorder::new(client.clone(), reporter),
        metrics: metrics.clone(),
        figures: figures.clone(),
    })
}
