//! A run's chain at the API server. Appending is one PUT that names the version it replaces, so of two hubs that append one
//! is refused, whatever each believes; the rules of `RunHistory` are the second fence. Must not know what a record says.
use coalition_crds::RunHistory;
use coalition_crds::names::RUN_LABEL;
use coalition_protocol::Seq;
use coalition_protocol::history::{View, Violation};
use coalition_protocol::record::Record;
use coalition_protocol::sign::{HubKey, SignedRecord};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use crate::history::{self, Damaged};

/// Something that keeps a chain from being read or written.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The API server did not do it; it may later.
    #[error("RunHistory {name}: {error}")]
    Api {
        /// The object.
        name: String,
        /// What it said.
        error: Box<kube::Error>,
    },
    /// Somebody else wrote it: this hub does not lead any more, or did not read the newest.
    #[error("RunHistory {name} was written by somebody else: this hub reads it again before it decides anything")]
    Overtaken {
        /// The object.
        name: String,
    },
    /// The object is not what a hub wrote.
    #[error("RunHistory {name}: {damage}")]
    Damaged {
        /// The object.
        name: String,
        /// What is wrong.
        damage: Damaged,
    },
    /// Its records do not follow from each other.
    #[error("RunHistory {name}: {violation}; restore the object from a copy of the cluster's state")]
    Illegal {
        /// The object.
        name: String,
        /// What is wrong.
        violation: Violation,
    },
}

/// From here on the oldest records leave, as far as every member has them: half of what the object may hold, so that rounds go
/// on for a while where a member is away and nothing may leave.
const MANY: usize = 64;
/// The same in characters of text, fold and records together.
const LONG: usize = 64 << 10;
/// The most that object takes of them, as its rules say.
const LIMIT: usize = 128 << 10;

/// The chain of one run.
#[derive(Debug)]
pub struct Chain {
    api: Api<RunHistory>,
    name: String,
    owner: Option<OwnerReference>,
    object: Option<RunHistory>,
    records: Vec<SignedRecord>,
    fold: Option<String>,
    mirrored: Seq,
}

impl Chain {
    /// Reads the object by quorum and checks every record. The view is none before genesis.
    pub async fn open(
        client: Client,
        namespace: &str,
        name: &str,
        owner: Option<OwnerReference>,
    ) -> Result<(Self, Option<View>), ChainError> {
        let api: Api<RunHistory> = Api::namespaced(client, namespace);
        // A read without a version is answered by a quorum of etcd, not from a cache.
        let object = api.get_opt(name).await.map_err(|e| ChainError::api(name, e))?;
        let damaged = |damage| ChainError::Damaged { name: name.to_owned(), damage };
        let records = object.as_ref().map_or(Ok(Vec::new()), |o| history::records(&o.spec)).map_err(damaged)?;
        let fold = object.as_ref().and_then(|o| o.spec.fold.clone());
        let illegal = |violation| ChainError::Illegal { name: name.to_owned(), violation };
        let view = match &fold {
            None => View::replay(&records).map_err(illegal)?,
            Some(text) => {
                let (mut view, later) = history::unfold(text, &records).map_err(damaged)?;
                for signed in later {
                    view.extend(signed).map_err(illegal)?;
                }
                Some(view)
            }
        };
        let mirrored = object.as_ref().map_or(0, |o| o.spec.mirrored_seq);
        let mirrored = Seq(u64::try_from(mirrored).unwrap_or(0));
        Ok((Self { api, name: name.to_owned(), owner, object, records, fold, mirrored }, view))
    }

    /// All records that the object holds.
    pub fn records(&self) -> &[SignedRecord] {
        &self.records
    }

    /// Notes that every member's store holds the records up to this one. It is written with the next record.
    pub fn note_mirrored(&mut self, mirrored: Seq) {
        let head = self.records.last().map_or(Seq(0), |r| r.record.seq);
        self.mirrored = self.mirrored.max(mirrored.min(head));
    }

    /// Signs and appends a record, durably. That it may follow is checked by whoever made it.
    pub async fn append(&mut self, key: &HubKey, record: Record) -> Result<(), ChainError> {
        let signed = key
            .sign(record)
            .map_err(|e| ChainError::Damaged { name: self.name.clone(), damage: Damaged::NotCanonical(e) })?;
        self.adopt(signed).await
    }

    /// Appends a record that was signed before, durably and as it is.
    pub async fn adopt(&mut self, signed: SignedRecord) -> Result<(), ChainError> {
        let mut next = self.records.clone();
        next.push(signed);
        self.write(next, self.fold.clone()).await
    }

    /// True if the oldest records should leave.
    pub fn is_long(&self) -> bool {
        let text = self.object.as_ref().map_or(0, |o| history::weight(&o.spec));
        self.records.len() > MANY || text > LONG
    }

    /// Drops what lies before `floor`; `view` is what all records came to, without what may be forgotten. False if the object would not
    /// hold that.
    pub async fn forget(&mut self, view: &View, floor: Seq) -> Result<bool, ChainError> {
        let fold = view
            .to_text()
            .map_err(|e| ChainError::Damaged { name: self.name.clone(), damage: Damaged::NotCanonical(e) })?;
        let kept: Vec<SignedRecord> = self.records.iter().filter(|r| r.record.seq >= floor).cloned().collect();
        let spec = history::spec(&kept, self.mirrored, Some(fold.clone()))
            .map_err(|damage| ChainError::Damaged { name: self.name.clone(), damage })?;
        if kept.len() == self.records.len() || spec.is_none_or(|s| history::weight(&s) > LIMIT) {
            return Ok(false);
        }
        // The server lets go only of what it was told before that everybody has.
        let told = self.object.as_ref().map_or(0, |o| o.spec.mirrored_seq);
        if u64::try_from(told).unwrap_or(0) < floor.0 {
            self.write(self.records.clone(), self.fold.clone()).await?;
        }
        self.write(kept, Some(fold)).await?;
        Ok(true)
    }

    async fn write(&mut self, records: Vec<SignedRecord>, fold: Option<String>) -> Result<(), ChainError> {
        let damaged = |damage| ChainError::Damaged { name: self.name.clone(), damage };
        let Some(spec) = history::spec(&records, self.mirrored, fold.clone()).map_err(damaged)? else { return Ok(()) };
        let sent = match &self.object {
            // The version stands in the metadata: the server refuses the write if it is not the newest any more.
            Some(before) => {
                let object = RunHistory { metadata: before.metadata.clone(), spec };
                self.api.replace(&self.name, &PostParams::default(), &object).await
            }
            None => {
                let metadata = ObjectMeta {
                    name: Some(self.name.clone()),
                    labels: Some([(RUN_LABEL.to_owned(), self.name.clone())].into()),
                    owner_references: self.owner.clone().map(|o| vec![o]),
                    ..ObjectMeta::default()
                };
                self.api.create(&PostParams::default(), &RunHistory { metadata, spec }).await
            }
        };
        match sent {
            Ok(object) => {
                self.object = Some(object);
                self.records = records;
                self.fold = fold;
                Ok(())
            }
            Err(kube::Error::Api(s)) if s.code == 409 => Err(ChainError::Overtaken { name: self.name.clone() }),
            Err(error) => Err(ChainError::api(&self.name, error)),
        }
    }
}

impl ChainError {
    fn api(name: &str, error: kube::Error) -> Self {
        Self::Api { name: name.to_owned(), error: Box::new(error) }
    }
}
