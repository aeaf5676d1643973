//! What stands in the own store, looked at anew in every pass: other hands work there too. Must not start transfers.
use std::collections::BTreeSet;

use coalition_protocol::history::View;
use coalition_protocol::messages::StoredCheckpoint;
use coalition_protocol::{Seq, keys};
use tokio::time::Instant;

use super::Courier;
use crate::{CourierError, checkpoint, wants};

impl Courier {
    /// What is reported as held must be there now: a trainer that found one damaged has taken its manifest away.
    pub(super) async fn look_at_contributions(&self, view: &View, applied: Option<Seq>) -> Result<(), CourierError> {
        for (key, digest) in self.locked(|w| wants::reportable(view, applied, &w.stock)) {
            let manifest = format!("{}/{}", keys::contribution(view.run(), &key), keys::MANIFEST);
            if !self.own.exists(&manifest).await? {
                self.locked(|w| w.stock.contributions.remove(&(key, digest)));
            }
        }
        Ok(())
    }

    /// Verifies run checkpoints that appeared in the store, made by the trainer or fetched, and forgets those that went or
    /// whose state the history has refuted since: another may stand under the same name by now.
    pub(super) async fn look_at_checkpoints(&self, view: &View) -> Result<(), CourierError> {
        let listed: BTreeSet<Seq> = checkpoint::listed(&self.own, view.run()).await?.into_iter().collect();
        self.locked(|w| {
            let right = |s: &StoredCheckpoint| view.state(s.seq).is_none_or(|(fixed, _)| fixed == s.state);
            w.stock.checkpoints.retain(|seq, stored| listed.contains(seq) && right(stored));
        });
        for seq in listed {
            let key = keys::checkpoint(view.run(), seq);
            let due = self.locked(|w| {
                !w.stock.checkpoints.contains_key(&seq) && w.failed.get(&key).is_none_or(|f| f.again <= Instant::now())
            });
            if !due {
                continue;
            }
            match checkpoint::verify(&self.own, view, seq).await {
                Ok(stored) => self.locked(|w| {
                    w.failed.remove(&key);
                    w.stock.checkpoints.insert(seq, stored);
                }),
                Err(e) => self.fail(&key, &e),
            }
        }
        Ok(())
    }
}
