//! The newest view of history and orders, kept fresh by a thread that asks the gateway and checks every record. Must not
//! know what follows from it.
use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use coalition_protocol::history::{Head, View};
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::messages::{SiteRun, ViewReply};
use coalition_protocol::{Attempt, Seq};

use crate::gateway::{Backoff, Gateway};

/// How long the gateway may hold a question while nothing changes.
const HOLD: Duration = Duration::from_secs(10);
/// Records of one answer; a full one means that there are more.
const PAGE: usize = 1024;

/// What the outside says, as of one moment.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Rises with every change of any field here.
    pub version: u64,
    /// The fold of all records seen; none before genesis was seen.
    pub view: Option<Arc<View>>,
    /// Head after each record, by sequence number.
    pub heads: Arc<Vec<Head>>,
    /// What the hub asks.
    pub site_run: Option<Arc<SiteRun>>,
    /// Contributions in the site's store.
    pub held: Arc<BTreeSet<ContributionKey>>,
    /// The attempt in force.
    pub attempt: Attempt,
    /// The site found its store lost.
    pub store_lost: bool,
    /// SIGTERM came.
    pub terminate: bool,
    /// Why the history shown cannot be believed.
    pub broken: Option<String>,
    /// Since when the gateway does not answer.
    pub unreachable_since: Option<Instant>,
}

/// Keeps [`Seen`] fresh.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    shared: Arc<(Mutex<Seen>, Condvar)>,
}

impl Watch {
    /// Starts to ask.
    pub fn start(gateway: Gateway) -> Self {
        let watch = Self::default();
        let own = watch.clone();
        thread::spawn(move || own.follow(&gateway));
        watch
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        // A poisoned lock guards plain values, each written whole.
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, what: impl FnOnce(&mut Seen)) {
        let mut seen = self.lock();
        what(&mut seen);
        seen.version += 1;
        self.shared.1.notify_all();
    }

    /// SIGTERM came.
    pub fn terminate(&self) {
        self.change(|s| s.terminate = true);
    }

    /// What is known now.
    pub fn now(&self) -> Seen {
        self.lock().clone()
    }

    /// What is known once it differs from `version`, or after `limit`.
    pub fn changed(&self, version: u64, limit: Duration) -> Seen {
        let seen = self.lock();
        let (seen, _) = self
            .shared
            .1
            .wait_timeout_while(seen, limit, |s| s.version == version)
            .unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }

    fn follow(&self, gateway: &Gateway) {
        let mut known: Option<(u64, String)> = None;
        let mut backoff = Backoff::new();
        loop {
            let after = self.lock().view.as_ref().map(|v| v.head().seq);
            match gateway.view(after, known.as_ref().map(|(v, g)| (*v, g.as_str())), HOLD) {
                Ok(reply) => {
                    backoff = Backoff::new();
                    // More records than fit in one answer: ask on at once.
                    known = (reply.records.len() < PAGE).then(|| (reply.version, reply.gateway.clone()));
                    if let Err(why) = self.take(reply) {
                        tracing::error!("{why}");
                        self.change(|s| s.broken = Some(why));
                        return;
                    }
                }
                Err(e) => {
                    tracing::debug!("{e}");
                    if self.lock().unreachable_since.is_none() {
                        self.change(|s| s.unreachable_since = Some(Instant::now()));
                    }
                    thread::sleep(backoff.next());
                }
            }
        }
    }

    fn take(&self, reply: ViewReply) -> Result<(), String> {
        let (mut view, mut heads) = {
            let seen = self.lock();
            (seen.view.clone(), seen.heads.clone())
        };
        for record in &reply.records {
            let wrong = |e: coalition_protocol::history::Violation| {
                format!("the gateway shows a history that cannot be: {e}; is it the right run's?")
            };
            match &mut view {
                None => view = Some(Arc::new(View::start(record).map_err(wrong)?)),
                // A record shown twice is no news.
                Some(v) if record.record.seq <= v.head().seq => continue,
                Some(v) => Arc::make_mut(v).extend(record).map_err(wrong)?,
            }
            if let Some(v) = &view {
                Arc::make_mut(&mut heads).push(v.head());
            }
        }
        let full = reply.records.len() >= PAGE;
        self.change(|s| {
            s.view = view;
            s.heads = heads;
            s.unreachable_since = None;
            // Orders are only shown with the whole history that they belong to.
            if !full {
                s.attempt = reply.attempt;
                s.held = Arc::new(reply.held.into_iter().collect());
                s.store_lost = reply.store_lost;
                s.site_run = Some(Arc::new(reply.site_run));
            }
        });
        Ok(())
    }
}

impl Seen {
    /// The newest record of which everything is applied, if all commits up to `applied` are: the head before the first
    /// commit after it.
    pub fn head_at(&self, applied: Seq) -> Option<Head> {
        let view = self.view.as_ref()?;
        let end = match view.commits().find(|(seq, ..)| *seq > applied) {
            Some((seq, ..)) => seq.0.checked_sub(1)?,
            None => view.head().seq.0,
        };
        self.heads.get(usize::try_from(end).ok()?).copied()
    }
}
