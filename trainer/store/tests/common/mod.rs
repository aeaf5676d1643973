//! What several tests use: names, small tensors, and a store that fails when told to.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part; a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use coalition_outer::{ContributionManifest, contribution as outer};
use coalition_protocol::bits::BatchHash;
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::{Digest, Epoch, Incarnation, RunId, Seq};
use coalition_store::log::LogName;
use coalition_store::site_checkpoint::SiteCheckpoint;
use coalition_store::tensors::Tensor;
use coalition_store::{Location, S3, Store};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

/// A kind of store.
pub enum Kind {
    Folder,
    Memory,
    S3,
}

/// The store, and what must live as long as it.
pub fn open(kind: &Kind) -> Option<(Store, Option<tempfile::TempDir>)> {
    match kind {
        Kind::Folder => {
            let dir = tempfile::tempdir().unwrap();
            Some((Store::open(&Location::Folder(dir.path().join("store"))).unwrap(), Some(dir)))
        }
        Kind::Memory => Some((Store::open(&Location::Memory).unwrap(), None)),
        Kind::S3 => {
            let s3 = s3_from_environment()?;
            Some((Store::open(&s3).unwrap(), None))
        }
    }
}

/// A prefix of its own at the server that the environment names; says loudly if there is none.
pub fn s3_from_environment() -> Option<Location> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let var = |name: &str| std::env::var(format!("COALITION_S3_{name}")).ok();
    let Some(endpoint) = var("ENDPOINT") else {
        eprintln!("SKIPPED: no S3 server: COALITION_S3_ENDPOINT is not set (cargo xtask test sets it)");
        return None;
    };
    Some(Location::S3(S3 {
        endpoint: Some(endpoint),
        bucket: var("BUCKET").unwrap(),
        prefix: format!("store-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::SeqCst)),
        region: var("REGION").unwrap_or_else(|| "us-east-1".to_owned()),
        credentials: Some((var("ACCESS_KEY_ID").unwrap(), var("SECRET_ACCESS_KEY").unwrap())),
        plain_http: false,
    }))
}

pub fn log_name() -> LogName {
    LogName {
        run: "run".parse().unwrap(),
        site: "delta".parse().unwrap(),
        epoch: Epoch(1),
        incarnation: Incarnation(3),
    }
}

/// A checkpoint whose every number follows from `n`.
pub fn checkpoint(n: u64) -> SiteCheckpoint {
    let x: Vec<f32> = (0..1000).map(|k| (k as f32).mul_add(0.5, n as f32)).collect();
    let m: Vec<f64> = x.iter().map(|v| f64::from(*v) / 3.0).collect();
    let groups = BTreeMap::from([
        (
            "x".to_owned(),
            vec![
                Tensor::f32("model.norm.weight", vec![10], &x[..10]),
                Tensor::f32("model.embed_tokens.weight", vec![33, 30], &x[10..]),
            ],
        ),
        ("m".to_owned(), vec![Tensor::f64("model.norm.weight", vec![1000], &m)]),
    ]);
    let cursor = serde_json::json!({"step": n, "rate": 0.1 + 0.2, "seed": u64::MAX});
    SiteCheckpoint { base: Seq(n), base_state: Digest::of(b"base"), class: Digest::of(b"class"), cursor, groups }
}

/// Passes calls on to another store until one of them, which fails; from then on all fail, as for a killed process.
#[derive(Debug)]
pub struct Dying {
    inner: Arc<dyn ObjectStore>,
    left: AtomicU64,
    /// True: the fatal write happens, and only its answer is lost.
    late: bool,
}

enum Fate {
    Live,
    /// This very call is the fatal one.
    Dies,
    Dead,
}

impl Dying {
    /// The call with number `calls` (from 0) is the fatal one.
    pub fn store(inner: &Arc<dyn ObjectStore>, calls: u64, late: bool) -> Store {
        let dying = Self { inner: inner.clone(), left: AtomicU64::new(calls + 1), late };
        Store::from_object_store(Arc::new(dying), "dying store")
    }

    fn fate(&self) -> Fate {
        let update = |n: u64| Some(n.saturating_sub(1));
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, update) {
            Ok(0) | Err(_) => Fate::Dead,
            Ok(1) => Fate::Dies,
            Ok(_) => Fate::Live,
        }
    }

    fn gone<T>() -> Result<T> {
        Err(object_store::Error::Generic { store: "S3", source: "killed here".into() })
    }

    fn check(&self) -> Result<()> {
        if matches!(self.fate(), Fate::Live) { Ok(()) } else { Self::gone() }
    }
}

impl fmt::Display for Dying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dying")
    }
}

#[async_trait]
impl ObjectStore for Dying {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match self.fate() {
            Fate::Live => self.inner.put_opts(at, payload, options).await,
            Fate::Dies if self.late => {
                let _ = self.inner.put_opts(at, payload, options).await;
                Self::gone()
            }
            Fate::Dies | Fate::Dead => Self::gone(),
        }
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.check()?;
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.check()?;
        self.inner.get_opts(at, options).await
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.check()?;
        self.inner.get_ranges(at, ranges).await
    }

    fn delete_stream(&self, keys: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.check() {
            Ok(()) => self.inner.delete_stream(keys),
            Err(e) => futures::stream::once(async { Err(e) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.check() {
            Ok(()) => self.inner.list(prefix),
            Err(e) => futures::stream::once(async { Err(e) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.check()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.check()?;
        self.inner.copy_opts(from, to, options).await
    }
}

/// A store in memory, and what lies under it.
pub fn memory() -> (Arc<dyn ObjectStore>, Store) {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let store = Store::from_object_store(inner.clone(), "memory");
    (inner, store)
}

/// The run of all tests.
pub fn run() -> RunId {
    "run".parse().unwrap()
}

/// Name of a contribution to plan `plan`.
pub fn key(plan: u64) -> ContributionKey {
    let site = "delta".parse().unwrap();
    ContributionKey { site, epoch: Epoch(1), incarnation: Incarnation(3), plan: Seq(plan), fragment: 0, entry: 4 }
}

/// A contribution to it.
pub fn contributed(plan: u64, scale: f32) -> (ContributionManifest, Bytes) {
    let delta: Vec<f32> = (0..8192).map(|n| n as f32 * scale).collect();
    let m = ContributionManifest::describe(key(plan), &delta, 100, vec![], BatchHash(7)).unwrap();
    (m, outer::encode(&delta).into())
}
