//! Transfers of a courier: each runs beside the passes, at most so many at a time, and is tried again after a while. Must not
//! decide what is wanted.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coalition_protocol::history::View;
use coalition_protocol::messages::SiteRun;
use coalition_protocol::{Seq, SiteId, keys};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Courier, Failed, Work};
use crate::wants::Want;
use crate::{CourierError, Findings, checkpoint, origin, stock};

/// First and longest wait before a failed transfer is tried again: a store or peer that hiccups costs little, one that is
/// down is not flooded.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

impl Courier {
    pub(super) fn fail(&self, key: &str, e: &CourierError) {
        fail(&self.work, &self.woken, key, e);
    }

    /// True if the transfer `key` is to be started now; it then counts as running.
    fn begin(&self, key: &str) -> bool {
        self.locked(|w| {
            let due = w.failed.get(key).is_none_or(|f| f.again <= Instant::now());
            due && w.running.insert(key.to_owned())
        })
    }

    /// Base addresses of `holders`, in that order.
    fn endpoints(run: &SiteRun, holders: &[SiteId]) -> Vec<String> {
        let of = |h: &SiteId| run.peers.iter().find(|p| p.site == *h).map(|p| p.endpoint.clone());
        holders.iter().filter_map(of).collect()
    }

    /// A base that only this site could have is made here or not at all, and every pass looks for it: to ask for it again and
    /// again would only keep the store busy.
    fn nobody_else(&self, key: &str, seq: Seq) {
        let why = CourierError::NoHolder { key: key.to_owned(), holders: "no other site is known".to_owned() };
        self.locked(|w| {
            w.stock.absent.insert(seq);
            let failed =
                || Failed { times: 1, again: Instant::now(), why: why.to_string(), own_store: why.own_store() };
            w.failed.entry(key.to_owned()).or_insert_with(failed);
        });
    }

    pub(super) fn start_contribution(&mut self, run: &SiteRun, view: &View, want: Want) {
        let key = keys::contribution(view.run(), &want.offer.key);
        if !self.begin(&key) {
            return;
        }
        let holders: Vec<SiteId> = want.holders.iter().filter(|h| **h != self.options.site).cloned().collect();
        let from = Self::endpoints(run, &holders);
        let (own, fetcher, work, woken) =
            (self.own.clone(), self.fetcher.clone(), self.work.clone(), self.woken.clone());
        let (permits, id, elements) = (self.permits.clone(), view.run().clone(), view.genesis().elements);
        let lag = self.options.lag;
        self.transfers.spawn(async move {
            if !lag.is_zero() {
                tokio::time::sleep(lag).await;
            }
            let _permit = permits.acquire_owned().await;
            let done = stock::obtain(&own, &fetcher, &id, &want.offer, elements, &from).await;
            let mut w = work.lock().unwrap_or_else(PoisonError::into_inner);
            w.running.remove(&key);
            match done {
                Ok(()) => {
                    w.failed.remove(&key);
                    w.stock.nowhere.remove(&want.offer.key);
                    w.stock.contributions.insert((want.offer.key, want.offer.digest));
                    drop(w);
                    woken.send_modify(|n| *n += 1);
                }
                Err(e) => {
                    // All that answered say they do not have it: then only a base can help.
                    if matches!(e, CourierError::NotThere { .. }) && want.commit.is_some() {
                        w.stock.nowhere.insert(want.offer.key);
                    }
                    drop(w);
                    fail(&work, &woken, &key, &e);
                }
            }
        });
    }

    /// Starts to bring the state that the run begins from, as long as neither it nor a later one stands here.
    pub(super) fn bring_origin(&mut self, run: &SiteRun, view: &View, found: &mut Findings) {
        let Some(origin) = &view.genesis().origin else { return };
        found.lacks_origin = self.locked(|w| w.stock.checkpoints.is_empty());
        if !found.lacks_origin {
            return;
        }
        self.start_base(run, view, origin::AT);
        let failed = self.locked(|w| w.failed.get(&keys::checkpoint(view.run(), origin::AT)).map(|f| f.why.clone()));
        let how = failed.unwrap_or_else(|| "it is being brought".to_owned());
        let what = format!(
            "the state of record {} of run {}, from which this run begins, does not stand in this site's store yet: {how}",
            origin.seq, origin.run
        );
        found.problems.insert("OriginMissing".to_owned(), what);
    }

    pub(super) fn start_base(&mut self, run: &SiteRun, view: &View, seq: Seq) {
        let key = keys::checkpoint(view.run(), seq);
        let has_origin = view.genesis().origin.is_some() && seq == origin::AT;
        if run.peers.is_empty() && !has_origin {
            self.nobody_else(&key, seq);
            return;
        }
        if !self.begin(&key) {
            return;
        }
        let from: Vec<String> = run.peers.iter().map(|p| p.endpoint.clone()).collect();
        let (own, fetcher, work, woken) =
            (self.own.clone(), self.fetcher.clone(), self.work.clone(), self.woken.clone());
        let (permits, view) = (self.permits.clone(), view.clone());
        self.transfers.spawn(async move {
            let _permit = permits.acquire_owned().await;
            let origin = view.genesis().origin.clone().filter(|_| seq == origin::AT);
            let done = match &origin {
                Some(o) => origin::obtain(&own, &fetcher, &view, o, &from).await,
                None => checkpoint::obtain(&own, &fetcher, &view, seq, &from).await,
            };
            let mut w = work.lock().unwrap_or_else(PoisonError::into_inner);
            w.running.remove(&key);
            match done {
                Ok(stored) => {
                    w.failed.remove(&key);
                    w.stock.absent.remove(&seq);
                    w.stock.checkpoints.insert(seq, stored);
                    drop(w);
                    woken.send_modify(|n| *n += 1);
                }
                Err(e) => {
                    // Whatever is wrong with the peers, contributions in the own store must not wait for them.
                    if !matches!(e, CourierError::Store(_)) {
                        w.stock.absent.insert(seq);
                    }
                    drop(w);
                    fail(&work, &woken, &key, &e);
                }
            }
        });
    }
}

/// Notes a failure and wakes the host once the key may be tried again.
fn fail(work: &Arc<Mutex<Work>>, woken: &watch::Sender<u64>, key: &str, e: &CourierError) {
    tracing::debug!(key, error = %e, "transfer failed");
    let wait = {
        let mut w = work.lock().unwrap_or_else(PoisonError::into_inner);
        let times = w.failed.get(key).map_or(0, |f| f.times);
        let wait = RETRY.0.saturating_mul(1 << times.min(10)).min(RETRY.1);
        let again = Instant::now() + wait;
        let failed = Failed { times: times + 1, again, why: e.to_string(), own_store: e.own_store() };
        w.failed.insert(key.to_owned(), failed);
        wait
    };
    woken.send_modify(|n| *n += 1);
    let woken = woken.clone();
    tokio::spawn(async move {
        tokio::time::sleep(wait).await;
        woken.send_modify(|n| *n += 1);
    });
}
