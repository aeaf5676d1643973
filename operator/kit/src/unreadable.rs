//! Objects that stand at an API server and cannot be read: each is named once, and none keeps the others from being read. What
//! was read of one before goes on counting, for unknown is not gone. Must not know what the objects are for.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;
use prometheus_client::metrics::gauge::Gauge;

/// An object that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its namespace, if it has one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its labels: metadata can be read always.
    pub labels: BTreeMap<String, String>,
    /// What is wrong with it.
    pub error: String,
}

type Key = (Option<String>, String);
type All = BTreeMap<Key, Unreadable>;

#[derive(Debug, Default)]
struct Inner {
    now: All,
    /// What the list that is being read has shown so far.
    listed: Option<All>,
    /// How many of them the gauge has.
    shown: i64,
}

/// The unreadable objects of one watch.
#[derive(Clone, Debug)]
pub struct Register {
    kind: &'static str,
    inner: Arc<Mutex<Inner>>,
    count: Option<Gauge>,
}

impl Register {
    /// None yet. `count` shows how many there are of this kind, over all watches.
    pub fn new(kind: &'static str, count: Option<Gauge>) -> Self {
        Self { kind, inner: Arc::default(), count }
    }

    /// All of them.
    pub fn all(&self) -> Vec<Unreadable> {
        self.locked(|i| i.now.values().cloned().collect())
    }

    /// One of them.
    pub fn get(&self, namespace: Option<&str>, name: &str) -> Option<Unreadable> {
        self.locked(|i| i.now.get(&(namespace.map(str::to_owned), name.to_owned())).cloned())
    }

    /// What an event says of objects that can be read. Of one that cannot, it is `known` that counts: how it was read before.
    pub fn sift<K: Resource + Clone>(
        &self,
        event: Event<DeserializeGuard<K>>,
        known: impl Fn(Option<&str>, &str) -> Option<Arc<K>>,
    ) -> Option<Event<K>> {
        let before = |meta: &ObjectMeta| known(meta.namespace.as_deref(), name(meta)).map(|k| (*k).clone());
        match event {
            Event::Init => {
                self.locked(|i| i.listed = Some(All::new()));
                Some(Event::Init)
            }
            Event::InitApply(DeserializeGuard(Ok(object))) => Some(Event::InitApply(object)),
            Event::InitApply(DeserializeGuard(Err(bad))) => {
                self.note(&bad.metadata, bad.error.clone());
                before(&bad.metadata).map(Event::InitApply)
            }
            Event::InitDone => {
                self.listed();
                Some(Event::InitDone)
            }
            Event::Apply(DeserializeGuard(Ok(object))) => {
                self.strike(object.meta(), "it can be read again");
                Some(Event::Apply(object))
            }
            Event::Apply(DeserializeGuard(Err(bad))) => {
                self.note(&bad.metadata, bad.error);
                None
            }
            Event::Delete(DeserializeGuard(Ok(object))) => {
                self.strike(object.meta(), "it is gone");
                Some(Event::Delete(object))
            }
            Event::Delete(DeserializeGuard(Err(bad))) => {
                self.strike(&bad.metadata, "it is gone");
                before(&bad.metadata).map(Event::Delete)
            }
        }
    }

    fn note(&self, meta: &ObjectMeta, error: String) {
        let found = Unreadable {
            namespace: meta.namespace.clone(),
            name: name(meta).to_owned(),
            labels: meta.labels.clone().unwrap_or_default(),
            error,
        };
        let key = (found.namespace.clone(), found.name.clone());
        let said = self.locked(|i| {
            let said = i.now.get(&key).is_some_and(|known| known.error == found.error);
            i.listed.as_mut().unwrap_or(&mut i.now).insert(key, found.clone());
            said
        });
        if !said {
            let Unreadable { namespace, name, error, .. } = &found;
            let kind = self.kind;
            tracing::warn!(kind, namespace, name, error, "this object cannot be read; all others go on without it");
        }
        self.show();
    }

    /// The list is whole: what it did not show as unreadable is mended or gone.
    fn listed(&self) {
        let mended: Vec<Key> = self.locked(|i| {
            let Some(listed) = i.listed.take() else { return Vec::new() };
            let before = std::mem::replace(&mut i.now, listed);
            before.into_keys().filter(|key| !i.now.contains_key(key)).collect()
        });
        for (namespace, name) in mended {
            tracing::info!(kind = self.kind, namespace, name, "it can be read again, or is gone");
        }
        self.show();
    }

    fn strike(&self, meta: &ObjectMeta, what: &str) {
        let key = (meta.namespace.clone(), name(meta).to_owned());
        if self.locked(|i| i.now.remove(&key)).is_some() {
            tracing::info!(kind = self.kind, namespace = key.0, name = key.1, "{what}");
        }
        self.show();
    }

    fn show(&self) {
        let Some(count) = &self.count else { return };
        self.locked(|i| {
            let now = i64::try_from(i.now.len()).unwrap_or(i64::MAX);
            // Other watches of the same kind count there too.
            count.inc_by(now - std::mem::replace(&mut i.shown, now));
        });
    }

    fn locked<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    type Guarded = DeserializeGuard<ConfigMap>;

    fn map(name: &str, data: serde_json::Value) -> Guarded {
        serde_json::from_value(json!({"metadata": {"namespace": "n", "name": name}, "data": data})).unwrap()
    }

    fn good(name: &str) -> Guarded {
        map(name, json!({"a": "b"}))
    }

    fn bad(name: &str) -> Guarded {
        map(name, json!("nonsense"))
    }

    fn text(event: Option<Event<ConfigMap>>) -> String {
        event.map_or_else(|| "nothing".to_owned(), |e| e.to_string())
    }

    #[test]
    fn others_pass_and_what_was_read_before_counts_on() {
        let count = Gauge::default();
        let register = Register::new("ConfigMap", Some(count.clone()));
        let unknown = |_: Option<&str>, _: &str| None;
        let known = |_: Option<&str>, _: &str| good("b").0.ok().map(Arc::new);
        let sift = |e| register.sift(e, unknown);
        assert_eq!(text(sift(Event::Init)), "Init");
        assert_eq!(text(sift(Event::InitApply(good("a")))), "InitApply(a)");
        assert_eq!(text(sift(Event::InitApply(bad("b")))), "nothing");
        assert_eq!(register.all(), [], "a list counts once it is whole");
        assert_eq!(text(sift(Event::InitDone)), "InitDone");
        assert_eq!(count.get(), 1);
        let found = register.get(Some("n"), "b").unwrap();
        assert!(found.error.contains("nonsense"), "{}", found.error);
        assert_eq!(text(sift(Event::Apply(good("b")))), "Apply(b)");
        assert_eq!((register.all().len(), count.get()), (0, 0), "it is mended");
        // What came to be unreadable under our eyes, and in a list that begins anew.
        assert_eq!(text(register.sift(Event::Apply(bad("b")), known)), "nothing", "what was read stays");
        sift(Event::Init);
        assert_eq!(text(register.sift(Event::InitApply(bad("b")), known)), "InitApply(b)");
        sift(Event::InitDone);
        assert_eq!(count.get(), 1);
        assert_eq!(text(register.sift(Event::Delete(bad("b")), known)), "Delete(b)", "it is gone, unreadable or not");
        assert_eq!(count.get(), 0);
        // One that goes while the watch is broken.
        sift(Event::Apply(bad("c")));
        sift(Event::Init);
        sift(Event::InitDone);
        assert_eq!(register.all(), []);
    }
}
