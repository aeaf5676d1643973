//! How rank 0 begins: wait for the run's view, check that data and model are the run's, restore. Must not know how it goes
//! on.
use std::time::Instant;

use coalition_protocol::history::View;
use coalition_protocol::messages::{Desired, Moments, Resume, SiteRun};
use coalition_protocol::{Digest, exit};
use coalition_spec::RunSpec;
use coalition_store::log::LogName;
use coalition_store::{BlockingStore, StoreError, opening};
use serde::Serialize;

use super::{LOOK, Leader};
use crate::alive::turned;
use crate::config::WorkerConfig;
use crate::events::emit;
use crate::failure::{Failure, Stop};
use crate::gateway::Gateway;
use crate::once::Once;
use crate::worker::checkpointing;
use crate::worker::decisions::{Decision, announce};
use crate::worker::next::Fence;
use crate::worker::progress::Meter;
use crate::worker::rank::{Done, Rank};
use crate::worker::report::Reporter;
use crate::worker::resume::{Place, layout, resume};
use crate::worker::watch::{Seen, Watch};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Restored {
    how: Resume,
    moments: Moments,
    applied: u64,
    inner_step: u64,
    step: u64,
}

/// Everything a session of rank 0 stands on.
pub struct Ground<'a> {
    /// The worker's configuration.
    pub config: &'a WorkerConfig,
    /// The gateway.
    pub gateway: &'a Gateway,
    /// The store.
    pub store: &'a BlockingStore,
    /// The outside.
    pub watch: &'a Watch,
    /// The run.
    pub spec: &'a RunSpec,
    /// The class of this process.
    pub class: Digest,
}

/// Leads a formed gang until it parts; gives the exit code.
pub fn lead(ground: &Ground<'_>, rank: &mut Rank<'_>, attempt: coalition_protocol::Attempt) -> Result<u8, Stop> {
    let (seen, view, site_run) = first_view(ground, rank)?;
    let fence = Fence { epoch: site_run.epoch, incarnation: site_run.incarnation, attempt };
    if seen.attempt > attempt {
        announce(rank.comm.as_mut(), &Decision::Leave { code: None })?;
        return Err(Stop::Rejoin(format!("attempt {} is in force", seen.attempt)));
    }
    check(ground, rank, &view)?;
    let layout = layout(ground.spec, view.genesis().elements)?;
    coalition_outer::arithmetic::check()?;
    let name = LogName {
        run: ground.config.run.clone(),
        site: ground.config.site.clone(),
        epoch: fence.epoch,
        incarnation: fence.incarnation,
    };
    let place = Place {
        store: ground.store,
        view: &view,
        layout: &layout,
        name,
        fence,
        class: ground.class,
        init: &ground.spec.model.init,
    };
    let restored = resume(&place, rank.body)?;
    emit(
        "restored",
        Restored {
            how: restored.how,
            moments: restored.moments,
            applied: restored.cursor.applied.0,
            inner_step: restored.cursor.inner_step,
            step: restored.cursor.steps,
        },
    );
    let budget = view.plan_budget();
    let mut passed_by = Once::default();
    let stored = checkpointing::stored(ground.store, &view, &mut passed_by)?.into_iter().map(|c| (c.seq, c)).collect();
    let adam_count = rank.body.trainer.adam_count();
    let mut leader = Leader {
        rank,
        store: ground.store,
        watch: ground.watch,
        reporter: Reporter::start(ground.gateway.clone()),
        spec: ground.spec.clone(),
        site: ground.config.site.clone(),
        layout: layout.clone(),
        class: ground.class,
        fence,
        log: restored.log,
        state: restored.outer.report(restored.cursor.applied),
        cursor: restored.cursor,
        outer: restored.outer,
        before: None,
        helpless: None,
        flip: ground.config.test.flip,
        saved: restored.saved,
        saved_at: Instant::now(),
        offered: None,
        stored,
        passed_by,
        refused: Once::default(),
        looked_for_bases: Instant::now(),
        meter: Meter::new(budget, restored.how, restored.moments),
        waiting_for: String::new(),
        unshared: Some(Decision::State { adam_count }),
        terminate: false,
        terminated_at: None,
        suspended: false,
    };
    leader.run()
}

trait Budget {
    fn plan_budget(&self) -> u64;
}
impl Budget for View {
    /// The budget in force: the newest open plan's, else genesis's.
    fn plan_budget(&self) -> u64 {
        self.open_plans().map(|(_, p)| p.budget).last().unwrap_or(self.genesis().budget)
    }
}

/// Waits until the gateway has shown the run and the store is the one that was opened for this incarnation (D8).
fn first_view(
    ground: &Ground<'_>,
    rank: &mut Rank<'_>,
) -> Result<(Seen, std::sync::Arc<View>, std::sync::Arc<SiteRun>), Stop> {
    let mut told = false;
    let mut unready = Once::default();
    loop {
        turned();
        let seen = ground.watch.now();
        if let Some(why) = &seen.broken {
            return Err(Failure::new(exit::TRY_AGAIN, why.clone()).into());
        }
        if seen.terminate || told {
            announce(rank.comm.as_mut(), &Decision::Leave { code: Some(exit::STOPPED) })?;
            return Err(Failure::new(exit::STOPPED, "stopped before anything was restored").into());
        }
        if let (Some(view), Some(run)) = (&seen.view, &seen.site_run) {
            let code = match run.desired {
                _ if view.ended().is_some() => Some(exit::FINISHED),
                Desired::Run => None,
                Desired::Suspend => Some(exit::STOPPED),
                Desired::Stop => Some(exit::GATEWAY),
            };
            if let Some(code) = code {
                announce(rank.comm.as_mut(), &Decision::Leave { code: Some(code) })?;
                return Err(Failure::new(code, "the gang is not wanted at the moment").into());
            }
            let store = ground.store;
            let config = ground.config;
            let opened = store.wait(opening::check(store.store(), &config.run, &config.site, run.incarnation));
            match opened {
                Ok(()) if !seen.store_lost => return Ok((seen.clone(), view.clone(), run.clone())),
                Ok(()) => unready.warn("the site reports its store lost: waiting to be assigned anew".to_owned()),
                Err(e @ StoreError::StoreLost { .. }) => tracing::debug!("{e}"),
                Err(e) if e.is_transient() => unready.warn(e.to_string()),
                Err(e) => return Err(e.into()),
            }
        }
        if rank.comm.world() > 1 {
            announce(rank.comm.as_mut(), &Decision::Idle)?;
            if let Done::Nothing(t) = rank.perform(&Decision::Idle, &mut Vec::new())? {
                told |= t;
            }
        }
        // An opening entry appears without a word, so this looks again even when nothing changes.
        ground.watch.changed(seen.version, LOOK / 5);
    }
}

/// Refuses to train another run's data or model.
fn check(ground: &Ground<'_>, rank: &Rank<'_>, view: &View) -> Result<(), Failure> {
    let genesis = view.genesis();
    if view.run() != &ground.config.run {
        return Err(Failure::new(
            exit::CONFIG,
            format!("run {} is configured, the gateway shows run {}", ground.config.run, view.run()),
        ));
    }
    let samples = rank.body.samples();
    let index = samples.dataset().index();
    if index.digest != genesis.data || samples.per_pass() != genesis.samples_per_pass {
        return Err(Failure::new(
            exit::DATA,
            format!(
                "{}: data set {} with {} samples a pass, the run was begun with {} and {}: every site needs the same \
                 prepared data set",
                ground.config.data,
                index.digest.short(),
                samples.per_pass(),
                genesis.data.short(),
                genesis.samples_per_pass
            ),
        ));
    }
    let identity =
        ground.spec.identity().map_err(|e| Failure::bug(format!("the run's specification has no digest: {e}")))?;
    if identity != genesis.spec {
        return Err(Failure::new(
            exit::CONFIG,
            format!(
                "the run's specification has digest {}, genesis says {}: what never changes in a run was changed",
                identity.short(),
                genesis.spec.short()
            ),
        ));
    }
    Ok(())
}
