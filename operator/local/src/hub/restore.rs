//! A history that is gone whole comes back from the mirror in a site's store, if the hub's key is still there to go on signing
//! (D7). Must not decide what follows from the records.
use std::collections::BTreeMap;
use std::fs;

use coalition_protocol::history::View;
use coalition_protocol::sign::SignedRecord;
use coalition_protocol::{RunId, Seq, SiteId, keys};

use crate::LocalError;
use crate::hub::history::Chain;
use crate::layout::Layout;

/// A mirror of the whole history.
pub struct Mirror {
    /// Whose store it lies in.
    pub site: SiteId,
    /// The records, from the first.
    pub records: Vec<SignedRecord>,
}

/// The best mirror of `run` in the stores of these sites, if the hub's own history has no record. An error if there is one and the
/// hub's key is gone: a new history under a new key would be a fork of the one that every store holds.
pub fn look<'a>(
    layout: &Layout,
    run: &RunId,
    sites: impl IntoIterator<Item = &'a SiteId>,
) -> Result<Option<Mirror>, LocalError> {
    // Where later records stand, one is missing in between: the chain itself says so.
    let any = fs::read_dir(layout.history()).is_ok_and(|mut entries| entries.any(|e| e.is_ok()));
    if any {
        return Ok(None);
    }
    let all = sites.into_iter().map(|s| (s.clone(), records(layout, run, s))).collect::<BTreeMap<_, _>>();
    // One that proves itself before a longer one that does not.
    let best = all.into_iter().filter(|(_, records)| !records.is_empty());
    let best = best.max_by_key(|(_, records)| (View::replay(records).is_ok(), records.len()));
    let Some((site, records)) = best else { return Ok(None) };
    if !layout.key().is_file() {
        return Err(LocalError::Damaged {
            path: layout.hub(),
            what: format!(
                "the store of {site} mirrors {} records of this run, and the hub's history and key are gone: restore the hub's \
                 folder from a copy. Without its key nobody can go on with this run; its run checkpoints stay readable \
                 (`coalition-trainer generate`). A new run needs another metadata.name or another --dir",
                records.len()
            ),
        });
    }
    Ok(Some(Mirror { site, records }))
}

/// The records that a store mirrors, up to the first that is missing or cannot be read.
fn records(layout: &Layout, run: &RunId, site: &SiteId) -> Vec<SignedRecord> {
    let store = layout.store(site);
    let read = |n| serde_json::from_slice(&fs::read(store.join(keys::record(run, Seq(n)))).ok()?).ok();
    (0..).map_while(read).collect()
}

/// Appends the records of a mirror, as they were signed, to an empty chain; gives what follows from them.
pub fn restore(chain: &mut Chain, layout: &Layout, mirror: &Mirror) -> Result<Option<View>, LocalError> {
    let damaged = |what: String| LocalError::Damaged { path: layout.history(), what };
    let view = View::replay(&mirror.records).map_err(|e| {
        damaged(format!("it is empty, and no site's mirror is whole ({}: {e}): restore it from a copy", mirror.site))
    })?;
    if view.as_ref().is_some_and(|v| v.key().0 != chain.public_key()) {
        return Err(damaged(format!(
            "it is empty, and what the store of {} mirrors was signed with another key than {}: restore the hub's folder from a \
             copy",
            mirror.site,
            layout.key().display()
        )));
    }
    for signed in &mirror.records {
        chain.adopt(signed.clone())?;
    }
    Ok(view)
}
