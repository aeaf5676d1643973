//! What may go (D28): everything of a run that no root reaches. Knows nothing of why something is a root.
use std::collections::BTreeSet;
use std::time::SystemTime;

use coalition_protocol::keys::{self, ContributionKey};
use coalition_protocol::{Epoch, Incarnation, RunId, Seq};

use crate::contribution;
use crate::error::StoreError;
use crate::manifest;
use crate::store::Store;

/// What must stay.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    /// Contributions: offers and holds of open plans, and those that are replayed from a kept base on.
    pub contributions: BTreeSet<ContributionKey>,
    /// Run checkpoints.
    pub checkpoints: BTreeSet<Seq>,
    /// Incarnations that live: their logs and site checkpoints stay whole (each save removes its own old data).
    pub incarnations: BTreeSet<(Epoch, Incarnation)>,
}

/// Keys of a run that no root reaches, manifests first, so that a set half removed never looks whole. Objects written at
/// or after `before` stay: they may belong to a set that is just being written. Opening entries and history always stay.
pub async fn list(store: &Store, run: &RunId, roots: &Roots, before: SystemTime) -> Result<Vec<String>, StoreError> {
    let base = keys::run(run);
    let mut out = Vec::new();
    for object in store.list(&base).await? {
        let Some(below) = object.key.strip_prefix(&base).and_then(|k| k.strip_prefix('/')) else { continue };
        if object.modified < before && !stays(below, roots) {
            out.push(object.key);
        }
    }
    out.sort_by_key(|k| !k.ends_with(manifest::NAME));
    Ok(out)
}

/// Removes what [`list`] found. Returns how many objects went.
pub async fn collect(store: &Store, keys: &[String]) -> Result<u64, StoreError> {
    for key in keys {
        store.delete(key).await?;
    }
    Ok(keys.len() as u64)
}

/// Only what is recognised as unreachable goes; whatever has another shape stays.
fn stays(below: &str, roots: &Roots) -> bool {
    let Some((kind, rest)) = below.split_once('/') else { return true };
    match kind {
        "contributions" => {
            let folder = rest.rsplit_once('/').map_or(rest, |(f, _)| f);
            contribution::parse_key(folder).is_none_or(|k| roots.contributions.contains(&k))
        }
        "checkpoints" => {
            let seq = rest.split('/').next().and_then(|n| n.parse().ok()).map(Seq);
            seq.is_none_or(|s| roots.checkpoints.contains(&s))
        }
        "log" | "site" => {
            let fence = rest.split('/').next().and_then(|f| f.split_once('.'));
            let fence = fence.and_then(|(e, i)| Some((Epoch(e.parse().ok()?), Incarnation(i.parse().ok()?))));
            fence.is_none_or(|f| roots.incarnations.contains(&f))
        }
        _ => true,
    }
}
