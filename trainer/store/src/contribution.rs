//! Contributions in a store, own and fetched (D12, D13): create-only, never two different ones under one name.
//! Knows nothing of who may make or hold one.
use bytes::Bytes;
use coalition_outer::{ContributionManifest, chunks, contribution};
use coalition_protocol::keys::{self, ContributionKey};
use coalition_protocol::{Digest, Epoch, Incarnation, RunId, Seq};

use crate::error::StoreError;
use crate::manifest;
use crate::store::Store;

/// Stores a contribution: data, then manifest. It is durable and complete when this returns. Storing the same one again
/// changes nothing; a different one under the same name is [`StoreError::AlreadyExists`]. Returns the manifest's digest.
pub async fn put(store: &Store, run: &RunId, m: &ContributionManifest, data: Bytes) -> Result<Digest, StoreError> {
    let folder = keys::contribution(run, &m.key);
    let bad = |reason: String| StoreError::BadValue { key: folder.clone(), reason };
    if data.len() as u64 != m.data_bytes() {
        return Err(bad(format!("{} bytes of data, its manifest says {}", data.len(), m.data_bytes())));
    }
    let digest = Digest::of(&data);
    manifest::put_data(store, &folder, keys::CONTRIBUTION_DATA, vec![data], digest).await?;
    manifest::put(store, &folder, m.bytes().map_err(|e| bad(e.to_string()))?).await
}

/// Reads the manifest of a contribution and its digest. With `expected`, it must have that digest.
pub async fn manifest(
    store: &Store,
    run: &RunId,
    key: &ContributionKey,
    expected: Option<Digest>,
) -> Result<(ContributionManifest, Digest), StoreError> {
    let folder = keys::contribution(run, key);
    let (m, digest): (ContributionManifest, _) = manifest::get(store, &folder, contribution::VERSION, expected).await?;
    if m.key == *key {
        Ok((m, digest))
    } else {
        let at = manifest::key(&folder, manifest::NAME);
        Err(StoreError::damaged(store.name(), &at, format!("contribution {key}"), format!("contribution {}", m.key)))
    }
}

/// Reads a contribution and proves it: manifest against `expected`, each chunk of the data against the manifest. Returns
/// the decoded elements, padding included.
pub async fn load(
    store: &Store,
    run: &RunId,
    key: &ContributionKey,
    expected: Option<Digest>,
) -> Result<(ContributionManifest, Vec<f32>), StoreError> {
    let (m, _) = manifest(store, run, key, expected).await?;
    let data = data(store, run, &m).await?;
    let at = manifest::key(&keys::contribution(run, key), keys::CONTRIBUTION_DATA);
    let delta =
        m.decode(&data).map_err(|e| StoreError::damaged(store.name(), &at, "the data its manifest describes", e))?;
    Ok((m, delta))
}

/// Reads chunk `n` of a contribution without the rest, and proves it: manifest against `expected`, the chunk against the
/// manifest (D17). Whether all of it is finite was proved when it was taken into the store (D13).
pub async fn chunk(
    store: &Store,
    run: &RunId,
    key: &ContributionKey,
    expected: Digest,
    n: usize,
) -> Result<Vec<f32>, StoreError> {
    let (m, _) = manifest(store, run, key, Some(expected)).await?;
    let at = manifest::key(&keys::contribution(run, key), keys::CONTRIBUTION_DATA);
    let damaged = |expected: String, got: String| StoreError::damaged(store.name(), &at, expected, got);
    let range = chunks::range(m.elements as usize, n);
    let Some(digest) = m.chunks.get(n).filter(|_| !range.is_empty()) else {
        return Err(damaged(format!("a chunk {n}"), format!("{} elements", m.elements)));
    };
    let (start, len) = (range.start as u64 * 4, range.len() as u64 * 4);
    let data = store.get_range(&at, start, len).await.map_err(|e| manifest::missing_is_damage(e, store, &at))?;
    let got = Digest::of(&data);
    if got != *digest {
        return Err(damaged(format!("chunk {n} with digest {digest}"), got.to_string()));
    }
    chunks::elements(&data).ok_or_else(|| damaged("whole f32".to_owned(), format!("{} bytes", data.len())))
}

/// Reads the raw data of a contribution; only its length is checked. For serving it to others, who check it themselves.
pub async fn data(store: &Store, run: &RunId, m: &ContributionManifest) -> Result<Bytes, StoreError> {
    let at = manifest::key(&keys::contribution(run, &m.key), keys::CONTRIBUTION_DATA);
    let bytes = store.get(&at, m.data_bytes()).await.map_err(|e| match e {
        StoreError::TooLarge { bytes, limit, .. } => {
            StoreError::damaged(store.name(), &at, format!("{limit} bytes"), bytes)
        }
        e => manifest::missing_is_damage(e, store, &at),
    })?;
    if bytes.len() as u64 == m.data_bytes() {
        Ok(bytes)
    } else {
        Err(StoreError::damaged(store.name(), &at, format!("{} bytes", m.data_bytes()), bytes.len()))
    }
}

/// The complete contributions in the store (those with a manifest), sorted by key.
pub async fn list(store: &Store, run: &RunId) -> Result<Vec<ContributionKey>, StoreError> {
    let root = keys::contributions(run);
    let listed = store.list(&root).await?;
    let mut out: Vec<ContributionKey> = listed
        .iter()
        .filter_map(|o| o.key.strip_prefix(&root)?.strip_prefix('/')?.strip_suffix(&format!("/{}", manifest::NAME)))
        .filter_map(parse_key)
        .collect();
    out.sort_unstable();
    Ok(out)
}

/// The key that a folder below `contributions/` is named after: `SITE/EPOCH.INC/PLAN.FRAGMENT.ENTRY`.
pub fn parse_key(folder: &str) -> Option<ContributionKey> {
    let mut parts = folder.split('/');
    let (site, fence, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let (epoch, incarnation) = fence.split_once('.')?;
    let mut numbers = rest.split('.');
    let key = ContributionKey {
        site: site.parse().ok()?,
        epoch: Epoch(epoch.parse().ok()?),
        incarnation: Incarnation(incarnation.parse().ok()?),
        plan: Seq(numbers.next()?.parse().ok()?),
        fragment: numbers.next()?.parse().ok()?,
        entry: numbers.next()?.parse().ok()?,
    };
    // Written back it must be the same: "007" and "7" are not one name.
    (key.to_string() == folder).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_and_nothing_else_does() {
        let key = ContributionKey {
            site: "delta".parse().unwrap(),
            epoch: Epoch(1),
            incarnation: Incarnation(20),
            plan: Seq(7),
            fragment: 0,
            entry: 123_456_789,
        };
        assert_eq!(parse_key(&key.to_string()), Some(key));
        for odd in [
            "",
            "delta",
            "delta/1.2",
            "delta/1.2/1.0.1",
            "delta/1.2/00000001.0.00000001/x",
            "delta/01.2/00000001.0.00000001",
        ] {
            assert_eq!(parse_key(odd), None, "{odd}");
        }
    }
}
