//! Run checkpoints (D20, D21): what stands in the own store is verified before it is reported; a base that is missing is
//! fetched from a peer, file by file, its manifest last.
use coalition_protocol::history::View;
use coalition_protocol::messages::StoredCheckpoint;
use coalition_protocol::{RunId, Seq, keys};
use coalition_store::run_checkpoint::{self, RunManifest};
use coalition_store::{Store, StoreError, manifest};

use crate::CourierError;
use crate::fetch::Fetcher;

/// Room beside θ and u: configuration, tokenizer, headers.
const EXTRAS: u64 = 256 << 20;

/// Run checkpoints that stand in the store, verified or not.
pub async fn listed(own: &Store, run: &RunId) -> Result<Vec<Seq>, StoreError> {
    run_checkpoint::list(own, run).await
}

/// Reads every file of a run checkpoint against its digest, and its state digest against the history.
pub async fn verify(own: &Store, view: &View, seq: Seq) -> Result<StoredCheckpoint, CourierError> {
    let m = run_checkpoint::manifest(own, view.run(), seq).await?;
    agrees(&m, view, seq)?;
    let folder = keys::checkpoint(view.run(), seq);
    for file in &m.files {
        own.get_verified(&manifest::key(&folder, &file.name), file.bytes, file.blake3).await?;
    }
    Ok(stored(&m))
}

/// Makes the run checkpoint of `seq` stand in the own store, from the first of `from` that has it.
pub async fn obtain(
    own: &Store,
    fetcher: &Fetcher,
    view: &View,
    seq: Seq,
    from: &[String],
) -> Result<StoredCheckpoint, CourierError> {
    let folder = keys::checkpoint(view.run(), seq);
    if own.exists(&manifest::key(&folder, manifest::NAME)).await? {
        match verify(own, view, seq).await {
            Ok(stored) => return Ok(stored),
            // Nothing is lost with a base that cannot be read, and another can take its place only when it is gone.
            Err(CourierError::Damaged { .. } | CourierError::Store(StoreError::Damaged { .. })) if !from.is_empty() => {
                crate::stock::remove(own, &folder).await?;
            }
            Err(e) => return Err(e),
        }
    }
    let mut last = None;
    for peer in from {
        match fetch(own, fetcher, view, seq, peer).await {
            Ok(stored) => return Ok(stored),
            Err(e @ CourierError::Store(_)) => return Err(e),
            Err(e) => last = Some(e),
        }
    }
    Err(last.unwrap_or_else(|| CourierError::NoHolder {
        key: keys::checkpoint(view.run(), seq),
        holders: "no other site is known".to_owned(),
    }))
}

async fn fetch(
    own: &Store,
    fetcher: &Fetcher,
    view: &View,
    seq: Seq,
    peer: &str,
) -> Result<StoredCheckpoint, CourierError> {
    let folder = keys::checkpoint(view.run(), seq);
    let key = manifest::key(&folder, manifest::NAME);
    let bytes = fetcher.get(peer, &key, manifest::LARGEST).await?;
    let m: RunManifest = manifest::parse(own, &key, run_checkpoint::VERSION, &bytes)?;
    agrees(&m, view, seq)?;
    manifest::check(own, &folder, &m.files, &m.tensors)?;
    let bound = view.genesis().elements.saturating_mul(8).saturating_add(EXTRAS);
    if m.files.iter().map(|f| f.bytes).fold(0u64, u64::saturating_add) > bound {
        return Err(CourierError::TooLarge { key: folder, from: peer.to_owned(), limit: bound });
    }
    for file in &m.files {
        let key = manifest::key(&folder, &file.name);
        let data = fetcher.get(peer, &key, file.bytes).await?;
        let got = coalition_protocol::Digest::of(&data);
        if got != file.blake3 {
            let what = format!("its digest is {}, its manifest says {}", got.short(), file.blake3.short());
            return Err(CourierError::Damaged { key, what });
        }
        manifest::put_data(own, &folder, &file.name, vec![data], file.blake3).await?;
    }
    manifest::put(own, &folder, bytes.to_vec()).await?;
    Ok(stored(&m))
}

/// Refuses a checkpoint of another run or commit, or with another state than the one agreed on.
fn agrees(m: &RunManifest, view: &View, seq: Seq) -> Result<(), CourierError> {
    let damaged = |what: String| Err(CourierError::Damaged { key: keys::checkpoint(view.run(), seq), what });
    if m.run != *view.run() || m.seq != seq {
        return damaged(format!("it is of run {} and record {}", m.run, m.seq));
    }
    if m.elements != view.genesis().elements {
        return damaged(format!("it has {} elements, the run has {}", m.elements, view.genesis().elements));
    }
    match view.state(seq) {
        Some((agreed, _)) if agreed != m.state => {
            damaged(format!("its state is {}, agreed was {}", m.state.short(), agreed.short()))
        }
        _ => Ok(()),
    }
}

fn stored(m: &RunManifest) -> StoredCheckpoint {
    StoredCheckpoint { seq: m.seq, state: m.state, bytes: m.bytes() }
}
