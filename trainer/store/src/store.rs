//! The operations on objects: create, read and verify, list, delete. Knows nothing of what the objects are.
//!
//! Folder: `object_store`'s local file system with its fsync on, so a write that returned survives a power cut: the
//! staged file is synced, linked under its name (which fails if the name is taken), and the folder synced. S3: a
//! conditional put (`If-None-Match: *`).
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use coalition_protocol::Digest;
use futures::TryStreamExt;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::prefix::PrefixStore;
use object_store::{GetResultPayload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig};

use crate::error::StoreError;
use crate::http::PlainHttp;
use crate::key;
use crate::location::{Location, S3};

/// Largest object: S3 takes at most 5 GiB in one put.
pub const LARGEST_OBJECT: u64 = 5 << 30;
/// More objects than this under one prefix are refused, so that a list stays below some hundred MiB.
const MOST_LISTED: usize = 1 << 20;
/// One request to S3 may take so long: a put of 256 MiB over 10 Mbit/s takes 3.6 minutes.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_mins(5);
/// Connecting may take so long.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Retries of one call inside the client; beyond that the caller decides.
const RETRIES: usize = 3;
/// All retries of one call together.
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);
/// Read and hashed at a time.
const STEP: usize = 1 << 20;

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
                let inner = LocalFileSystem::new_with_prefix(&path).map_err(|e| bad(e.to_string()))?.with_fsync(true);
                Ok(Self { folder: Some(path), ..Self::from_object_store(Arc::new(inner), &name) })
            }
            Location::S3(s3) => Ok(Self::from_object_store(open_s3(s3).map_err(|e| bad(e.to_string()))?, &name)),
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

    /// Where an object or folder of a folder store lies on disk, for telling a person. `None` for other stores.
    pub fn local_path(&self, key: &str) -> Option<PathBuf> {
        key::path(key).ok()?;
        self.folder.as_ref().map(|f| f.join(key))
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
                let read = tokio::task::spawn_blocking(move || read_file(file, size)).await;
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
        let swept = tokio::task::spawn_blocking(move || sweep(&root, before)).await;
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

fn read_file(file: std::fs::File, size: u64) -> std::io::Result<(Bytes, Digest)> {
    let mut bytes = Vec::with_capacity(size as usize);
    let mut hasher = blake3::Hasher::new();
    // One byte more than announced, so that a file that grew is seen.
    let mut file = file.take(size + 1);
    loop {
        let before = bytes.len();
        let n = Read::by_ref(&mut file).take(STEP as u64).read_to_end(&mut bytes)?;
        if n == 0 {
            return Ok((Bytes::from(bytes), hasher.finalize().into()));
        }
        hasher.update(&bytes[before..]);
    }
}

fn sweep(root: &std::path::Path, before: SystemTime) -> std::io::Result<u64> {
    let mut gone = 0;
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
                continue;
            }
            let name = entry.file_name();
            let number = name.to_str().and_then(|n| n.rsplit_once('#')).map(|(_, n)| n);
            let staged = number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
            if kind.is_file() && staged && entry.metadata()?.modified()? < before {
                std::fs::remove_file(entry.path())?;
                gone += 1;
            }
        }
    }
    Ok(gone)
}

fn open_s3(s3: &S3) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::from_env()
        .with_http_connector(PlainHttp)
        .with_retry(retry)
        .with_bucket_name(&s3.bucket)
        .with_region(&s3.region)
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    if let Some(endpoint) = &s3.endpoint {
        builder = builder
            .with_endpoint(endpoint)
            .with_allow_http(endpoint.starts_with("http://"))
            .with_virtual_hosted_style_request(false);
    }
    if let Some((id, secret)) = &s3.credentials {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    }
    let bucket = builder.build()?;
    if s3.prefix.is_empty() { Ok(Arc::new(bucket)) } else { Ok(Arc::new(PrefixStore::new(bucket, s3.prefix.as_str()))) }
}
