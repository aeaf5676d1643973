//! The operations on objects: create, read and verify, list, delete. Knows nothing of what the objects are.
//!
//! Folder: `object_store`'s local file system with its fsync on, so a write that returned survives a power cut: the
//! staged file is synced, linked under its name (which fails if the name is taken), and the folder synced. S3: a
//! conditional put (`If-None-Match: *`).
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use coalition_protocol::Digest;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{GetResultPayload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::error::StoreError;
use crate::location::Location;
use crate::{folder, key, s3};

/// Largest object: S3 takes at most 5 GiB in one put.
pub const LARGEST_OBJECT: u64 = 5 << 30;
/// More objects than this under one prefix are refused, so that a list stays below some hundred MiB.
const MOST_LISTED: usize = 1 << 20;
/// What a list says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was written, by the store's clock.
    pub modified: SystemTime,
}

/// A store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    name: Arc<str>,
    folder: Option<PathBuf>,
}

impl std::fmt::Display for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Store {
    /// Opens the store at `location`. A missing folder is made: what tells a lost store from a new one is its opening
    /// entry, never its being there.
    pub fn open(location: &Location) -> Result<Self, StoreError> {
        let bad = |reason: String| StoreError::BadLocation { location: location.to_string(), reason };
        let name = location.to_string();
        match location {
            Location::Memory => Ok(Self::from_object_store(Arc::new(InMemory::new()), &name)),
            Location::Folder(path) => {
                std::fs::create_dir_all(path).map_err(|e| {
                    bad(format!("the folder cannot be made: {e}; check the path and who may write there"))
                })?;
                let path = path.canonicalize().map_err(|e| bad(e.to_string()))?;
                let inner = LocalFileSystem::new_with_prefix(&path).map_err(|e| bad(e.to_string()))?;
                // What retention has emptied is gone: a folder without a checkpoint would look like one.
                let inner = inner.with_fsync(true).with_automatic_cleanup(true);
                Ok(Self { folder: Some(path), ..Self::from_object_store(Arc::new(inner), &name) })
            }
            Location::S3(bucket) => {
                Ok(Self::from_object_store(s3::open(bucket).map_err(|e| bad(e.to_string()))?, &name))
            }
        }
    }

    /// Wraps any object store under a name for messages.
    pub fn from_object_store(inner: Arc<dyn ObjectStore>, name: &str) -> Self {
        Self { inner, name: Arc::from(name), folder: None }
    }

    /// The store's name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn sort(&self, key: &str, error: object_store::Error) -> StoreError {
        StoreError::sort(&self.name, key, error)
    }

    /// Creates an object from parts that are written one after another. [`StoreError::AlreadyExists`] if the name is taken;
    /// of several writers, exactly one succeeds. Durable when it returns.
    pub async fn put_parts(&self, key: &str, parts: Vec<Bytes>) -> Result<(), StoreError> {
        let path = key::path(key)?;
        let bytes: u64 = parts.iter().map(|p| p.len() as u64).sum();
        if bytes > LARGEST_OBJECT {
            let (store, key) = (self.name.to_string(), key.to_owned());
            return Err(StoreError::TooLarge { store, key, bytes, limit: LARGEST_OBJECT });
        }
        let payload: PutPayload = parts.into_iter().collect();
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        self.inner.put_opts(&path, payload, options).await.map_err(|e| self.sort(key, e)).map(|_| ())
    }

    /// Creates an object.
    pub async fn put_new(&self, key: &str, bytes: impl Into<Bytes>) -> Result<(), StoreError> {
        self.put_parts(key, vec![bytes.into()]).await
    }

    /// Creates an object, or finds that it already holds exactly these bytes. This is what makes a write safe to repeat
    /// after its answer was lost. [`StoreError::AlreadyExists`] if it holds others.
    pub async fn put_new_or_same(&self, key: &str, bytes: impl Into<Bytes>) -> Result<(), StoreError> {
        let bytes = bytes.into();
        match self.put_new(key, bytes.clone()).await {
            Err(taken @ StoreError::AlreadyExists { .. }) => {
                if self.size(key).await? == Some(bytes.len() as u64)
                    && self.get(key, bytes.len() as u64).await? == bytes
                {
                    Ok(())
                } else {
                    Err(taken)
                }
            }
            other => other,
        }
    }

    /// An object's size, or `None` if it is not there.
    pub async fn size(&self, key: &str) -> Result<Option<u64>, StoreError> {
        match self.inner.head(&key::path(key)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => match self.sort(key, e) {
                StoreError::NotFound { .. } => Ok(None),
                e => Err(e),
            },
        }
    }

    /// True if the object is there.
    pub async fn exists(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.size(key).await?.is_some())
    }

    /// Reads an object of at most `limit` bytes. For what carries its own proof, or has none.
    pub async fn get(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        Ok(self.read(key, limit).await?.0)
    }

    /// Reads an object of at most `limit` bytes and compares it with its digest while reading.
    pub async fn get_verified(&self, key: &str, limit: u64, expected: Digest) -> Result<Bytes, StoreError> {
        let (bytes, got) = self.read(key, limit).await?;
        if got == expected { Ok(bytes) } else { Err(StoreError::digest(&self.name, key, expected, got)) }
    }

    /// Reads an object and its digest.
    pub async fn read(&self, key: &str, limit: u64) -> Result<(Bytes, Digest), StoreError> {
        let path = key::path(key)?;
        let found = self.inner.get(&path).await.map_err(|e| self.sort(key, e))?;
        let size = found.meta.size;
        if size > limit {
            return Err(StoreError::TooLarge { store: self.name.to_string(), key: key.to_owned(), bytes: size, limit });
        }
        let (bytes, digest) = match found.payload {
            GetResultPayload::File(file, path) => {
                let read = tokio::task::spawn_blocking(move || folder::read(file, size)).await;
                read.map_err(std::io::Error::other).and_then(|r| r).map_err(|e| {
                    self.sort(
                        key,
                        object_store::Error::Generic {
                            store: "LocalFileSystem",
                            source: Box::new(std::io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
                        },
                    )
                })?
            }
            GetResultPayload::Stream(mut stream) => {
                let mut bytes = BytesMut::with_capacity(size as usize);
                let mut hasher = blake3::Hasher::new();
                while let Some(part) = stream.try_next().await.map_err(|e| self.sort(key, e))? {
                    // A server that sends more than it announced must not fill the memory.
                    if bytes.len() as u64 + part.len() as u64 > size {
                        return Err(StoreError::damaged(&self.name, key, format!("{size} bytes"), "more"));
                    }
                    hasher.update(&part);
                    bytes.extend_from_slice(&part);
                }
                (bytes.freeze(), hasher.finalize().into())
            }
        };
        if bytes.len() as u64 == size {
            Ok((bytes, digest))
        } else {
            Err(StoreError::damaged(&self.name, key, format!("{size} bytes"), bytes.len()))
        }
    }

    /// Reads an object of at most `limit` bytes part by part, for one that memory shall not hold whole. Gives its size and
    /// its digest; what `sink` was given is proved only by that. An error of `sink` ends it.
    pub async fn read_parts<E: From<StoreError>>(
        &self,
        key: &str,
        limit: u64,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(u64, Digest), E> {
        let found = self.inner.get(&key::path(key)?).await.map_err(|e| self.sort(key, e))?;
        let expected = found.meta.size;
        if expected > limit {
            let (store, key) = (self.name.to_string(), key.to_owned());
            return Err(StoreError::TooLarge { store, key, bytes: expected, limit }.into());
        }
        let (mut stream, mut hasher, mut size) = (found.into_stream(), blake3::Hasher::new(), 0);
        while let Some(part) = stream.try_next().await.map_err(|e| self.sort(key, e))? {
            size += part.len() as u64;
            if size > expected {
                break;
            }
            hasher.update(&part);
            sink(&part)?;
        }
        if size == expected {
            return Ok((size, hasher.finalize().into()));
        }
        Err(StoreError::damaged(&self.name, key, format!("{expected} bytes"), format!("{size} or more")).into())
    }

    /// Reads bytes `[start, start + len)` of an object. An object that ends before is damaged.
    pub async fn get_range(&self, key: &str, start: u64, len: u64) -> Result<Bytes, StoreError> {
        let Some(end) = start.checked_add(len).filter(|_| len <= LARGEST_OBJECT) else {
            let (store, key) = (self.name.to_string(), key.to_owned());
            return Err(StoreError::TooLarge { store, key, bytes: len, limit: LARGEST_OBJECT });
        };
        if len == 0 {
            return Ok(Bytes::new());
        }
        // A folder and S3 disagree on ranges beyond the end, so the size is asked for first.
        let size = self
            .size(key)
            .await?
            .ok_or_else(|| StoreError::NotFound { store: self.name.to_string(), key: key.to_owned() })?;
        if size < end {
            return Err(StoreError::damaged(&self.name, key, format!("at least {end} bytes"), size));
        }
        self.inner.get_range(&key::path(key)?, start..end).await.map_err(|e| self.sort(key, e))
    }

    /// Every object below the folder `prefix` (whole segments), sorted by key. Empty if there is none.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let path = key::path(prefix)?;
        let mut out = Vec::new();
        let mut stream = self.inner.list(Some(&path));
        while let Some(meta) = stream.try_next().await.map_err(|e| self.sort(prefix, e))? {
            let found = meta.location.to_string();
            // Names that this crate could not have written (something else keeps files here) are not objects.
            if key::path(&found).is_err() {
                continue;
            }
            if out.len() >= MOST_LISTED {
                let reason = format!("more than {MOST_LISTED} objects below it; collect garbage");
                return Err(StoreError::Other { store: self.name.to_string(), key: prefix.to_owned(), reason });
            }
            let modified: SystemTime = meta.last_modified.into();
            out.push(ObjectInfo { key: found, bytes: meta.size, modified });
        }
        out.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(out)
    }

    /// Removes what killed writers left in a folder store: files staged under `NAME#NUMBER` and not modified since `before`,
    /// which no list shows. Returns how many went; 0 for other stores, which keep none.
    pub async fn sweep_staged(&self, before: SystemTime) -> Result<u64, StoreError> {
        let Some(root) = self.folder.clone() else { return Ok(0) };
        let failed = |e: std::io::Error| StoreError::Other {
            store: self.name.to_string(),
            key: "staged files".to_owned(),
            reason: e.to_string(),
        };
        let swept = tokio::task::spawn_blocking(move || folder::sweep(&root, before)).await;
        swept.map_err(std::io::Error::other).and_then(|r| r).map_err(failed)
    }

    /// Removes an object. It is no error if it is not there.
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        match self.inner.delete(&key::path(key)?).await.map_err(|e| self.sort(key, e)) {
            Err(StoreError::NotFound { .. }) => Ok(()),
            other => other,
        }
    }
}
