//! How a simulated site answers the hub: it opens its store once, and reports what it has.
use std::collections::{BTreeMap, BTreeSet};

use coalition_protocol::history::View;
use coalition_protocol::messages::{Desired, GangReport, Held, Progress, SiteReport, StateReport, StoredCheckpoint};
use coalition_protocol::{Attempt, Real, Seq};

use super::site::{Site, Store};

impl Site {
    /// Opens a store for the incarnation it is asked to be (D8). True if the store is lost.
    pub fn open(&mut self) -> bool {
        let Some(asked) = self.asked.as_ref().filter(|a| a.desired != Desired::Stop) else { return false };
        match &self.store {
            Some(s) if s.opened == asked.incarnation => false,
            // A store of this incarnation existed once and is gone.
            None if self.counter > 0 && self.opened_once == Some(asked.incarnation) => true,
            _ => {
                self.opened_once = Some(asked.incarnation);
                let (held, states) = (BTreeMap::new(), BTreeMap::new());
                self.store = Some(Store {
                    opened: asked.incarnation,
                    held,
                    states,
                    kept: BTreeMap::new(),
                    entry: 0,
                    worked: BTreeMap::new(),
                    offer: None,
                    step: None,
                });
                self.at = None;
                self.training = None;
                false
            }
        }
    }

    /// What it reports now.
    pub fn report(&mut self, lost: bool, now: u64) -> Option<SiteReport> {
        let asked = self.asked.clone()?;
        self.counter += 1;
        let store = self.store.as_ref();
        let head = self.view.as_ref().filter(|_| self.at.is_some()).map(View::head);
        let open: BTreeSet<Seq> =
            self.view.iter().flat_map(|v| v.open_plans().map(|(s, _)| s).collect::<Vec<_>>()).collect();
        let running = now >= self.trainer_down_until && self.at.is_some();
        Some(SiteReport {
            run: asked.run,
            site: self.id.clone(),
            counter: self.counter,
            nonce: asked.nonce,
            epoch: asked.epoch,
            incarnation: asked.incarnation,
            opened: self.opened_once,
            store_lost: lost,
            head,
            endpoint: Some(format!("http://{}", self.id)),
            state: self.at.map(|(of, digest)| StateReport {
                of,
                digest,
                chunks: vec![digest],
                reproduced: self.reproduced,
            }),
            offers: store.and_then(|s| s.offer.clone()).into_iter().filter(|o| open.contains(&o.key.plan)).collect(),
            holds: store
                .iter()
                .flat_map(|s| s.held.iter().map(|(k, d)| Held { key: k.clone(), digest: *d }))
                .filter(|h| open.contains(&h.key.plan))
                .collect(),
            step: store.and_then(|s| s.step.clone()),
            checkpoints: store
                .iter()
                .flat_map(|s| s.kept.iter().map(|(seq, d)| StoredCheckpoint { seq: *seq, state: *d, bytes: 1 }))
                .collect(),
            mirrored: self.view.as_ref().map(|v| v.head().seq),
            records: Vec::new(),
            gang: GangReport {
                attempt: Attempt(1),
                workers_ready: u32::from(running),
                workers: 1,
                ..GangReport::default()
            },
            progress: Progress {
                tokens_per_second: Real::new(1000.0 / self.step_millis as f64).ok(),
                ..Progress::default()
            },
            refusals: BTreeMap::new(),
        })
    }
}
