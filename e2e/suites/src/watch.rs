//! Keeps the books of every run up to date from watches, on a thread of its own, from the control plane's machine: no cut cable
//! makes it miss a record. Must not judge: that is the books' part.

use crate::audit::Books;
use crate::installed::{RUNS, WORKERS};
use anyhow::Result;
use coalition_cluster::Cluster;
use coalition_crds::{Gang, RunHistory};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, watcher};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// The books of every run, by the UID of its TrainingRun.
pub(crate) type Shelf = BTreeMap<String, Books>;

/// A watcher. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Auditor {
    books: Arc<Mutex<Shelf>>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Auditor {
    /// Watches the histories and gangs at `cluster`.
    pub fn start(cluster: &Arc<Cluster>) -> Self {
        let books = Arc::<Mutex<Shelf>>::default();
        let (end, ended) = oneshot::channel();
        let (own, cluster) = (Arc::clone(&books), Arc::clone(cluster));
        let thread = std::thread::spawn(move || {
            cluster.run(async {
                let client = cluster.client().await?;
                let histories = watcher(Api::<RunHistory>::namespaced(client.clone(), RUNS), Config::default());
                // What breaks is begun again, with pauses: the API server may be what was killed.
                let histories = histories.default_backoff().applied_objects().into_stream().for_each(|seen| {
                    if let Ok(history) = seen
                        && let Some(run) = owner(&history)
                    {
                        lock(&own).entry(run.to_owned()).or_default().see_history(&history.spec);
                    }
                    async {}
                });
                let gangs = watcher(Api::<Gang>::namespaced(client, WORKERS), Config::default());
                let gangs = gangs.default_backoff().applied_objects().into_stream().for_each(|seen| {
                    if let Ok(gang) = seen {
                        let run = gang.spec.site_run.training_run.uid;
                        let name = gang.metadata.name.unwrap_or_default();
                        lock(&own).entry(run).or_default().see_gang(&name, &gang.status.unwrap_or_default());
                    }
                    async {}
                });
                tokio::select! {
                    ((), ()) = async { tokio::join!(histories, gangs) } => {}
                    _ = ended => {}
                }
                Ok(())
            })
        });
        Self { books, end: Some(end), thread: Some(thread) }
    }

    /// The books as they stand.
    pub fn books(&self) -> MutexGuard<'_, Shelf> {
        lock(&self.books)
    }
}

/// The UID of the TrainingRun that a history belongs to.
pub(crate) fn owner(history: &RunHistory) -> Option<&str> {
    let owners = history.metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.kind == "TrainingRun").map(|owner| owner.uid.as_str())
}

fn lock(books: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Auditor {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("warning: the runs were not watched: {error:#}");
        }
    }
}
