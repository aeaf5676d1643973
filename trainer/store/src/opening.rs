//! The opening entry of an incarnation (D8): written once when a site takes part, looked for ever after. Knows
//! nothing of what a site does when it is missing.
//!
//! A store that was lost and came back empty, or was exchanged for an older copy, does not hold it; a site that went on
//! with such a store could make a second, different contribution under a name it had already used.
use coalition_protocol::{Incarnation, RunId, SiteId, keys};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::manifest;
use crate::store::Store;

/// Version of the entry's format.
pub const VERSION: u32 = 1;
/// A larger entry is refused; an entry has some 120 bytes.
const LARGEST: u64 = 4096;

/// What the entry says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Opening {
    /// Format version, [`VERSION`].
    pub version: u32,
    /// The run.
    pub run: RunId,
    /// The site.
    pub site: SiteId,
    /// The incarnation.
    pub incarnation: Incarnation,
}

/// Opens a store for an incarnation. Opening it again changes nothing; a store that another site opened under the same
/// incarnation is refused, for two sites must not share one.
pub async fn open(store: &Store, run: &RunId, site: &SiteId, incarnation: Incarnation) -> Result<(), StoreError> {
    let key = keys::opening(run, incarnation);
    let entry = Opening { version: VERSION, run: run.clone(), site: site.clone(), incarnation };
    let bytes =
        serde_json::to_vec(&entry).map_err(|e| StoreError::BadValue { key: key.clone(), reason: e.to_string() })?;
    match store.put_new_or_same(&key, bytes).await {
        Err(StoreError::AlreadyExists { .. }) => check(store, run, site, incarnation).await,
        other => other,
    }
}

/// Looks for the opening entry. [`StoreError::StoreLost`] if it is not there.
pub async fn check(store: &Store, run: &RunId, site: &SiteId, incarnation: Incarnation) -> Result<(), StoreError> {
    let key = keys::opening(run, incarnation);
    let bytes = match store.get(&key, LARGEST).await {
        Err(StoreError::NotFound { store, key }) => return Err(StoreError::StoreLost { store, key, incarnation }),
        other => other?,
    };
    let found: Opening = manifest::parse(store, &key, VERSION, &bytes)?;
    let expected = Opening { version: VERSION, run: run.clone(), site: site.clone(), incarnation };
    if found == expected {
        Ok(())
    } else {
        Err(StoreError::damaged(
            store.name(),
            &key,
            format!("an entry of site {site} for incarnation {incarnation} of {run}"),
            format!(
                "one of site {} for incarnation {} of {}; each site needs a store of its own",
                found.site, found.incarnation, found.run
            ),
        ))
    }
}
