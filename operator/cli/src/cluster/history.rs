//! `history`: the records of a cluster's run. Must not know what a record says: that is `records`.
use coalition_crds::{RunHistory, TrainingRun};
use coalition_local::exit_code;
use kube::ResourceExt;
use kube::api::ListParams;

use super::{Cluster, ClusterError, block, connect, error, print, records};
use crate::args::{History, Output};
use crate::out::{note, say};
use crate::style;

/// Shows the records of a run.
pub fn history(h: &History) -> Result<u8, ClusterError> {
    block(async {
        let hub = connect::hub(&h.reach).await?;
        let object = of(&hub, h.run.as_deref()).await?;
        let all = records::read(&object.spec);
        let from = all.len().saturating_sub(h.tail.unwrap_or(usize::MAX));
        let shown = all.get(from..).unwrap_or_default();
        if let Some(text) = print::whole(&shown, h.output)? {
            say!("{text}");
        } else {
            say!("{}", records::rows(shown, h.output == Output::Wide));
            note!("{}", style::faint(&rest(&object, &all)));
        }
        let damaged = all.iter().filter(|r| r.damage.is_some()).count();
        if damaged > 0 {
            note!(
                "{}",
                style::error(&format!(
                    "{damaged} records are not what a hub wrote: restore RunHistory {} from a copy of the cluster's state",
                    object.name_any()
                ))
            );
            return Ok(exit_code::RUN_FAILED);
        }
        Ok(exit_code::OK)
    })
}

/// Which part of the chain the object holds, and what was compared.
fn rest(object: &RunHistory, all: &[records::Read]) -> String {
    let first = all.first().map_or(0, |r| r.seq);
    let id = &object.spec.run_id;
    if first == 0 {
        format!("run {id}: the whole chain, every record compared with its digest and the hub's signature")
    } else {
        format!(
            "run {id}: records before {first} lie in the sites' stores, and with them the hub's key: these were compared with their \
             digests alone"
        )
    }
}

/// The history of a run: that which the run owns, or the one of this identity.
pub async fn of(hub: &Cluster, run: Option<&str>) -> Result<RunHistory, ClusterError> {
    let all: Vec<RunHistory> = hub.list(Some(&hub.namespace), &ListParams::default()).await?;
    if let Some(by_id) = run.and_then(|name| all.iter().find(|h| h.spec.run_id == name)) {
        return Ok(by_id.clone());
    }
    let owner: TrainingRun = hub.run(run).await?;
    let uid = owner.uid().unwrap_or_default();
    let found = all.into_iter().find(|h| h.owner_references().iter().any(|o| o.uid == uid));
    found.ok_or_else(|| ClusterError::NotFound {
        kind: "RunHistory",
        name: format!("of TrainingRun {}", owner.name_any()),
        place: error::place(&hub.called, Some(&hub.namespace)),
        near: ": it gets one once sites were assigned to it".to_owned(),
    })
}
