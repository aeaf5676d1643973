//! One run at the hub: observe, plan, apply, report, until its object is gone. Must not know what the other runs do.
mod delete;
mod open;
mod pass;

use std::sync::Arc;
use std::time::Duration;

use coalition_crds::TrainingRun;
use coalition_kit::said::Said;
use coalition_planner::{Millis, World};
use coalition_protocol::RunId;
use kube::Resource as _;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::apply::ApplyError;
use crate::chain::{Chain, ChainError};
use crate::figures::Counted;
use crate::leader::Leader;
use crate::memory::Memory;
use crate::names;
use crate::observe::Seen;
use crate::report::Reporter;
use crate::wake::key;

/// Longest wait between two passes: ages grow even when nothing is heard. Every deadline that a decision names is kept anyway.
pub(crate) const LONGEST: Duration = Duration::from_secs(30);
/// Pause after something failed: about what an API server takes to come back from a restart.
const AGAIN: Duration = Duration::from_secs(1);

/// A run that was begun or is to begin.
struct Run {
    world: World,
    chain: Chain,
    seen: Seen,
    granted: std::collections::BTreeSet<coalition_protocol::SiteId>,
}

/// What the hub keeps of one run between two passes. All of it can be read again.
pub(crate) struct Keeper {
    leader: Arc<Leader>,
    namespace: String,
    name: String,
    id: Option<RunId>,
    run: Option<Run>,
    /// As it stands at the server; none until it was looked for.
    memory: Option<Memory>,
    written: Memory,
    /// The age of the run at the first pass of this hub, and the instant of that pass.
    opened: Option<(u64, Millis)>,
    /// Since when its deletion is seen.
    deleting: Option<Millis>,
    reporter: Reporter,
    counted: Counted,
}

/// When the next pass is due.
pub(crate) enum Next {
    /// At once.
    Now,
    /// When something is observed, at the latest after so long.
    Within(Duration),
}

/// Keeps one run going until its object is gone. The caller stops polling it when the lease is lost.
pub(crate) async fn keep(leader: Arc<Leader>, namespace: String, name: String) {
    let bell = leader.sources.wake.of(&key(Some(&namespace), Some(&name)));
    let mut keeper = Keeper {
        leader: leader.clone(),
        namespace: namespace.clone(),
        name: name.clone(),
        id: None,
        run: None,
        memory: None,
        written: Memory::default(),
        opened: None,
        deleting: None,
        reporter: Reporter::default(),
        counted: Counted::new(leader.figures.clone()),
    };
    let mut said = Said::default();
    while let Some(object) = leader.sources.runs.get(Some(&namespace), &name) {
        let generation = object.metadata.generation;
        let span = tracing::info_span!("reconcile", kind = "TrainingRun", run = name, namespace, generation);
        let begun = Instant::now();
        let next = keeper.pass(&object, &bell).instrument(span.clone()).await;
        let failed = next.as_ref().err().map(PassError::category);
        leader.metrics.passed("TrainingRun", begun.elapsed(), failed);
        let wait = match next {
            Ok(Next::Now) => continue,
            Ok(Next::Within(wait)) => {
                said.forget();
                wait
            }
            Err(e) => {
                if said.is_news(&e) {
                    span.in_scope(|| tracing::warn!(error = %e, "the run was not brought on; it is tried again"));
                }
                // What stands at the server may be more than this hub knows: it is read again.
                keeper.run = None;
                AGAIN
            }
        };
        tokio::select! {
            () = bell.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    leader.sources.wake.forget(&bell);
    // What a last pass wrote of it may have come after the others looked.
    leader.sources.wake.strays.notify_one();
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum PassError {
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("{object}: {error}")]
    Api { object: String, error: Box<kube::Error> },
    #[error("its name makes no run: {0}")]
    Name(#[from] coalition_protocol::ids::BadName),
    #[error("its resolved form has no digest: {0}")]
    Spec(#[from] coalition_protocol::canonical::NotCanonical),
}

impl PassError {
    pub(crate) fn api(object: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let object = object.into();
        move |error| Self::Api { object, error: Box::new(error) }
    }

    /// What sort of error, for the metrics.
    fn category(&self) -> &'static str {
        match self {
            Self::Apply(ApplyError::Chain(ChainError::Overtaken { .. }))
            | Self::Chain(ChainError::Overtaken { .. }) => "conflict",
            Self::Apply(ApplyError::Chain(ChainError::Api { .. }) | ApplyError::Api { .. })
            | Self::Chain(ChainError::Api { .. })
            | Self::Api { .. } => "api",
            Self::Apply(ApplyError::Chain(_)) | Self::Chain(_) => "damaged",
            Self::Apply(ApplyError::TooLarge(_) | ApplyError::NoShape { .. }) | Self::Name(_) => "invalid",
            Self::Apply(ApplyError::Bug { .. }) | Self::Spec(_) => "bug",
        }
    }
}

impl Keeper {
    async fn pass(&mut self, object: &TrainingRun, bell: &Arc<Notify>) -> Result<Next, PassError> {
        let meta = object.meta();
        let id = names::run_id(meta.name.as_deref().unwrap_or_default(), meta.uid.as_deref().unwrap_or_default())?;
        if self.id.as_ref() != Some(&id) {
            // Another object of the same name: nothing of the old one is its.
            (self.run, self.memory, self.opened, self.deleting) = (None, None, None, None);
            self.reporter = Reporter::default();
            self.leader.sources.wake.also(id.as_str(), bell);
            self.id = Some(id.clone());
        }
        if meta.deletion_timestamp.is_some() {
            return self.delete(object, &id).await;
        }
        self.bring_on(object, &id).await
    }
}
