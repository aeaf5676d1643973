//! Sets of objects that exist once their manifest does. Knows the rules of writing and reading such sets, not their kinds.
//!
//! Written: data first, manifest last, all create-only. Data without a manifest is not there; what an interrupted writer
//! left of it may be replaced. Read: the manifest first, then each file against its digest in it.
use bytes::Bytes;
use coalition_protocol::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StoreError;
use crate::store::{LARGEST_OBJECT, Store};
use crate::tensors::{FileEntry, Tensor, TensorEntry, decode};

/// Name of a manifest in its folder.
pub const NAME: &str = coalition_protocol::keys::MANIFEST;
/// A larger manifest is refused: 64 MiB lists some 200 thousand tensors.
pub const LARGEST: u64 = 64 << 20;

/// Key of a file of a set.
pub fn key(folder: &str, file: &str) -> String {
    format!("{folder}/{file}")
}

/// Writes one data object of a set. What lies there from an interrupted writer (other bytes, and no manifest) is replaced.
pub async fn put_data(
    store: &Store,
    folder: &str,
    name: &str,
    parts: Vec<Bytes>,
    digest: Digest,
) -> Result<(), StoreError> {
    let at = key(folder, name);
    let bytes = parts.iter().map(|p| p.len() as u64).sum();
    match store.put_parts(&at, parts.clone()).await {
        Err(taken @ StoreError::AlreadyExists { .. }) => {
            if store.size(&at).await? == Some(bytes) && store.read(&at, bytes).await?.1 == digest {
                return Ok(());
            }
            if store.exists(&key(folder, NAME)).await? {
                return Err(taken);
            }
            tracing::warn!(key = at, "replacing what an interrupted writer left");
            store.delete(&at).await?;
            store.put_parts(&at, parts).await
        }
        other => other,
    }
}

/// Writes the manifest of a set whose data is durable. Returns its digest.
pub async fn put(store: &Store, folder: &str, bytes: Vec<u8>) -> Result<Digest, StoreError> {
    let digest = Digest::of(&bytes);
    if bytes.len() as u64 > LARGEST {
        let reason = format!("its manifest has {} bytes, the limit is {LARGEST}", bytes.len());
        return Err(StoreError::BadValue { key: folder.to_owned(), reason });
    }
    store.put_new_or_same(&key(folder, NAME), bytes).await?;
    Ok(digest)
}

/// The bytes of a value as JSON.
pub fn to_json<T: Serialize>(folder: &str, value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec_pretty(value).map_err(|e| StoreError::BadValue { key: key(folder, NAME), reason: e.to_string() })
}

/// Reads a manifest of a format version. With `expected`, it must have that digest.
pub async fn get<T: DeserializeOwned>(
    store: &Store,
    folder: &str,
    version: u32,
    expected: Option<Digest>,
) -> Result<(T, Digest), StoreError> {
    let at = key(folder, NAME);
    let (bytes, digest) = store.read(&at, LARGEST).await?;
    if let Some(e) = expected.filter(|e| *e != digest) {
        return Err(StoreError::digest(store.name(), &at, e, digest));
    }
    Ok((parse(store, &at, version, &bytes)?, digest))
}

/// Parses a versioned JSON object. Another version is called that, not a wrong field.
pub fn parse<T: DeserializeOwned>(store: &Store, key: &str, version: u32, bytes: &[u8]) -> Result<T, StoreError> {
    let bad = |got: String| StoreError::damaged(store.name(), key, format!("a JSON object of version {version}"), got);
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
    let found = value.get("version").and_then(serde_json::Value::as_u64);
    if found != Some(u64::from(version)) {
        return Err(bad(found.map_or_else(|| "no version".to_owned(), |v| format!("version {v}"))));
    }
    serde_json::from_value(value).map_err(|e| bad(e.to_string()))
}

/// Refuses a manifest whose lines name files that could lie elsewhere, or tensors in files it does not list.
pub fn check(store: &Store, folder: &str, files: &[FileEntry], tensors: &[TensorEntry]) -> Result<(), StoreError> {
    let bad = |got: String| {
        Err(StoreError::damaged(store.name(), &key(folder, NAME), "plain file names, each listed once", got))
    };
    for (n, f) in files.iter().enumerate() {
        if f.name.contains('/') || f.name == NAME || crate::key::path(&f.name).is_err() || f.bytes > LARGEST_OBJECT {
            return bad(format!("{:?} of {} bytes", f.name, f.bytes));
        }
        if files[..n].iter().any(|g| g.name == f.name) {
            return bad(format!("{:?} twice", f.name));
        }
    }
    match tensors.iter().find(|t| !files.iter().any(|f| f.name == t.file)) {
        Some(t) => bad(format!("tensor {} in a file {:?} that is not listed", t.name, t.file)),
        None => Ok(()),
    }
}

/// Reads a file that a manifest lists, against its digest.
pub async fn get_file(store: &Store, folder: &str, file: &FileEntry) -> Result<Bytes, StoreError> {
    let at = key(folder, &file.name);
    store.get_verified(&at, file.bytes, file.blake3).await.map_err(|e| match e {
        // A file that grew is damaged, whatever its digest.
        StoreError::TooLarge { bytes, .. } => {
            StoreError::damaged(store.name(), &at, format!("{} bytes", file.bytes), bytes)
        }
        e => missing_is_damage(e, store, &at),
    })
}

/// Reads all tensors of one group, each file against its digest, in the order of the manifest.
pub async fn read_group(
    store: &Store,
    folder: &str,
    files: &[FileEntry],
    tensors: &[TensorEntry],
    group: &str,
) -> Result<Vec<Tensor>, StoreError> {
    let mut out = Vec::new();
    for file in files {
        let lines: Vec<&TensorEntry> = tensors.iter().filter(|t| t.file == file.name).collect();
        if lines.first().is_none_or(|t| t.group != group) {
            continue;
        }
        let at = key(folder, &file.name);
        let bytes = get_file(store, folder, file).await?;
        out.extend(
            decode(&bytes, &lines).map_err(|e| StoreError::damaged(store.name(), &at, "its manifest's tensors", e))?,
        );
    }
    Ok(out)
}

/// A file that a manifest lists and the store does not hold.
pub fn missing_is_damage(error: StoreError, store: &Store, key: &str) -> StoreError {
    if error.is_not_found() {
        StoreError::damaged(store.name(), key, "the file its manifest lists", "no file")
    } else {
        error
    }
}
