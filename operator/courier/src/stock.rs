//! What one site's store holds of a run: contributions and mirrored records, obtained, verified and removed.
use bytes::Bytes;
use coalition_outer::ContributionManifest;
use coalition_protocol::messages::Offer;
use coalition_protocol::sign::SignedRecord;
use coalition_protocol::{Digest, RunId, Seq, canonical, keys};
use coalition_store::{Store, StoreError, contribution};

use crate::CourierError;
use crate::fetch::Fetcher;

/// Longest contribution manifest: 67 bytes a chunk of 2^22 elements and some for every interval used.
const MANIFEST_LIMIT: u64 = 4 << 20;
/// Longest record: the whole of a `RunHistory` object may have 256 KiB.
const RECORD_LIMIT: u64 = 256 << 10;

/// An object of the own store; none if it is not there.
pub async fn get(own: &Store, key: &str, limit: u64) -> Result<Option<Bytes>, StoreError> {
    match own.get(key, limit).await {
        Ok(b) => Ok(Some(b)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e),
    }
}

/// Makes `offer` stand in the own store, complete and verified: as found there, else from the first of `from` that has it.
/// `elements` is what genesis says.
pub async fn obtain(
    own: &Store,
    fetcher: &Fetcher,
    run: &RunId,
    offer: &Offer,
    elements: u64,
    from: &[String],
) -> Result<(), CourierError> {
    match own_copy(own, run, offer, elements).await {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        // A copy that went bad on disk is worse than none: it would be held. Another is fetched in its place.
        Err(e @ (CourierError::Contribution(_) | CourierError::Store(StoreError::Damaged { .. })))
            if !from.is_empty() =>
        {
            tracing::warn!(key = %offer.key, error = %e, "the own copy is damaged: it is replaced");
            remove(own, &keys::contribution(run, &offer.key)).await?;
        }
        Err(e) => return Err(e),
    }
    let mut last = None;
    for peer in from {
        match fetch(own, fetcher, run, offer, elements, peer).await {
            Ok(()) => return Ok(()),
            Err(e @ CourierError::Store(_)) => return Err(e),
            // What one holder lost another may have; "not there" is the answer only if all give it.
            Err(e) => last = Some(worse(last, e)),
        }
    }
    Err(last.unwrap_or_else(|| CourierError::NoHolder {
        key: keys::contribution(run, &offer.key),
        holders: offer.key.site.to_string(),
    }))
}

fn worse(last: Option<CourierError>, e: CourierError) -> CourierError {
    match last {
        Some(l) if matches!(e, CourierError::NotThere { .. }) => l,
        _ => e,
    }
}

/// True if the own store holds it and every byte is right.
async fn own_copy(own: &Store, run: &RunId, offer: &Offer, elements: u64) -> Result<bool, CourierError> {
    let manifest = match contribution::manifest(own, run, &offer.key, Some(offer.digest)).await {
        Ok((m, _)) => m,
        Err(e) if e.is_not_found() => return Ok(false),
        Err(e) => return Err(e.into()),
    };
    manifest.check(offer, elements)?;
    let data = contribution::data(own, run, &manifest).await?;
    verify(manifest, data).await?;
    Ok(true)
}

async fn fetch(
    own: &Store,
    fetcher: &Fetcher,
    run: &RunId,
    offer: &Offer,
    elements: u64,
    peer: &str,
) -> Result<(), CourierError> {
    let folder = keys::contribution(run, &offer.key);
    let manifest_key = format!("{folder}/{}", keys::MANIFEST);
    let damaged = |what: String| CourierError::Damaged { key: manifest_key.clone(), what };
    let bytes = fetcher.get(peer, &manifest_key, MANIFEST_LIMIT).await?;
    let got = Digest::of(&bytes);
    if got != offer.digest {
        return Err(damaged(format!("its digest is {}, offered was {}", got.short(), offer.digest.short())));
    }
    let manifest: ContributionManifest = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
    // Before the data: no one shall make us fetch too much.
    manifest.check(offer, elements)?;
    let data = fetcher.get(peer, &format!("{folder}/{}", keys::CONTRIBUTION_DATA), manifest.data_bytes()).await?;
    verify(manifest.clone(), data.clone()).await?;
    contribution::put(own, run, &manifest, data).await?;
    Ok(())
}

/// Chunk digests, finiteness, norm (D13); off the runtime's threads, since it reads every byte twice.
async fn verify(manifest: ContributionManifest, data: Bytes) -> Result<(), CourierError> {
    let key = manifest.key.to_string();
    let done = tokio::task::spawn_blocking(move || manifest.decode(&data).map(drop)).await;
    done.map_err(|e| CourierError::Damaged { key, what: format!("the check did not end: {e}") })??;
    Ok(())
}

/// Writes a signed record into the own store. One that stands there with other bytes is a fork of the history.
pub async fn mirror(own: &Store, signed: &SignedRecord) -> Result<(), CourierError> {
    let key = keys::record(&signed.record.run, signed.record.seq);
    let bytes =
        canonical::bytes(signed).map_err(|e| CourierError::Damaged { key: key.clone(), what: e.to_string() })?;
    let forked = || CourierError::Damaged {
        key: key.clone(),
        what: "this store mirrors another record of that number: the hub's history was rolled back or forked"
            .to_owned(),
    };
    // Read first: after a restart all but the newest are there, and a read costs less than a refused durable write.
    match get(own, &key, RECORD_LIMIT).await? {
        Some(there) if there == bytes => Ok(()),
        Some(_) => Err(forked()),
        None => match own.put_new_or_same(&key, bytes).await {
            Err(StoreError::AlreadyExists { .. }) => Err(forked()),
            other => Ok(other?),
        },
    }
}

/// The mirrored record of that number with its length in bytes; none if there is none. Whether it belongs to the history is
/// for its reader to check.
pub async fn mirrored(own: &Store, run: &RunId, seq: Seq) -> Result<Option<(SignedRecord, u64)>, CourierError> {
    let key = keys::record(run, seq);
    let Some(bytes) = get(own, &key, RECORD_LIMIT).await? else { return Ok(None) };
    let record = serde_json::from_slice(&bytes).map_err(|e| CourierError::Damaged { key, what: e.to_string() })?;
    Ok(Some((record, bytes.len() as u64)))
}

/// Refuses a mirror that lacks record `seq` and has a later one: it has lost a record, and what follows proves nothing.
pub async fn ends(own: &Store, run: &RunId, seq: Seq) -> Result<(), CourierError> {
    let key = keys::record(run, seq);
    let folder = key.rsplit_once('/').map_or(key.as_str(), |(folder, _)| folder);
    // Numbers have eight digits, so keys sort like them.
    match own.list(folder).await?.into_iter().find(|o| o.key > key) {
        Some(later) => Err(CourierError::Lost { key, store: own.name().to_owned(), later: later.key }),
        None => Ok(()),
    }
}

/// Removes everything in `folder`, its manifest first, so that nothing half-removed looks complete.
pub async fn remove(own: &Store, folder: &str) -> Result<(), StoreError> {
    own.delete(&format!("{folder}/{}", keys::MANIFEST)).await?;
    for object in own.list(folder).await? {
        own.delete(&object.key).await?;
    }
    Ok(())
}
