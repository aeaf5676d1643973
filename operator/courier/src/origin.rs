//! The state of another run that a run begins from (D6: a fork). Every site keeps it as the new run's own checkpoint of record
//! 0, made from the old run's where that stands here, else fetched from a member that has made it: from then on nothing
//! of the old run is needed, and it may be deleted. Must not know what becomes of it.
use coalition_protocol::history::View;
use coalition_protocol::messages::StoredCheckpoint;
use coalition_protocol::record::Origin;
use coalition_protocol::{Epoch, Seq, keys};
use coalition_store::run_checkpoint::{self, RunManifest};
use coalition_store::{Store, StoreError, manifest};

use crate::CourierError;
use crate::checkpoint;
use crate::fetch::Fetcher;

/// The record of the adopted state.
pub const AT: Seq = Seq(0);

/// Makes the state that the run begins from stand in the own store, complete and verified.
pub async fn obtain(
    own: &Store,
    fetcher: &Fetcher,
    view: &View,
    origin: &Origin,
    from: &[String],
) -> Result<StoredCheckpoint, CourierError> {
    let here = manifest::key(&keys::checkpoint(view.run(), AT), manifest::NAME);
    if !own.exists(&here).await? {
        match copy(own, view, origin).await {
            Ok(Some(stored)) => return Ok(stored),
            Ok(None) => {}
            // A copy of the old run's that went bad: another member's is as good.
            Err(e @ CourierError::Damaged { .. }) if !from.is_empty() => {
                tracing::warn!(run = %origin.run, seq = %origin.seq, error = %e, "the checkpoint here is passed by");
            }
            Err(e) => return Err(e),
        }
    }
    checkpoint::obtain(own, fetcher, view, AT, from).await
}

/// From the old run's checkpoint in the own store; none if it is not there. Every byte is compared with its digest on the
/// way, so that damage is not passed on. Equal origins make equal bytes at every site.
async fn copy(own: &Store, view: &View, origin: &Origin) -> Result<Option<StoredCheckpoint>, CourierError> {
    let old = match run_checkpoint::manifest(own, &origin.run, origin.seq).await {
        Ok(m) => m,
        Err(e) if e.is_not_found() => return Ok(None),
        Err(e @ StoreError::Damaged { .. }) => return Err(damaged(origin, e.to_string())),
        Err(e) => return Err(e.into()),
    };
    if old.state != origin.state {
        let what = format!("its state is {}, the run begins from {}", old.state.short(), origin.state.short());
        return Err(damaged(origin, what));
    }
    let (source, folder) = (keys::checkpoint(&origin.run, origin.seq), keys::checkpoint(view.run(), AT));
    for file in &old.files {
        let bytes = match manifest::get_file(own, &source, file).await {
            Ok(bytes) => bytes,
            Err(e @ StoreError::Damaged { .. }) => return Err(damaged(origin, e.to_string())),
            Err(e) => return Err(e.into()),
        };
        manifest::put_data(own, &folder, &file.name, vec![bytes], file.blake3).await?;
    }
    let new =
        RunManifest { run: view.run().clone(), epoch: Epoch(1), seq: AT, tokens: 0, spec: view.genesis().spec, ..old };
    manifest::put(own, &folder, manifest::to_json(&folder, &new)?).await?;
    checkpoint::verify(own, view, AT).await.map(Some)
}

fn damaged(origin: &Origin, what: String) -> CourierError {
    CourierError::Damaged { key: keys::checkpoint(&origin.run, origin.seq), what }
}
