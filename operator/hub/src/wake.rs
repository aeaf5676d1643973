//! Who is woken by what: a run by its own objects, all runs by a site's. Must not know why somebody wants to be woken.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// The bells.
#[derive(Debug, Default)]
pub struct Wake {
    runs: Mutex<BTreeMap<String, Arc<Notify>>>,
    /// A TrainingRun came, changed or went.
    pub list: Notify,
    /// A Site or what it says of itself changed.
    pub sites: Notify,
    /// Something changed that perhaps no run cares for any more: a SiteRun, a Checkpoint, what is remembered of a run.
    pub strays: Notify,
}

impl Wake {
    /// The bell of one run, by its key.
    pub fn of(&self, key: &str) -> Arc<Notify> {
        self.locked(|runs| runs.entry(key.to_owned()).or_default().clone())
    }

    /// The run with this bell is called by another name too.
    pub fn also(&self, name: &str, bell: &Arc<Notify>) {
        self.locked(|runs| runs.insert(name.to_owned(), bell.clone()));
    }

    /// Nobody listens to this bell any more.
    pub fn forget(&self, bell: &Arc<Notify>) {
        self.locked(|runs| runs.retain(|_, b| !Arc::ptr_eq(b, bell)));
    }

    /// True if somebody listens under this name.
    pub fn knows(&self, name: &str) -> bool {
        self.locked(|runs| runs.contains_key(name))
    }

    /// Wakes one run; false if nobody listens under this name.
    pub fn run(&self, name: &str) -> bool {
        self.locked(|runs| runs.get(name).map(|n| n.notify_one())).is_some()
    }

    /// Wakes all runs.
    pub fn all(&self) {
        self.locked(|runs| runs.values().for_each(|n| n.notify_one()));
    }

    fn locked<T>(&self, f: impl FnOnce(&mut BTreeMap<String, Arc<Notify>>) -> T) -> T {
        f(&mut self.runs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How a TrainingRun's bell is named before its identity is known.
pub fn key(namespace: Option<&str>, name: Option<&str>) -> String {
    format!("{}/{}", namespace.unwrap_or_default(), name.unwrap_or_default())
}
