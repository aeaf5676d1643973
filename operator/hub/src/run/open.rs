//! What there is of a run when a hub first looks at it: its history, what an earlier hub remembered, what sites say of it. Must
//! not decide what follows from it.
use coalition_crds::TrainingRun;
use coalition_planner::{Millis, Setup, World};
use coalition_protocol::history::View;
use coalition_protocol::sign::SignedRecord;
use coalition_protocol::{Digest, RunId, Seq, SiteId};
use coalition_spec::RunSpec;
use kube::Resource as _;

use super::{Keeper, PassError, Run};
use crate::chain::Chain;
use crate::memory::{self, Memory};
use crate::observe::Seen;

impl Keeper {
    /// Reads what an earlier hub remembered, once. Without it the age of the run begins anew, and failures that sites reported
    /// before count as looked at: none is charged a second time.
    pub(super) async fn remember(&mut self, id: &RunId) -> Result<(), PassError> {
        if self.memory.is_some() {
            return Ok(());
        }
        let found = memory::read(&self.leader.client, &self.leader.namespace, id)
            .await
            .map_err(PassError::api(format!("ConfigMap/{id}")))?;
        let memory = found.unwrap_or_else(|| {
            let mut memory = Memory::default();
            for (site, report) in self.reports(id) {
                let newest = report.gang.failures.iter().map(|f| f.number).max().unwrap_or(0);
                memory.restarts.seen.insert(site, newest);
            }
            memory
        });
        self.opened = Some((memory.age, self.leader.sources.heard.now()));
        self.written = memory.clone();
        self.memory = Some(memory);
        Ok(())
    }

    /// The instant at which the run began, on this hub's clock.
    pub(super) fn began(&self) -> Millis {
        let (age, at) = self.opened.unwrap_or_else(|| (0, self.leader.sources.heard.now()));
        Millis(at.0.saturating_sub(age))
    }

    /// What sites say of the run, whoever asked them.
    fn reports(&self, id: &RunId) -> Vec<(SiteId, coalition_protocol::messages::SiteReport)> {
        let sources = &self.leader.sources;
        let names = sources.sites.all().into_iter().filter_map(|s| s.metadata.name.as_deref()?.parse::<SiteId>().ok());
        let of = |site: SiteId| Some((site.clone(), sources.report(&site, id)?.spec.run.clone()?));
        names.filter_map(of).filter(|(_, r)| r.run == *id).collect()
    }

    /// Opens the history. A history that is gone whole comes back from the page of a site, if it begins with the first record
    /// and this hub's key signed it.
    pub(super) async fn open(&self, object: &TrainingRun, id: &RunId, spec: &RunSpec) -> Result<Run, PassError> {
        let leader = &self.leader;
        let owner = object.controller_owner_ref(&());
        let (mut chain, mut view) = Chain::open(leader.client.clone(), &self.namespace, id.as_str(), owner).await?;
        let reports = self.reports(id);
        if view.is_none()
            && let Some((site, records, restored)) = mirror(&reports, &leader.key.public().0)
        {
            tracing::warn!(%site, records = records.len(), "the history was gone; it comes back from a site's mirror");
            for signed in records {
                chain.adopt(signed.clone()).await?;
            }
            view = Some(restored);
        }
        let setup = Setup {
            run: id.clone(),
            hub_key: leader.key.public().0,
            data: Digest::ZERO,
            samples_per_pass: 0,
            elements: 0,
        };
        let now = leader.sources.heard.now();
        let mut world = World::new(setup, spec.clone(), view, leader.nonce.clone(), now);
        world.began = self.began();
        let told = object.status.as_ref().and_then(|s| s.history.as_ref()).and_then(|h| u64::try_from(h.seq).ok());
        let mirrored = reports.iter().filter_map(|(_, r)| r.mirrored.max(r.head.map(|h| h.seq)));
        world.leader.noted = mirrored.chain(told.map(Seq)).max();
        if let Some(memory) = &self.memory {
            world.memory.restarts = memory.restarts_since(world.began);
        }
        Ok(Run { world, chain, seen: Seen::default(), granted: std::collections::BTreeSet::new() })
    }
}

/// The longest whole history that a site shows.
fn mirror<'a>(
    reports: &'a [(SiteId, coalition_protocol::messages::SiteReport)],
    key: &str,
) -> Option<(&'a SiteId, &'a [SignedRecord], View)> {
    let whole = reports.iter().filter_map(|(site, r)| {
        let view = View::replay(&r.records).ok()??;
        (view.key().0 == key).then_some((site, r.records.as_slice(), view))
    });
    whole.max_by_key(|(_, records, _)| records.len())
}
