//! Apply: the record first, durably, then what follows from it. Every step may be repeated after a crash. Must not decide.
use std::collections::{BTreeMap, BTreeSet};

use coalition_crds::checkpoint::{Checkpoint, CheckpointSpec, DeletionPolicy};
use coalition_crds::names::{RUN_LABEL, SITE_LABEL, site_namespace};
use coalition_crds::site_run::{SiteRun, SiteRunSpec};
use coalition_crds::training_run::RunReference;
use coalition_crds::{TrainingRun, budget::TooLarge};
use coalition_planner::{CheckpointNotice, Decision, Intent, Millis, World, origin, publish, shape};
use coalition_protocol::sign::HubKey;
use coalition_protocol::{SiteId, messages};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource as _};

use crate::access;
use crate::chain::{Chain, ChainError};
use crate::observe::Seen;

/// Who this hub is to the API server, for the fields it owns.
pub const MANAGER: &str = "coalition-hub";

/// Holds a TrainingRun until its sites were told to stop, and a Checkpoint until what becomes of its bytes was said.
pub const FINALIZER: &str = "coalition.training/hub";

/// What could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The history.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Another object.
    #[error("{object}: {error}")]
    Api {
        /// Which, as Kind/name.
        object: String,
        /// What the API server said.
        error: Box<kube::Error>,
    },
    /// An object that does not fit its budget.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// A site that matches no template of the run.
    #[error("no site template of the run matches site {site}: add one without a selector as the last")]
    NoShape {
        /// The site.
        site: String,
    },
    /// A record that is illegal although the planner proposed it.
    #[error("record {seq} was appended and does not apply: {what}; please report this")]
    Bug {
        /// Its number.
        seq: u64,
        /// Why.
        what: String,
    },
}

/// What it takes to carry out a decision.
pub struct Hand<'a> {
    /// The hub's API server.
    pub client: &'a Client,
    /// The hub's key.
    pub key: &'a HubKey,
    /// The run's object.
    pub run: &'a TrainingRun,
    /// What was seen of the sites.
    pub seen: &'a Seen,
    /// Members that may read the history already.
    pub granted: &'a mut BTreeSet<SiteId>,
    /// True once nothing is asked of sites any more: what was asked is being removed.
    pub closed: bool,
}

/// Names a run's object to who stands elsewhere.
pub fn reference(run: &TrainingRun) -> RunReference {
    RunReference {
        namespace: run.metadata.namespace.clone().unwrap_or_default(),
        name: run.metadata.name.clone().unwrap_or_default(),
        uid: run.metadata.uid.clone().unwrap_or_default(),
    }
}

impl ApplyError {
    pub(crate) fn api(object: String, error: kube::Error) -> Self {
        Self::Api { object, error: Box::new(error) }
    }
}

impl Hand<'_> {
    /// Carries out a decision. True if a record was appended: then the next decision comes before anything else.
    pub async fn apply(
        &mut self,
        world: &mut World,
        chain: &mut Chain,
        decision: &Decision,
        now: Millis,
    ) -> Result<bool, ApplyError> {
        let bug = |seq: u64, what: String| ApplyError::Bug { seq, what };
        for signed in &decision.adopt {
            chain.adopt(signed.clone()).await?;
            world.adopted(&signed.record, now).map_err(|e| bug(signed.record.seq.0, e.to_string()))?;
        }
        if let Some(record) = &decision.append {
            chain.append(self.key, record.clone()).await?;
            world.appended(record, now).map_err(|e| bug(record.seq.0, e.to_string()))?;
        }
        for intent in &decision.intents {
            match intent {
                Intent::AskSite(_) if self.closed => {}
                Intent::AskSite(message) => {
                    self.ask(message).await?;
                    world.asked(&message.site, (**message).clone());
                }
                Intent::AnnounceCheckpoint(notice) => {
                    self.announce(world, notice).await?;
                    world.announced(notice.seq);
                }
            }
        }
        Ok(decision.append.is_some() || !decision.adopt.is_empty())
    }

    /// Shows a site what is asked of it.
    async fn ask(&mut self, message: &messages::SiteRun) -> Result<(), ApplyError> {
        let (site, name) = (message.site.as_str(), message.run.to_string());
        if !self.granted.contains(&message.site) {
            let namespace = self.run.metadata.namespace.clone().unwrap_or_default();
            access::grant(self.client, &namespace, &message.run, &message.site, self.run.controller_owner_ref(&()))
                .await
                .map_err(|(object, error)| ApplyError::api(object, error))?;
            self.granted.insert(message.site.clone());
        }
        let none = BTreeMap::from([(SITE_LABEL.to_owned(), site.to_owned())]);
        let labels = self.seen.labels.get(&message.site).unwrap_or(&none);
        let shape = shape::of(&self.run.spec, labels).ok_or_else(|| ApplyError::NoShape { site: site.to_owned() })?;
        let (spec, _) = SiteRunSpec { message: message.clone(), training_run: reference(self.run), shape }.fit()?;
        let mut object = SiteRun::new(&name, spec);
        object.metadata.labels = Some([(RUN_LABEL.to_owned(), name.clone())].into());
        let api: Api<SiteRun> = Api::namespaced(self.client.clone(), &site_namespace(site));
        api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&object))
            .await
            .map_err(|error| ApplyError::api(format!("SiteRun/{name} of site {site}"), error))?;
        Ok(())
    }

    /// Makes a consistent checkpoint an object that outlives the run. One that is there already is the same one: its name
    /// follows from the run and the record.
    async fn announce(&self, world: &World, notice: &CheckpointNotice) -> Result<(), ApplyError> {
        let run = world.run();
        let model = origin::model_digest(&world.spec.model.config)
            .map_err(|e| ApplyError::Bug { seq: notice.seq.0, what: e.to_string() })?;
        let name = publish::checkpoint_name(run, notice.seq);
        let spec = CheckpointSpec {
            run: self.run.metadata.name.clone().unwrap_or_default(),
            run_id: run.to_string(),
            seq: i64::try_from(notice.seq.0).unwrap_or(i64::MAX),
            state_digest: notice.state.to_string(),
            model_digest: model.to_string(),
            pinned: false,
            deletion_policy: DeletionPolicy::Retain,
        };
        let metadata = ObjectMeta {
            name: Some(name.clone()),
            labels: Some([(RUN_LABEL.to_owned(), run.to_string())].into()),
            finalizers: Some(vec![FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        };
        let namespace = self.run.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Checkpoint> = Api::namespaced(self.client.clone(), &namespace);
        match api.create(&PostParams::default(), &Checkpoint { metadata, spec, status: None }).await {
            Err(kube::Error::Api(s)) if s.code == 409 => Ok(()),
            Err(error) => Err(ApplyError::api(format!("Checkpoint/{name}"), error)),
            Ok(_) => Ok(()),
        }
    }
}
