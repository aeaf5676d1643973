//! What each site is asked (level-triggered): its fence, what to do, the head, whom to fetch from, what to keep.
use coalition_protocol::messages::{Desired, Peer, SiteRun};
use coalition_protocol::{SiteId, canonical};

use crate::standing::Standing;
use crate::{agreement, checkpoints, commit};

/// What `site` is asked now; none for one that was never a member.
pub fn site_run(s: &Standing<'_>, site: &SiteId) -> Option<SiteRun> {
    let member = s.view.members().get(site)?;
    // A run that is over is not stopped from here: its workers read the last record, confirm it and leave by themselves.
    let desired = if member.retired {
        Desired::Stop
    } else if s.world.suspend && s.view.ended().is_none() {
        Desired::Suspend
    } else {
        Desired::Run
    };
    let peers = s.members().map(|(x, _)| x).filter(|x| *x != site).filter_map(|x| {
        let endpoint = s.report(x)?.endpoint.clone()?;
        Some(Peer { site: x.clone(), endpoint })
    });
    Some(SiteRun {
        run: s.view.run().clone(),
        site: site.clone(),
        epoch: s.view.head().epoch,
        incarnation: member.incarnation,
        nonce: s.world.leader.nonce.clone(),
        desired,
        head: s.view.head(),
        // As it reads after any JSON writer, so that what an API server gives back equals what was asked.
        spec: canonical::value(&s.world.spec).unwrap_or_default(),
        peers: peers.collect(),
        offers: commit::notices(s, site),
        disagreement: agreement::disagreement(s),
        keep: checkpoints::keep(s),
        save: checkpoints::save(s),
        requires: Vec::new(),
    })
}
