//! A run's history as this site sees it: the newest records from the hub's object, older ones from what the courier mirrored into
//! the site's own store. Must not judge records: whoever acts on them checks chain and signatures.
use std::sync::Arc;

use coalition_courier::{CourierError, stock};
use coalition_crds::RunHistory;
use coalition_protocol::record::Body;
use coalition_protocol::sign::SignedRecord;
use coalition_protocol::{RunId, Seq};
use coalition_store::Store;
use tokio::sync::watch;

/// The newest records, as the hub shows them; none before it was seen in this life.
pub type Window = Option<Arc<Vec<SignedRecord>>>;

/// The history of one run.
#[derive(Debug)]
pub struct History {
    run: RunId,
    store: Store,
    window: watch::Sender<Window>,
}

impl History {
    /// Nothing was seen yet.
    pub fn new(run: RunId, store: Store) -> Self {
        Self { run, store, window: watch::Sender::new(None) }
    }

    /// The hub's object came or changed. One with a text that is no record changes nothing: it is said, and the site goes on
    /// with what it has.
    pub fn seen(&self, object: &RunHistory) {
        match records(object) {
            Ok(records) => {
                self.window.send_if_modified(|old| {
                    let news = old.as_ref().is_none_or(|o| **o != records);
                    if news {
                        *old = Some(Arc::new(records));
                    }
                    news
                });
            }
            Err(e) => tracing::error!(run = %self.run, error = %e, "a record of the RunHistory cannot be read"),
        }
    }

    /// Changes of the newest records.
    pub fn changes(&self) -> watch::Receiver<Window> {
        self.window.subscribe()
    }

    /// True once the hub's object was seen in this life.
    pub fn is_seen(&self) -> bool {
        self.window.borrow().is_some()
    }

    /// The newest records.
    pub fn newest(&self) -> Arc<Vec<SignedRecord>> {
        self.window.borrow().clone().unwrap_or_default()
    }

    /// True once the run has its end record.
    pub fn is_over(&self) -> bool {
        matches!(self.newest().last().map(|r| &r.record.body), Some(Body::End(_)))
    }

    /// Records after `after` (all for none), in order, at most `limit`. What neither the hub shows nor the own store mirrors
    /// ends the list.
    pub async fn after(&self, after: Option<Seq>, limit: usize) -> Result<Vec<SignedRecord>, CourierError> {
        let newest = self.newest();
        let mut next = after.map_or(Seq(0), Seq::next);
        let mut out = Vec::new();
        while out.len() < limit && newest.first().is_none_or(|f| next < f.record.seq) {
            let Some((record, _)) = stock::mirrored(&self.store, &self.run, next).await? else { return Ok(out) };
            next = next.next();
            out.push(record);
        }
        let start = newest.partition_point(|r| r.record.seq < next);
        let room = limit - out.len();
        out.extend(newest.iter().skip(start).take(room).cloned());
        Ok(out)
    }
}

fn records(object: &RunHistory) -> Result<Vec<SignedRecord>, serde_json::Error> {
    let read = |entry: &coalition_crds::run_history::HistoryRecord| {
        Ok(SignedRecord { record: serde_json::from_str(&entry.record)?, signature: entry.signature.clone() })
    };
    object.spec.records.iter().map(read).collect()
}
