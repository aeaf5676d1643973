//! One watch: a task of its own with its own pauses, so that a kind that cannot be read delays no other; nor does an object that
//! cannot ([`crate::unreadable`]). Must not know what the objects are for.
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt as _;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::metrics::{Kind, Metrics, Name};
use crate::outage::is_away;
use crate::unreadable::{Register, Unreadable};

/// What a watch says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It stands in the list that a watch begins with, or begins again with: it may be as it was.
    Listed,
    /// It came or changed just now.
    Changed,
    /// It was deleted.
    Gone,
}

/// The newest of every object of one kind, and whether they were all seen once.
#[derive(Clone)]
pub struct Watched<K>
where
    K: 'static + Resource + Clone,
    K::DynamicType: Hash + Eq + Clone + Default,
{
    store: Store<K>,
    ready: Arc<AtomicBool>,
    unreadable: Register,
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
    /// Watches the objects of `api` that `config` selects. `changed` is called with every object that came, changed or went, as
    /// far as it can be read.
    pub fn start(
        tasks: &mut JoinSet<()>,
        kind: &'static str,
        api: Api<DeserializeGuard<K>>,
        config: watcher::Config,
        changed: impl Fn(&K) + Send + 'static,
    ) -> Self {
        Self::start_telling(tasks, kind, None, api, config, move |object, _| changed(object))
    }

    /// The same; `changed` is told too what became of the object, and `metrics` whether the watch works.
    pub fn start_telling(
        tasks: &mut JoinSet<()>,
        kind: &'static str,
        metrics: Option<&Metrics>,
        api: Api<DeserializeGuard<K>>,
        config: watcher::Config,
        changed: impl Fn(&K, News) + Send + 'static,
    ) -> Self {
        let (reader, mut writer) = store();
        let ready = Arc::new(AtomicBool::new(false));
        let is_ready = ready.clone();
        let works = metrics.map(|m| m.watches.get_or_create_owned(&Kind { kind: Name(kind) }));
        let unreadable =
            Register::new(kind, metrics.map(|m| m.unreadable.get_or_create_owned(&Kind { kind: Name(kind) })));
        let watched = Self { store: reader, ready, unreadable };
        let this = watched.clone();
        tasks.spawn(async move {
            // Who wrote which field says nothing to a reader, and is half of many objects.
            let lean = watcher(api, config).default_backoff().modify(|o| o.meta_mut().managed_fields = None);
            let mut events = std::pin::pin!(lean);
            let set = |value| works.as_ref().map(|w| w.set(value));
            set(0);
            // Said once when it breaks and once when it works again, not with every attempt; of a server that is away its
            // client says so.
            let mut broken: Option<bool> = None;
            while let Some(event) = events.next().await {
                let event = match event {
                    Ok(event) => event,
                    Err(e) => {
                        let told = !server_is_away(&e);
                        if broken.is_none() {
                            set(0);
                        }
                        if told && broken != Some(true) {
                            tracing::warn!(kind, error = %e, "the watch broke; it is tried again");
                        }
                        broken = Some(told || broken == Some(true));
                        continue;
                    }
                };
                let done = matches!(event, watcher::Event::InitDone);
                if let Some(event) = this.unreadable.sift(event, |namespace, name| this.get(namespace, name)) {
                    writer.apply_watcher_event(&event);
                    match event {
                        watcher::Event::Apply(o) => changed(&o, News::Changed),
                        watcher::Event::InitApply(o) => changed(&o, News::Listed),
                        watcher::Event::Delete(o) => changed(&o, News::Gone),
                        watcher::Event::Init | watcher::Event::InitDone => {}
                    }
                }
                if done {
                    is_ready.store(true, Ordering::Release);
                    set(1);
                }
                if let Some(told) = broken.take() {
                    if told {
                        tracing::info!(kind, "the watch works again");
                    }
                    set(i64::from(is_ready.load(Ordering::Acquire)));
                }
            }
        });
        watched
    }

    /// True once every object was seen.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Ends once every object was seen. Of a watch that will not come any more there is nothing to wait for.
    pub async fn ready(&self) {
        if self.store.wait_until_ready().await.is_err() {
            tracing::debug!("a watch ended before it saw anything");
        }
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

    /// The objects that cannot be read.
    pub fn unreadable(&self) -> Vec<Unreadable> {
        self.unreadable.all()
    }

    /// One object that stands there and cannot be read, as it is now; how it was read before is shown still.
    pub fn unreadable_one(&self, namespace: Option<&str>, name: &str) -> Option<Unreadable> {
        self.unreadable.get(namespace, name)
    }
}

fn server_is_away(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(e) | WatchStartFailed(e) | WatchFailed(e) => is_away(e),
        WatchError(status) => status.code >= 500,
        NoResourceVersion => false,
    }
}
