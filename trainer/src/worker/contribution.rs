//! C = Enc(θ − x) with its manifest (D12), and the step of a one-member plan (D30). Must not know when they are due.
use bytes::Bytes;
use coalition_outer::{ContributionManifest, OuterState, contribution as encoding, difference};
use coalition_protocol::RunId;
use coalition_protocol::bits::BatchHash;
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::messages::{Offer, StepOffer};
use coalition_protocol::record::LeaseUse;
use coalition_store::log::SiteEntry;
use coalition_store::{BlockingStore, StoreError, contribution};

use super::checkpointing::NotSaved;
use crate::failure::Failure;

/// What a contribution stands for.
pub struct Work {
    /// Positions used, by plan in rising order.
    pub used: Vec<LeaseUse>,
    /// D26 over them.
    pub hash: BatchHash,
    /// Their tokens.
    pub tokens: u64,
}

/// Creates the contribution in the store, or finds that it is there with the same bits, and gives its offer.
pub fn create(
    store: &BlockingStore,
    run: &RunId,
    key: ContributionKey,
    outer: &OuterState,
    x: &[f32],
    work: Work,
) -> Result<Offer, NotSaved> {
    let bad = |e: &dyn std::fmt::Display| Failure::bug(format!("contribution {key}: {e}"));
    let delta = difference(outer.theta(), x).map_err(|e| bad(&e))?;
    let manifest =
        ContributionManifest::describe(key.clone(), &delta, work.tokens, work.used, work.hash).map_err(|e| bad(&e))?;
    match store.wait(contribution::put(store.store(), run, &manifest, Bytes::from(encoding::encode(&delta)))) {
        Ok(_) => {}
        // Another build may round otherwise: what was stored first is the contribution (D12: resent, never recomputed).
        Err(StoreError::AlreadyExists { .. }) => {
            let (found, _) = store.wait(contribution::manifest(store.store(), run, &key, None))?;
            tracing::warn!("contribution {key} stood there with other bits; it is offered as it stands");
            return Ok(found.offer().map_err(|e| bad(&e))?);
        }
        Err(e) => return Err(e.into()),
    }
    Ok(manifest.offer().map_err(|e| bad(&e))?)
}

/// The step of a one-member plan: the checkpoint whose x becomes θ, and the state that follows.
pub fn step(
    plan: coalition_protocol::Seq,
    entry: &SiteEntry,
    outer: &OuterState,
    x: &[f32],
    work: Work,
) -> Result<StepOffer, Failure> {
    let next = outer.after_step(x.to_vec())?;
    Ok(StepOffer {
        plan,
        checkpoint: entry.manifest,
        entry: entry.n,
        state: next.digest(),
        tokens: work.tokens,
        used: work.used,
        batch_hash: work.hash,
    })
}
