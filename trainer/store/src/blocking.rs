//! A store for callers without an async runtime, as the trainer is: the same calls, waited for. Knows nothing of objects.
use std::future::Future;

use crate::error::StoreError;
use crate::location::Location;
use crate::store::Store;

/// A store with a small runtime of its own.
#[derive(Debug)]
pub struct BlockingStore {
    runtime: tokio::runtime::Runtime,
    store: Store,
    progress: fn(),
}

impl BlockingStore {
    /// Opens the store at `location`.
    pub fn open(location: &Location) -> Result<Self, StoreError> {
        Self::new(Store::open(location)?)
    }

    /// Wraps an open store.
    pub fn new(store: Store) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| {
            StoreError::Other { store: store.name().to_owned(), key: "the runtime".to_owned(), reason: e.to_string() }
        })?;
        Ok(Self { runtime, store, progress: || {} })
    }

    /// Calls `hook` whenever a call that is waited for gets on: a part was read or written. One that hangs does not.
    #[must_use]
    pub const fn on_progress(mut self, hook: fn()) -> Self {
        self.progress = hook;
        self
    }

    /// The async store, to make the future for [`wait`](Self::wait).
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Waits for a call on the store: `s.wait(s.store().get(key, limit))`. Refused inside an async runtime, where waiting
    /// would stop the runtime's other work.
    pub fn wait<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        if tokio::runtime::Handle::try_current().is_ok() {
            return Err(StoreError::Other {
                store: self.store.name().to_owned(),
                key: "a blocking call".to_owned(),
                reason: "it was made inside an async runtime; use Store there".to_owned(),
            });
        }
        let mut call = std::pin::pin!(call);
        self.runtime.block_on(std::future::poll_fn(|context| {
            (self.progress)();
            call.as_mut().poll(context)
        }))
    }
}
