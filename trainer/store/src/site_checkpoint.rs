//! Site checkpoints (D19): the inner state of one site, exact to the bit, as entries of its commit log. Knows
//! nothing of what the cursor or the tensors mean.
//!
//! The data of entry n lies below the folder of n under the beginning of its manifest's digest, so two different saves for
//! the same entry (the first one's answer was lost) never mix. It exists once the log has the entry.
use std::collections::{BTreeMap, BTreeSet};

use coalition_protocol::{Attempt, Digest, Epoch, Incarnation, RunId, Seq, SiteId, keys};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::log::{CommitLog, Entry, LogName, LogWriter, SiteEntry, VERSION as LOG_VERSION, What};
use crate::manifest;
use crate::tensors::{self, Encoded, FileEntry, Tensor, TensorEntry};

/// Version of the manifest's format.
pub const VERSION: u32 = 1;
/// Site checkpoints whose data is kept: the newest, and one more should the newest be damaged.
pub const KEEP: usize = 2;

/// What to save.
#[derive(Clone, Debug)]
pub struct SiteCheckpoint {
    /// The commit whose state the round began with.
    pub base: Seq,
    /// Digest of that state.
    pub base_state: Digest,
    /// The class under which these bits were computed (D1).
    pub class: Digest,
    /// All that is not a tensor: round, inner step, counts, ranges. Read back as it was.
    pub cursor: serde_json::Value,
    /// Tensors by group: `x`, `m`, `v`, `r`.
    pub groups: BTreeMap<String, Vec<Tensor>>,
}

/// What stands in a site checkpoint's manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteManifest {
    /// Format version, [`VERSION`].
    pub version: u32,
    /// The run.
    pub run: RunId,
    /// The site.
    pub site: SiteId,
    /// Fence.
    pub epoch: Epoch,
    /// Fence.
    pub incarnation: Incarnation,
    /// Fence.
    pub attempt: Attempt,
    /// The log entry it is for.
    pub entry: u64,
    /// The commit whose state the round began with.
    pub base: Seq,
    /// Digest of that state.
    pub base_state: Digest,
    /// The class under which these bits were computed.
    pub class: Digest,
    /// Digest of the manifest of the site checkpoint before it, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Digest>,
    /// All that is not a tensor.
    pub cursor: serde_json::Value,
    /// Its files.
    pub files: Vec<FileEntry>,
    /// Its tensors.
    pub tensors: Vec<TensorEntry>,
}

/// A site checkpoint that was saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Its entry.
    pub entry: SiteEntry,
    /// Bytes of its data.
    pub bytes: u64,
}

/// A site checkpoint that was read back.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Its manifest.
    pub manifest: SiteManifest,
    /// Its tensors by group, sorted by name.
    pub groups: BTreeMap<String, Vec<Tensor>>,
}

fn folder(name: &LogName, entry: u64, manifest: Digest) -> String {
    format!("{}/{}", keys::site_checkpoint(&name.run, name.epoch, name.incarnation, entry), manifest.short())
}

impl LogWriter {
    /// Saves a site checkpoint: data, manifest, log entry, in this order; it exists once the entry does. Then removes the
    /// data of those that are neither among the newest [`KEEP`] nor in `pins` (entries to which an open contribution may
    /// send the site back, D12).
    pub async fn save(&mut self, checkpoint: &SiteCheckpoint, pins: &[u64]) -> Result<Saved, StoreError> {
        loop {
            // A taken name means an answer that was lost, or that this attempt is over: known before anything is written.
            if let Some(Entry { attempt, what: What::SiteCheckpoint { manifest }, .. }) = self.look().await? {
                self.remember(SiteEntry { n: self.next - 1, attempt, manifest });
                continue;
            }
            let (manifest, encoded) = self.describe(checkpoint)?;
            let at =
                keys::site_checkpoint(&self.log.name.run, self.log.name.epoch, self.log.name.incarnation, self.next);
            let json = manifest::to_json(&at, &manifest)?;
            let digest = Digest::of(&json);
            let at = folder(&self.log.name, self.next, digest);
            for e in encoded {
                manifest::put_data(&self.log.store, &at, &e.file.name, e.parts, e.file.blake3).await?;
            }
            manifest::put(&self.log.store, &at, json).await?;
            let what = What::SiteCheckpoint { manifest: digest };
            match self.log.append(self.next, &Entry { version: LOG_VERSION, attempt: self.attempt, what }).await {
                Ok(()) => {}
                Err(StoreError::AlreadyExists { .. }) => continue,
                Err(e) => return Err(e),
            }
            let entry = SiteEntry { n: self.next, attempt: self.attempt, manifest: digest };
            self.next += 1;
            self.remember(entry);
            if let Err(e) = self.clean(pins).await {
                tracing::warn!(error = %e, "old site checkpoints could not be removed; the next save tries again");
            }
            return Ok(Saved { entry, bytes: manifest.files.iter().map(|f| f.bytes).sum() });
        }
    }

    fn remember(&mut self, entry: SiteEntry) {
        self.kept.insert(0, entry);
        self.kept.truncate(KEEP);
    }

    fn describe(&self, checkpoint: &SiteCheckpoint) -> Result<(SiteManifest, Vec<Encoded>), StoreError> {
        let mut encoded = Vec::new();
        for (group, list) in &checkpoint.groups {
            for (n, part) in tensors::split(list.clone()).into_iter().enumerate() {
                let name = format!("{group}-{n:05}.safetensors");
                let e = tensors::encode(group, &name, part)
                    .map_err(|reason| StoreError::BadValue { key: format!("group {group}"), reason })?;
                encoded.push(e);
            }
        }
        let name = &self.log.name;
        let manifest = SiteManifest {
            version: VERSION,
            run: name.run.clone(),
            site: name.site.clone(),
            epoch: name.epoch,
            incarnation: name.incarnation,
            attempt: self.attempt,
            entry: self.next,
            base: checkpoint.base,
            base_state: checkpoint.base_state,
            class: checkpoint.class,
            parent: self.kept.first().map(|e| e.manifest),
            cursor: checkpoint.cursor.clone(),
            files: encoded.iter().map(|e| e.file.clone()).collect(),
            tensors: encoded.iter().flat_map(|e| e.tensors.clone()).collect(),
        };
        Ok((manifest, encoded))
    }

    /// Removes the data of old entries, and what interrupted saves left; never of an entry yet to come.
    async fn clean(&self, pins: &[u64]) -> Result<(), StoreError> {
        let name = &self.log.name;
        let root = keys::site_checkpoints(&name.run, name.epoch, name.incarnation);
        let keep: BTreeSet<u64> = self.kept.iter().map(|e| e.n).chain(pins.iter().copied()).collect();
        let mut old: Vec<String> = self
            .log
            .store
            .list(&root)
            .await?
            .into_iter()
            .filter(|o| {
                let n = o.key.strip_prefix(&root).and_then(|k| k.trim_start_matches('/').split('/').next());
                n.and_then(|n| n.parse().ok()).is_some_and(|n: u64| n < self.next && !keep.contains(&n))
            })
            .map(|o| o.key)
            .collect();
        // Manifests first: a set half removed must not look whole.
        old.sort_by_key(|k| !k.ends_with(manifest::NAME));
        for key in old {
            self.log.store.delete(&key).await?;
        }
        Ok(())
    }
}

impl CommitLog {
    /// Reads the manifest of a site checkpoint and checks that it is the one the entry means.
    pub async fn manifest(&self, entry: &SiteEntry) -> Result<SiteManifest, StoreError> {
        let at = folder(&self.name, entry.n, entry.manifest);
        let key = manifest::key(&at, manifest::NAME);
        let (m, _): (SiteManifest, _) = manifest::get(&self.store, &at, VERSION, Some(entry.manifest))
            .await
            .map_err(|e| manifest::missing_is_damage(e, &self.store, &key))?;
        let ours = (&self.name.run, &self.name.site, self.name.epoch, self.name.incarnation, entry.attempt, entry.n);
        let theirs = (&m.run, &m.site, m.epoch, m.incarnation, m.attempt, m.entry);
        if ours != theirs {
            return Err(StoreError::damaged(self.store.name(), &key, format!("{ours:?}"), format!("{theirs:?}")));
        }
        manifest::check(&self.store, &at, &m.files, &m.tensors)?;
        Ok(m)
    }

    /// Reads a site checkpoint whole; every file is compared with its digest before anything of it is used.
    pub async fn load(&self, entry: &SiteEntry) -> Result<Loaded, StoreError> {
        let manifest = self.manifest(entry).await?;
        let at = folder(&self.name, entry.n, entry.manifest);
        let names: BTreeSet<String> = manifest.tensors.iter().map(|t| t.group.clone()).collect();
        let mut groups = BTreeMap::new();
        for group in names {
            let mut list = manifest::read_group(&self.store, &at, &manifest.files, &manifest.tensors, &group).await?;
            list.sort_by(|a, b| a.name.cmp(&b.name));
            groups.insert(group, list);
        }
        Ok(Loaded { manifest, groups })
    }
}
