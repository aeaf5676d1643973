//! The commit log of an incarnation (D19): create-only entries 0, 1, 2, …, which say what the incarnation has.
//! Knows nothing of what a checkpoint holds.
//!
//! A new attempt first appends a *fence*. Writers append only at the next index, and the name of an entry can be taken
//! once, so after a fence a writer of a lower attempt finds its next name taken and learns that it is over: no lock, no
//! clock, no conditional overwrite, which folder stores do not have. Entries are never removed while the incarnation lives;
//! a free name in the past would let an old writer in again.
use coalition_protocol::{Attempt, Digest, Epoch, Incarnation, RunId, SiteId, keys};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::manifest;
use crate::store::Store;

/// Version of the entries' format.
pub const VERSION: u32 = 1;
/// A larger entry is refused; an entry has some 150 bytes.
const LARGEST_ENTRY: u64 = 4096;

/// Whose log it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogName {
    /// The run.
    pub run: RunId,
    /// The site.
    pub site: SiteId,
    /// The epoch.
    pub epoch: Epoch,
    /// The incarnation.
    pub incarnation: Incarnation,
}

impl LogName {
    /// Key of the log's folder.
    pub fn folder(&self) -> String {
        keys::log(&self.run, self.epoch, self.incarnation)
    }

    pub(crate) fn entry(&self, n: u64) -> String {
        keys::log_entry(&self.run, self.epoch, self.incarnation, n)
    }
}

/// An entry as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// Format version, [`VERSION`].
    pub version: u32,
    /// The attempt that wrote it.
    pub attempt: Attempt,
    /// What it says.
    pub what: What,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum What {
    /// From here on, entries of lower attempts do not exist.
    Fence,
    /// A site checkpoint is complete.
    SiteCheckpoint {
        /// Digest of its manifest.
        manifest: Digest,
    },
}

/// A site checkpoint that the log says exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteEntry {
    /// Index of the entry.
    pub n: u64,
    /// The attempt that wrote it.
    pub attempt: Attempt,
    /// Digest of the checkpoint's manifest.
    pub manifest: Digest,
}

/// The log, for reading and for taking it over.
#[derive(Clone, Debug)]
pub struct CommitLog {
    pub(crate) store: Store,
    pub(crate) name: LogName,
}

impl CommitLog {
    /// The log of `name` in `store`. It may be empty.
    pub fn new(store: &Store, name: LogName) -> Self {
        Self { store: store.clone(), name }
    }

    /// How many entries there are. A gap is damage: an entry was lost.
    pub async fn len(&self) -> Result<u64, StoreError> {
        let folder = self.name.folder();
        let listed = self.store.list(&folder).await?;
        for (n, found) in listed.iter().enumerate() {
            let expected = self.name.entry(n as u64);
            if found.key != expected {
                let got = format!(
                    "nothing, though {} is there: put it back from a copy of the store; without one, empty this store, and \
                     the site is assigned anew",
                    found.key
                );
                return Err(StoreError::damaged(
                    self.store.name(),
                    &expected,
                    "an entry, since a later one stands",
                    got,
                ));
            }
        }
        Ok(listed.len() as u64)
    }

    /// True if there is no entry.
    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.len().await? == 0)
    }

    /// Entry `n`.
    pub async fn entry(&self, n: u64) -> Result<Entry, StoreError> {
        let key = self.name.entry(n);
        let bytes = self.store.get(&key, LARGEST_ENTRY).await?;
        manifest::parse(&self.store, &key, VERSION, &bytes)
    }

    /// The newest valid site checkpoints, newest first, at most `most`. Valid is what no earlier fence of a higher attempt
    /// shuts out.
    pub async fn recent(&self, most: usize) -> Result<Vec<SiteEntry>, StoreError> {
        let len = self.len().await?;
        self.recent_below(len, most).await
    }

    async fn recent_below(&self, len: u64, most: usize) -> Result<Vec<SiteEntry>, StoreError> {
        let mut valid = Vec::new();
        // Checkpoints seen since the last fence on the way down: the fence below them decides.
        let mut open: Vec<SiteEntry> = Vec::new();
        for n in (0..len).rev() {
            let entry = self.entry(n).await?;
            match entry.what {
                What::SiteCheckpoint { manifest } => open.push(SiteEntry { n, attempt: entry.attempt, manifest }),
                What::Fence => {
                    valid.extend(open.drain(..).filter(|e| e.attempt >= entry.attempt));
                    if valid.len() >= most {
                        break;
                    }
                }
            }
        }
        valid.truncate(most);
        Ok(valid)
    }

    /// The newest valid site checkpoint.
    pub async fn newest(&self) -> Result<Option<SiteEntry>, StoreError> {
        Ok(self.recent(1).await?.into_iter().next())
    }

    /// The highest attempt whose fence stands among the first `len` entries, or `None` if there is none.
    async fn fence_below(&self, len: u64) -> Result<Option<Attempt>, StoreError> {
        // Fences rise along the log, for a writer looks before it appends; so the last one is the highest.
        for n in (0..len).rev() {
            let entry = self.entry(n).await?;
            if entry.what == What::Fence {
                return Ok(Some(entry.attempt));
            }
        }
        Ok(None)
    }

    /// Takes the log over for `attempt`: appends its fence. [`StoreError::Fenced`] if a higher attempt has done so.
    pub async fn fence(&self, attempt: Attempt) -> Result<LogWriter, StoreError> {
        loop {
            let len = self.len().await?;
            let standing = self.fence_below(len).await?;
            match standing {
                Some(theirs) if theirs > attempt => {
                    return Err(StoreError::Fenced { log: self.name.folder(), ours: attempt, theirs });
                }
                // Ours already, from a call whose answer was lost.
                Some(same) if same == attempt => return self.writer(attempt, len).await,
                _ => {}
            }
            match self.append(len, &Entry { version: VERSION, attempt, what: What::Fence }).await {
                Ok(()) => return self.writer(attempt, len + 1).await,
                // Someone appended in between: look again. Each turn, the log has grown.
                Err(StoreError::AlreadyExists { .. }) => {}
                Err(e) => return Err(e),
            }
        }
    }

    async fn writer(&self, attempt: Attempt, next: u64) -> Result<LogWriter, StoreError> {
        let kept = self.recent_below(next, crate::site_checkpoint::KEEP).await?;
        Ok(LogWriter { log: self.clone(), attempt, next, kept })
    }

    pub(crate) async fn append(&self, n: u64, entry: &Entry) -> Result<(), StoreError> {
        let key = self.name.entry(n);
        let bytes =
            serde_json::to_vec(entry).map_err(|e| StoreError::BadValue { key: key.clone(), reason: e.to_string() })?;
        self.store.put_new_or_same(&key, bytes).await
    }
}

/// The right to append for one attempt. Saving is in [`crate::site_checkpoint`].
#[derive(Debug)]
pub struct LogWriter {
    pub(crate) log: CommitLog,
    pub(crate) attempt: Attempt,
    pub(crate) next: u64,
    /// Newest first; no more than [`crate::site_checkpoint::KEEP`].
    pub(crate) kept: Vec<SiteEntry>,
}

impl LogWriter {
    /// The log.
    pub const fn log(&self) -> &CommitLog {
        &self.log
    }

    /// The attempt.
    pub const fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// Index of the entry that the next save will write: what a contribution at its snapshot is keyed by (D12).
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// The newest valid site checkpoints, newest first: where to resume.
    pub fn kept(&self) -> &[SiteEntry] {
        &self.kept
    }

    /// What stands at the next index, if something does: an entry of this attempt whose answer was lost moves the index on
    /// and is returned; one of a higher attempt means that this one is over.
    pub(crate) async fn look(&mut self) -> Result<Option<Entry>, StoreError> {
        let entry = match self.log.entry(self.next).await {
            Ok(entry) => entry,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(e),
        };
        if entry.attempt == self.attempt {
            self.next += 1;
            return Ok(Some(entry));
        }
        if entry.attempt > self.attempt {
            let log = self.log.name.folder();
            return Err(StoreError::Fenced { log, ours: self.attempt, theirs: entry.attempt });
        }
        Err(StoreError::damaged(
            self.log.store.name(),
            &self.log.name.entry(self.next),
            format!("an entry of attempt {} or higher", self.attempt),
            format!("one of attempt {}", entry.attempt),
        ))
    }
}
