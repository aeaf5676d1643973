//! One pass over a run: what users ask for and what is seen goes in, at most one record and what follows from it come out. Must
//! not decide: that is the planner's.
use std::time::Duration;

use coalition_crds::conditions::Time;
use coalition_crds::names::STOP_ANNOTATION;
use coalition_crds::{CheckpointPolicy, TrainingRun};
use coalition_planner::origin::Adopted;
use coalition_planner::resolve::{Beside, Unresolved, resolve};
use coalition_planner::status::{Phase, Reason};
use coalition_planner::time::seconds;
use coalition_planner::{Decision, RunStatus, Standing, forget, plan, publish};
use coalition_protocol::RunId;
use coalition_protocol::messages::Evaluation;
use coalition_spec::{Problem, RunSpec};
use kube::Resource as _;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::{Keeper, LONGEST, Next, PassError, Run};
use crate::apply::{ApplyError, FINALIZER, Hand, reference};
use crate::{checkpoints, memory, observe, report, stop};

impl Keeper {
    pub(super) async fn bring_on(&mut self, object: &TrainingRun, id: &RunId) -> Result<Next, PassError> {
        self.remember(id).await?;
        let time = report::now();
        let (spec, policy_gone) = match self.resolve(object) {
            Ok(resolved) => resolved,
            Err(why) => return self.refuse(object, id, &why, &time).await,
        };
        if !object.meta().finalizers.as_ref().is_some_and(|f| f.iter().any(|f| f == FINALIZER)) {
            self.hold(object).await?;
            // The watch shows it, and wakes this run.
            return Ok(Next::Within(LONGEST));
        }
        if self.run.is_none() {
            self.run = Some(self.open(object, id, &spec).await?);
        }
        let (leader, began) = (self.leader.clone(), self.began());
        let now = leader.sources.heard.now();
        let objects = checkpoints::of(&leader.sources, id);
        let (Some(run), Some(memory)) = (self.run.as_mut(), self.memory.as_mut()) else { return Ok(Next::Now) };
        let Run { world, chain, seen, granted } = run;
        let identity = spec.identity()?;
        world.spec = spec;
        let stop = object.meta().annotations.as_ref().and_then(|a| a.get(STOP_ANNOTATION));
        world.suspend = object.spec.suspend || stop.is_some();
        world.named = checkpoints::named(&objects, &memory.retained);
        world.named.extend(checkpoints::unreadable(&leader.sources, id));
        for seq in &world.named.clone() {
            world.announced(*seq);
        }
        world.holders = checkpoints::holders(&leader.sources, object, &self.namespace);
        observe::observe(world, &leader.sources, &self.namespace, seen, leader.since, now);
        world.tick(now);
        if let Some(reason) = unfit(world, &leader.key.public().0, identity) {
            let status = RunStatus { phase: Phase::Stalled, ..stalled(plan(world, now).status, reason) };
            return self.show(object, id, &status, None, &time).await.map(|()| Next::Within(LONGEST));
        }
        let decision = plan(world, now);
        let ended = world.view.as_ref().is_some_and(|v| v.ended().is_some());
        memory.age = now.since(began);
        memory.take_restarts(&world.memory.restarts, began);
        memory.finished = ended.then(|| memory.finished.unwrap_or(memory.age));
        let ttl = object.spec.ttl_seconds_after_finished.and_then(|s| u64::try_from(s).ok()).map(seconds);
        let leave = memory.finished.zip(ttl).map(|(finished, ttl)| finished.saturating_add(ttl));
        let closed = leave.is_some_and(|at| memory.age >= at);
        let mut hand = Hand { client: &leader.client, key: &leader.key, run: object, seen, granted, closed };
        let appended = match hand.apply(world, chain, &decision, now).await {
            Ok(appended) => appended,
            // What a person can mend is told to people.
            Err(e @ (ApplyError::TooLarge(_) | ApplyError::NoShape { .. })) => {
                let status = stalled(decision.status, (Reason::InvalidSpec, e.to_string()));
                return self.show(object, id, &status, None, &time).await.map(|()| Next::Within(LONGEST));
            }
            Err(e) => return Err(e.into()),
        };
        if decision.append.as_ref().is_some_and(|r| r.body.kind() == "outer" || r.body.kind() == "step") {
            leader.figures.commits.inc();
        }
        if let Some(view) = &world.view {
            let standing = Standing::new(world, view, &world.memory, now);
            let mirrored = standing.members().map(|(x, _)| standing.report(x).and_then(|r| r.mirrored)).min().flatten();
            if let Some(mirrored) = mirrored {
                chain.note_mirrored(mirrored);
            }
            if !appended {
                checkpoints::keep(&leader, &self.namespace, &standing, &objects, memory, &self.written, &time).await?;
            }
            if chain.is_long()
                && let Some(due) = forget::due(&standing)
            {
                let mut shorter = view.clone();
                due.apply(&mut shorter);
                if chain.forget(&shorter, due.floor).await? {
                    tracing::info!(
                        floor = due.floor.0,
                        records = chain.records().len(),
                        "older records left the object"
                    );
                    world.view = Some(shorter);
                }
            }
        }
        let evaluation = newest_evaluation(world);
        let mut status = decision.status.clone();
        if policy_gone {
            let name = &object.spec.checkpoint_policy_ref.name;
            status.message =
                format!("{}; CheckpointPolicy {name} is gone: the run goes on with what one said last", status.message);
        }
        self.show(object, id, &status, evaluation.as_ref(), &time).await?;
        self.note(object, id).await?;
        let reference = object.object_ref(&());
        for event in &decision.events {
            report::tell(&leader.recorder, &reference, event).await;
        }
        if appended {
            return Ok(Next::Now);
        }
        if closed && !self.remove_all(object, id).await? {
            return Ok(Next::Within(stop::LOOK));
        }
        Ok(Next::Within(self.wait(&decision, leave)))
    }

    fn wait(&self, decision: &Decision, leave: Option<u64>) -> Duration {
        let now = self.leader.sources.heard.now();
        let leave = leave.map(|age| self.began().plus(age)).filter(|at| *at > now);
        let due = decision.next_deadline.into_iter().chain(leave).min();
        due.map_or(LONGEST, |d| Duration::from_millis(d.since(now)).min(LONGEST))
    }

    /// The run as it can be trained, and whether its policy is one of earlier.
    fn resolve(&mut self, object: &TrainingRun) -> Result<(RunSpec, bool), Unresolved> {
        let name = &object.spec.checkpoint_policy_ref.name;
        let found = self.leader.sources.policies.get(Some(&self.namespace), name);
        let adopted = object.spec.model.init.from.as_ref();
        let adopted = adopted.and_then(|f| self.leader.sources.checkpoints.get(Some(&self.namespace), &f.checkpoint));
        let Some(memory) = self.memory.as_mut() else { return Err(Unresolved { problems: Vec::new(), partial: true }) };
        let begun = memory.origin.clone();
        let adopted = Adopted { checkpoint: adopted.as_deref(), begun: begun.as_ref() };
        let last = memory.policy.clone().filter(|_| found.is_none()).map(|last| CheckpointPolicy::new(name, last));
        let spec = resolve(object, &Beside { policy: found.as_deref().or(last.as_ref()), adopted })?;
        if let Some(policy) = &found {
            memory.policy = Some(policy.spec.clone());
        }
        memory.origin.clone_from(&spec.model.init.from);
        Ok((spec, last.is_some()))
    }

    /// A run that cannot be trained as it is asked for: said, and nothing is made.
    async fn refuse(
        &mut self,
        object: &TrainingRun,
        id: &RunId,
        why: &Unresolved,
        time: &Time,
    ) -> Result<Next, PassError> {
        tracing::debug!(problems = ?why.problems.iter().map(Problem::to_string).collect::<Vec<_>>(), "refused");
        let ids = ids(object, id, None, time);
        let next = publish::refused(why, &self.reporter.before(object), &ids);
        let now = self.leader.sources.heard.now();
        self.counted.set(Some(Phase::Stalled));
        let client = self.leader.client.clone();
        self.reporter.write(&client, object, next, now).await.map_err(PassError::api("its status"))?;
        Ok(Next::Within(LONGEST))
    }

    async fn show(
        &mut self,
        object: &TrainingRun,
        id: &RunId,
        status: &RunStatus,
        evaluation: Option<&Evaluation>,
        time: &Time,
    ) -> Result<(), PassError> {
        self.counted.set(Some(status.phase));
        let ids = ids(object, id, evaluation, time);
        let next = publish::status(status, &self.reporter.before(object).conditions, &ids);
        let now = self.leader.sources.heard.now();
        let client = self.leader.client.clone();
        self.reporter.write(&client, object, next, now).await.map_err(PassError::api("its status"))
    }

    /// Writes what a later hub must remember, if it is news.
    async fn note(&mut self, object: &TrainingRun, id: &RunId) -> Result<(), PassError> {
        let Some(memory) = self.memory.as_ref().filter(|m| m.differs(&self.written)) else { return Ok(()) };
        memory::write(&self.leader.client, &self.leader.namespace, id, &reference(object), memory)
            .await
            .map_err(PassError::api(format!("ConfigMap/{id}")))?;
        self.written = memory.clone();
        Ok(())
    }

    /// Holds the object, before anything is made for it.
    async fn hold(&self, object: &TrainingRun) -> Result<(), PassError> {
        let mut finalizers = object.meta().finalizers.clone().unwrap_or_default();
        finalizers.push(FINALIZER.to_owned());
        self.set_finalizers(object, finalizers).await
    }

    pub(super) async fn set_finalizers(&self, object: &TrainingRun, finalizers: Vec<String>) -> Result<(), PassError> {
        let api: Api<TrainingRun> = Api::namespaced(self.leader.client.clone(), &self.namespace);
        let meta = object.meta();
        let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": meta.resource_version}});
        match api.patch(&self.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            // Gone already, or changed meanwhile: the watch shows what there is now.
            Err(kube::Error::Api(s)) if s.code == 404 || s.code == 409 => Ok(()),
            other => other.map(drop).map_err(PassError::api("its finalizers")),
        }
    }
}

fn ids<'a>(
    object: &'a TrainingRun,
    run: &'a RunId,
    evaluation: Option<&'a Evaluation>,
    now: &'a Time,
) -> publish::Ids<'a> {
    publish::Ids {
        run,
        generation: object.meta().generation,
        sites_wanted: u32::try_from(object.spec.sites.max).unwrap_or(0),
        evaluation,
        stop: object.meta().annotations.as_ref().and_then(|a| a.get(STOP_ANNOTATION)).map(String::as_str),
        now,
    }
}

fn stalled(status: RunStatus, (reason, message): (Reason, String)) -> RunStatus {
    RunStatus { phase: Phase::Stalled, reason, message, ..status }
}

/// Why this hub cannot go on with what stands at the server, if it cannot.
fn unfit(
    world: &coalition_planner::World,
    key: &str,
    identity: coalition_protocol::Digest,
) -> Option<(Reason, String)> {
    let Some(view) = &world.view else {
        let noted = world.leader.noted?;
        let text = format!(
            "the RunHistory is gone, and sites of this run or its own status name record {noted}: restore it from a copy of the \
             cluster's state, or delete this run and create another one. To begin it again would be a second history under one \
             name"
        );
        return Some((Reason::HubRewound, text));
    };
    if view.key().0 != key {
        let text = "the history was signed with another key than the one in Secret coalition-hub-key: restore that Secret from a \
                    copy. Without it nobody can go on with this run";
        return Some((Reason::HubRewound, text.to_owned()));
    }
    (view.genesis().spec != identity).then(|| {
        let text = "spec: is another one than the run began with, in a field that cannot change. Put it back as it was, or create a \
                    new run";
        (Reason::InvalidSpec, text.to_owned())
    })
}

fn newest_evaluation(world: &coalition_planner::World) -> Option<Evaluation> {
    let all = world.sites.values().filter_map(|s| s.report.value()?.progress.evaluation.clone());
    all.max_by_key(|e| e.of)
}
