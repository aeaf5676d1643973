//! What a gateway stands on: the site's durable gang state, its durable report to the hub, and what it knows of hub and
//! history. On a laptop these are files, in a cluster a `Gang` and a `SiteReport` object.
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use coalition_protocol::Seq;
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::messages::{SiteRun, TrainerReport};
use coalition_protocol::sign::SignedRecord;
use tokio::sync::watch;

use crate::gang::GangState;

/// A value and the version it was read at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versioned<T> {
    /// Names this state of it; a write is refused if it is no longer the newest.
    pub version: u64,
    /// The value.
    pub value: T,
}

/// What the site knows at one moment, apart from records and gang.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// What the hub asks; none before the site is assigned to a run.
    pub site_run: Option<Arc<SiteRun>>,
    /// Contributions in the site's store.
    pub held: Vec<ContributionKey>,
    /// True if the store lost its opening entry (D8).
    pub store_lost: bool,
    /// True once the history has an end record.
    pub over: bool,
    /// True while the hub wants this site to train and what it asks is not shown yet: workers wait for it.
    pub pending: bool,
}

/// Something the backend could not do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BackendError {
    /// It may work later: the request is answered 503 and asked again.
    #[error("{0}")]
    Unavailable(String),
    /// It will not: full disk, damaged state.
    #[error("{0}")]
    Broken(String),
}

/// A site, as its gateway needs it.
pub trait SiteBackend: Send + Sync + 'static {
    /// Rises with every change of what the methods below return, the gang included.
    fn changes(&self) -> watch::Receiver<u64>;
    /// What is known now. Read after `changes`, so that a change in between is seen as one.
    fn snapshot(&self) -> Snapshot;
    /// Signed records after `after` (all for none), in order, at most `limit`.
    fn records(
        &self,
        after: Option<Seq>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<SignedRecord>, BackendError>> + Send;
    /// The gang's state.
    fn gang(&self) -> impl Future<Output = Result<Versioned<GangState>, BackendError>> + Send;
    /// Makes `next` the gang's durable state if `seen` is still its version. False if it is not.
    fn swap_gang(&self, seen: u64, next: GangState) -> impl Future<Output = Result<bool, BackendError>> + Send;
    /// A worker's process has done nothing for so long. Goes into the next report; nothing waits for it.
    fn still(&self, worker: u32, process: &str, time: Duration);
    /// Merges the trainer's part into the site's report; returns once the report is durable at the hub. A part whose
    /// (attempt, counter) is not higher than one already merged changes nothing and is no error.
    fn report(&self, part: TrainerReport) -> impl Future<Output = Result<(), BackendError>> + Send;
}
