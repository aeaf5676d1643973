//! One gang's controller: observe, plan, apply, report, whenever something about it changed. What forms the gang is the
//! gateway's; what is decided about its pods is the planner's (`planner::gang`).
mod apply;
pub mod observe;
pub mod report;

use std::sync::Arc;
use std::time::Duration;

use coalition_crds::GangSpec;
use coalition_crds::names::{HOLD_ANNOTATION, OWNER_STOP_ANNOTATION};
use coalition_gateway::{BackendError, SiteBackend as _};
use coalition_planner::Millis;
use coalition_planner::gang::{Memory, Plan, Request, plan, wanted};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource as _;
use tokio::time::{Instant, sleep_until};

use crate::admit::admit;
use crate::backend::ClusterSite;
use crate::context::Context;
use crate::gang_object::GangError;
use crate::render::{self, NoConfig};
use observe::{Frame, Unknown, observe};

/// A pass at least so often, though nothing is heard: what a watch lost is found again.
const TURN: Duration = Duration::from_secs(30);
/// Stillness is looked at so often: it grows although nothing is heard. Whoever is still is told after a minute, so a twelfth.
const TICK: Duration = Duration::from_secs(5);
/// A pass that failed is tried again after so long.
const AGAIN: Duration = Duration::from_millis(500);

/// Why a pass was not finished; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassError {
    /// Something is not known that a decision needs.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// The gang's object was not written.
    #[error(transparent)]
    Object(#[from] GangError),
    /// The gang's state was not changed.
    #[error("{0}")]
    Gang(BackendError),
    /// The workers' configuration cannot be made.
    #[error(transparent)]
    Config(#[from] NoConfig),
    /// The API server did not do it.
    #[error("{what}: {error}")]
    Api {
        /// Which object.
        what: String,
        /// What it said.
        error: Box<kube::Error>,
    },
}

impl PassError {
    const fn category(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown",
            Self::Object(_) | Self::Gang(_) => "gang",
            Self::Config(_) => "config",
            Self::Api { .. } => "api",
        }
    }

    fn api(kind: &str, name: &str, error: kube::Error) -> Self {
        Self::Api { what: format!("{kind} {name}"), error: Box::new(error) }
    }
}

/// A gang under control of this process.
pub(crate) struct Gang {
    ctx: Arc<Context>,
    namespace: String,
    name: String,
    site: Arc<ClusterSite>,
    memory: Memory,
    origin: Instant,
    /// The ConfigMap that is known to stand.
    config: Option<String>,
    /// The last error that was said, so that it is said once.
    said: Option<String>,
}

impl Gang {
    pub(crate) fn new(ctx: Arc<Context>, namespace: &str, name: &str, site: Arc<ClusterSite>) -> Self {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Self { ctx, namespace, name, site, memory: Memory::default(), origin: Instant::now(), config: None, said: None }
    }

    /// Keeps the gang until it is dropped.
    pub(crate) async fn keep(mut self) {
        let bell = self.ctx.sources.bells.of(&self.name);
        let mut changes = self.site.changes();
        self.follow_current(&[]);
        loop {
            changes.borrow_and_update();
            let (now, begun) = (self.now(), Instant::now());
            let passed = self.pass(now).await;
            self.ctx.metrics.pass(begun.elapsed(), passed.as_ref().err().map(PassError::category));
            let next = match passed {
                Ok(plan) => {
                    self.said = None;
                    let due = plan.next_deadline.map(|at| self.origin + Duration::from_millis(at.0));
                    due.unwrap_or_else(|| Instant::now() + TURN).min(Instant::now() + TURN)
                }
                Err(PassError::Object(GangError::Gone { .. })) => return,
                Err(e) => {
                    self.say(&e).await;
                    Instant::now() + AGAIN
                }
            };
            loop {
                let tick = next.min(Instant::now() + TICK);
                tokio::select! {
                    () = bell.notified() => break,
                    _ = changes.changed() => break,
                    () = sleep_until(tick) => {}
                }
                if next <= Instant::now() || self.somebody_is_abandoned() {
                    break;
                }
            }
        }
    }

    /// Time passes for workers that say nothing. True if the supervisor of one hangs too.
    fn somebody_is_abandoned(&self) -> bool {
        let mut abandoned = false;
        self.site.stillness(|s| {
            s.pass(std::time::Instant::now());
            abandoned = !s.abandoned().is_empty();
        });
        abandoned
    }

    fn now(&self) -> Millis {
        Millis(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    async fn say(&mut self, e: &PassError) {
        let text = e.to_string();
        if self.said.as_ref() != Some(&text) {
            tracing::warn!(gang = self.name, error = text, "the gang was not brought on; it is tried again");
            self.ctx.events.warn(&self.reference(), "NotBroughtOn", &text).await;
            self.said = Some(text);
        }
    }

    #[tracing::instrument(name = "gang", skip_all, fields(gang = self.name))]
    async fn pass(&mut self, now: Millis) -> Result<Plan, PassError> {
        let asked = self.mirror().await?;
        let object = self.site.object().seen();
        // Annotations come by the watch: nobody writes them through this process.
        let shown = self.ctx.sources.gang(&self.namespace, &self.name);
        let annotation = |name: &str| {
            shown.as_ref().unwrap_or(&object).meta().annotations.as_ref().and_then(|a| a.get(name)).cloned()
        };
        let settings = &self.ctx.settings;
        let refused = admit(settings, &object.spec.site_run).err();
        let refused = refused.map(|r| r.into_values().collect::<Vec<_>>().join("; "));
        let by_settings = Some(settings.owner_stop.clone()).filter(|s| !s.is_empty());
        let owner_stop = annotation(OWNER_STOP_ANNOTATION).or(by_settings);
        let hold = annotation(HOLD_ANNOTATION);
        // What the settings no longer allow saves and stops as if the owner had said so.
        self.site.owner_stop(owner_stop.is_some() || refused.is_some());
        let snapshot = self.site.snapshot();
        let request = Request {
            desired: asked.then_some(object.spec.site_run.message.desired),
            over: snapshot.over,
            store_lost: snapshot.store_lost,
            owner_stop: owner_stop.is_some() || refused.is_some(),
        };
        let input = render::Input { settings, gang: &object, gateway: &self.ctx.gateway_url };
        let frame = Frame {
            workers: self.site.workers(),
            wanted: wanted(&request),
            hold: hold.is_some(),
            image: input.image().to_owned(),
            grace_seconds: settings.worker.termination_grace_period_seconds,
        };
        let shape = (frame.wanted, frame.workers);
        let state = self.site.state();
        let seen = observe(&self.ctx.local, &self.ctx.sources, &object, &state, frame).await?;
        self.follow_current(&[]);
        self.end_abandoned(&seen).await?;
        let plan = plan(&seen.observed, &mut self.memory, now);
        self.apply(&plan.intents, now).await?;
        let standing = report::Standing {
            wanted: shape.0,
            owner_stop,
            hold,
            refused,
            workers: (state.report(shape.1).workers_ready, shape.1),
            generation: object.meta().generation,
        };
        let at = Time(jiff::Timestamp::now());
        let written = self.site.object().write_status(|s| report::update(s, &seen, &standing, &at)).await;
        written.map_err(PassError::Object)?;
        self.ctx.metrics.running(&self.namespace, &self.name, report::running(&seen));
        Ok(plan)
    }

    /// Mirrors what the hub asks. False if the hub was seen to ask nothing any more.
    async fn mirror(&self) -> Result<bool, PassError> {
        if !self.ctx.sources.asked.is_ready() {
            return Ok(true);
        }
        let Some(asked) = self.ctx.asked(&self.name) else { return Ok(self.ctx.asks_unreadably(&self.name)) };
        let spec = GangSpec {
            site_run: asked.spec.clone(),
            site_run_generation: asked.metadata.generation.unwrap_or_default(),
        };
        if self.site.object().mirror(&spec).await? {
            self.site.ask(spec.site_run.message);
        }
        Ok(true)
    }

    /// Deletes the pods of workers whose supervisors hang too.
    async fn end_abandoned(&self, seen: &observe::Seen) -> Result<(), PassError> {
        let runs = |worker: u32| {
            let current = seen.observed.current(worker);
            current.is_some_and(|p| p.state == coalition_planner::gang::State::Running)
        };
        let mut abandoned = Vec::new();
        self.site.stillness(|s| {
            s.keep(runs);
            s.pass(std::time::Instant::now());
            abandoned = s.abandoned();
        });
        for worker in abandoned {
            let Some(pod) = seen.observed.current(worker) else { continue };
            tracing::error!(
                gang = self.name,
                pod = pod.name,
                "a supervisor and its worker do nothing: the pod is deleted"
            );
            self.delete(&pod.name, &pod.uid, true).await?;
        }
        Ok(())
    }

    fn seen_pod(&self, name: &str) -> Option<Arc<Pod>> {
        let gang = self.site.object().seen();
        let owned =
            |p: &Pod| p.metadata.owner_references.iter().flatten().any(|o| Some(&o.uid) == gang.meta().uid.as_ref());
        let all = self.ctx.sources.pods(&self.namespace, &self.name);
        all.into_iter().find(|p| p.metadata.name.as_deref() == Some(name) && owned(p))
    }

    fn reference(&self) -> ObjectReference {
        self.site.object().seen().object_ref(&())
    }
}
