//! One watch: a task of its own with its own pauses, so that a kind that cannot be read delays no other. Must not know what
//! the objects are for.
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt as _;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

/// The newest of every object of one kind, and whether they were all seen once.
#[derive(Clone)]
pub struct Watched<K>
where
    K: 'static + Resource + Clone,
    K::DynamicType: Hash + Eq + Clone + Default,
{
    store: Store<K>,
    ready: Arc<AtomicBool>,
}

impl<K> Debug for Watched<K>
where
    K: 'static + Resource + Clone,
    K::DynamicType: Hash + Eq + Clone + Default,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("ready", &self.ready).finish_non_exhaustive()
    }
}

impl<K> Watched<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// Watches the objects of `api` that `config` selects. `changed` is called with every object that came, changed or went.
    pub fn start(
        tasks: &mut JoinSet<()>,
        kind: &'static str,
        api: Api<K>,
        config: watcher::Config,
        changed: impl Fn(&K) + Send + 'static,
    ) -> Self {
        let (reader, writer) = store();
        let ready = Arc::new(AtomicBool::new(false));
        let is_ready = ready.clone();
        tasks.spawn(async move {
            let events = watcher(api, config).default_backoff().reflect(writer);
            let mut events = std::pin::pin!(events);
            // Said once when it breaks and once when it works again, not with every attempt.
            let mut broken = false;
            while let Some(event) = events.next().await {
                match event {
                    Ok(watcher::Event::Apply(o) | watcher::Event::Delete(o) | watcher::Event::InitApply(o)) => {
                        changed(&o);
                    }
                    Ok(watcher::Event::InitDone) => is_ready.store(true, Ordering::Release),
                    Ok(watcher::Event::Init) => {}
                    Err(e) => {
                        if !std::mem::replace(&mut broken, true) {
                            tracing::warn!(kind, error = %e, "the watch broke; it is tried again");
                        }
                        continue;
                    }
                }
                if std::mem::take(&mut broken) {
                    tracing::info!(kind, "the watch works again");
                }
            }
        });
        Self { store: reader, ready }
    }

    /// True once every object was seen.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// One object.
    pub fn get(&self, namespace: Option<&str>, name: &str) -> Option<Arc<K>> {
        let key = ObjectRef::new(name);
        self.store.get(&match namespace {
            Some(n) => key.within(n),
            None => key,
        })
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.store.state()
    }
}
