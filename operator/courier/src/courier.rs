//! The courier itself: level-triggered passes that start what is missing and tell what stands. A pass never waits for
//! another site; transfers run beside it and wake the host when one ends.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coalition_protocol::history::{Head, View};
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::messages::{STORE_FAILED, SiteRun, StoredCheckpoint};
use coalition_protocol::sign::SignedRecord;
use coalition_protocol::{Digest, Epoch, Incarnation, Seq, SiteId, keys};
use coalition_store::{Store, StoreError, contribution, opening};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::fetch::Fetcher;
use crate::stock;
use crate::wants::{self, Stock, Wants};
use crate::{CourierError, garbage};

mod history;
mod look;
mod transfers;

/// Transfers at a time: enough to use a link while one waits, few enough that vectors in memory stay few.
const TRANSFERS: usize = 4;

/// How a courier is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The site it works for.
    pub site: SiteId,
    /// The bearer token that couriers of this run show each other.
    pub token: String,
    /// How long each transfer of a contribution waits before it begins: a slow link, for tests. Zero otherwise.
    pub lag: Duration,
}

/// What a pass goes by.
#[derive(Clone, Debug)]
pub struct Input {
    /// What the hub asks.
    pub site_run: Arc<SiteRun>,
    /// `opened` of this site's durable report.
    pub opened: Option<Incarnation>,
    /// Signed records after [`Courier::head`], in order.
    pub records: Vec<SignedRecord>,
    /// The newest record this site's trainer has applied.
    pub applied: Option<Seq>,
}

/// What stands after a pass. The host merges it into the site's report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The incarnation whose opening entry stands in the store.
    pub opened: Option<Incarnation>,
    /// True if that entry was lost.
    pub store_lost: bool,
    /// What the report says is held.
    pub holds: Vec<(ContributionKey, Digest)>,
    /// Every contribution that stands complete and verified: what the trainer may read.
    pub held: Vec<ContributionKey>,
    /// Run checkpoints that stand complete and verified.
    pub checkpoints: Vec<StoredCheckpoint>,
    /// Records up to this one are mirrored.
    pub mirrored: Option<Seq>,
    /// True if the mirror was compared with what the present leader shows: only then do `records` answer it.
    pub compared: bool,
    /// True while the state that the run begins from does not stand here: nobody can begin without it.
    pub lacks_origin: bool,
    /// Mirrored records after the newest one the hub shows: it lost them (D7).
    pub records: Vec<SignedRecord>,
    /// What cannot be done just now: (reason, message).
    pub problems: BTreeMap<String, String>,
}

/// A transfer that did not succeed.
struct Failed {
    /// How often in a row.
    times: u32,
    /// When it may be tried again.
    again: Instant,
    /// The last reason.
    why: String,
    /// True if it was the own store that did not take it.
    own_store: bool,
}

#[derive(Default)]
struct Work {
    stock: Stock,
    running: BTreeSet<String>,
    failed: BTreeMap<String, Failed>,
}

/// One site's courier. Dropping it stops its transfers.
pub struct Courier {
    options: Options,
    own: Store,
    fetcher: Fetcher,
    /// Whom it works for: what it remembers of the store belongs to this fence.
    serves: Option<(Epoch, Incarnation)>,
    view: Option<View>,
    mirrored: Option<Seq>,
    /// Checked records that could not be written into the mirror yet, in order.
    unmirrored: VecDeque<SignedRecord>,
    /// The store was found lost under this fence.
    lost: bool,
    /// The leader's nonce under which the mirror was compared with the hub's history and had nothing more.
    compared: Option<String>,
    collected: Option<Seq>,
    work: Arc<Mutex<Work>>,
    transfers: JoinSet<()>,
    permits: Arc<Semaphore>,
    woken: watch::Sender<u64>,
}

impl Courier {
    /// A courier over the site's own store.
    pub fn new(options: Options, own: Store) -> Result<Self, CourierError> {
        Ok(Self {
            fetcher: Fetcher::new(options.token.clone())?,
            options,
            own,
            serves: None,
            view: None,
            mirrored: None,
            unmirrored: VecDeque::new(),
            lost: false,
            compared: None,
            collected: None,
            work: Arc::default(),
            transfers: JoinSet::new(),
            permits: Arc::new(Semaphore::new(TRANSFERS)),
            woken: watch::Sender::new(0),
        })
    }

    /// The newest record it has seen: a pass wants those after it.
    pub fn head(&self) -> Option<Head> {
        self.view.as_ref().map(View::head)
    }

    /// Rises whenever a transfer ends or may be tried again: time for a pass.
    pub fn woken(&self) -> watch::Receiver<u64> {
        self.woken.subscribe()
    }

    /// Starts what is missing and tells what stands.
    pub async fn pass(&mut self, input: &Input) -> Findings {
        let run = &input.site_run;
        let fence = (run.epoch, run.incarnation);
        if self.serves.replace(fence).is_some_and(|before| before != fence) {
            self.begin_anew();
            self.lost = false;
            // The records of this pass begin later than at the first.
            self.woken.send_modify(|n| *n += 1);
        }
        let mut found = Findings { mirrored: self.mirrored, ..Findings::default() };
        match self.open(run, input.opened).await {
            Ok(()) => found.opened = Some(run.incarnation),
            Err(e @ StoreError::StoreLost { .. }) => {
                self.lost(input, &e, &mut found).await;
                return found;
            }
            Err(e) => {
                found.opened = input.opened;
                found.problems.insert(STORE_FAILED.to_owned(), e.to_string());
                return found;
            }
        }
        if let Err(e) = self.follow(&input.records).await {
            let reason = if e.own_store() { STORE_FAILED } else { "HistoryNotMirrored" };
            found.problems.insert(reason.to_owned(), e.to_string());
        }
        found.mirrored = self.mirrored;
        match self.compare(&run.nonce).await {
            Ok(records) => (found.records, found.compared) = (records, self.view.is_some()),
            Err(e) => {
                found.problems.insert("MirrorNotRead".to_owned(), e.to_string());
            }
        }
        let Some(view) = self.view.clone() else { return found };
        if let Err(e) = self.look_at_checkpoints(&view).await {
            found.problems.insert("CheckpointsNotRead".to_owned(), e.to_string());
        }
        if let Err(e) = self.look_at_contributions(&view, input.applied).await {
            found.problems.insert("ContributionsNotRead".to_owned(), e.to_string());
        }
        self.bring_origin(run, &view, &mut found);
        let wants = wants::wants(run, &view, &self.locked(|w| w.stock.clone()));
        self.forget_failures(&view, &wants);
        for want in wants.contributions {
            self.start_contribution(run, &view, want);
        }
        if let Some(seq) = wants.base {
            self.start_base(run, &view, seq);
        }
        self.collect(run, &view, &mut found).await;
        while self.transfers.try_join_next().is_some() {}
        self.locked(|w| {
            found.holds = wants::reportable(&view, input.applied, &w.stock);
            found.held = w.stock.contributions.iter().map(|(k, _)| k.clone()).collect();
            found.checkpoints = w.stock.checkpoints.values().cloned().collect();
            for (reason, own_store) in [(STORE_FAILED, true), ("TransferFailed", false)] {
                let failed: Vec<&Failed> = w.failed.values().filter(|f| f.own_store == own_store).collect();
                if let Some(first) = failed.first() {
                    let more = failed.len() - 1;
                    let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
                    found.problems.entry(reason.to_owned()).or_insert_with(|| format!("{}{more}", first.why));
                }
            }
        });
        found
    }

    /// Forgets what was found in the store: it may be another one. Transfers under way end, and what they still do counts
    /// for nobody.
    fn begin_anew(&mut self) {
        self.transfers.abort_all();
        self.work = Arc::default();
        self.unmirrored.clear();
        (self.view, self.mirrored, self.compared, self.collected) = (None, None, None, None);
    }

    /// Writes the opening entry once; afterwards it must be there (D8).
    async fn open(&self, run: &SiteRun, opened: Option<Incarnation>) -> Result<(), StoreError> {
        if opened == Some(run.incarnation) {
            opening::check(&self.own, &run.run, &self.options.site, run.incarnation).await
        } else {
            opening::open(&self.own, &run.run, &self.options.site, run.incarnation).await
        }
    }

    fn locked<T>(&self, f: impl FnOnce(&mut Work) -> T) -> T {
        f(&mut self.work.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Drops failures of what is no longer wanted.
    fn forget_failures(&self, view: &View, wants: &Wants) {
        let mut keep: BTreeSet<String> =
            wants.contributions.iter().map(|w| keys::contribution(view.run(), &w.offer.key)).collect();
        keep.extend(wants.base.map(|s| keys::checkpoint(view.run(), s)));
        let checkpoints = keys::checkpoints(view.run());
        self.locked(|w| w.failed.retain(|k, _| keep.contains(k) || k.starts_with(&checkpoints)));
    }

    /// Removes what nobody needs, once for each commit.
    async fn collect(&mut self, run: &SiteRun, view: &View, found: &mut Findings) {
        let commit = view.last_commit().0;
        if self.collected == Some(commit) {
            return;
        }
        let here = match contribution::list(&self.own, view.run()).await {
            Ok(here) => here,
            Err(e) => {
                found.problems.insert(STORE_FAILED.to_owned(), e.to_string());
                return;
            }
        };
        let checkpoints = self.locked(|w| w.stock.checkpoints.keys().copied().collect());
        let going = garbage::garbage(view, &run.keep, &checkpoints, here);
        for key in going.contributions {
            self.locked(|w| w.stock.contributions.retain(|(k, _)| *k != key));
            if let Err(e) = stock::remove(&self.own, &keys::contribution(view.run(), &key)).await {
                found.problems.insert("NotRemoved".to_owned(), e.to_string());
            }
        }
        for seq in going.checkpoints {
            self.locked(|w| w.stock.checkpoints.remove(&seq));
            if let Err(e) = stock::remove(&self.own, &keys::checkpoint(view.run(), seq)).await {
                found.problems.insert("NotRemoved".to_owned(), e.to_string());
            }
        }
        self.collected = Some(commit);
    }
}
