//! A run's chain at the API server. Appending is one PUT that names the version it replaces, so of two hubs that append one
//! is refused, whatever each believes; the rules of `RunHistory` are the second fence. Must not know what a record says.
use coalition_crds::RunHistory;
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
        error: kube::Error,
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

/// The chain of one run.
#[derive(Debug)]
pub struct Chain {
    api: Api<RunHistory>,
    name: String,
    owner: Option<OwnerReference>,
    object: Option<RunHistory>,
    records: Vec<SignedRecord>,
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
        let object = api.get_opt(name).await.map_err(|error| ChainError::Api { name: name.to_owned(), error })?;
        let damaged = |damage| ChainError::Damaged { name: name.to_owned(), damage };
        let records = object.as_ref().map_or(Ok(Vec::new()), |o| history::records(&o.spec)).map_err(damaged)?;
        let illegal = |violation| ChainError::Illegal { name: name.to_owned(), violation };
        let view = View::replay(&records).map_err(illegal)?;
        let mirrored = object.as_ref().map_or(0, |o| o.spec.mirrored_seq);
        let mirrored = Seq(u64::try_from(mirrored).unwrap_or(0));
        Ok((Self { api, name: name.to_owned(), owner, object, records, mirrored }, view))
    }

    /// All records that the object holds.
    pub fn records(&self) -> &[SignedRecord] {
        &self.records
    }

    /// Signs and appends a record, durably. That it may follow is checked by whoever made it.
    pub async fn append(&mut self, key: &HubKey, record: Record) -> Result<(), ChainError> {
        let damaged = |e: coalition_protocol::canonical::NotCanonical| ChainError::Damaged {
            name: self.name.clone(),
            damage: e.into(),
        };
        let signed = key.sign(record).map_err(damaged)?;
        self.adopt(signed).await
    }

    /// Appends a record that was signed before, durably and as it is.
    pub async fn adopt(&mut self, signed: SignedRecord) -> Result<(), ChainError> {
        let mut next = self.records.clone();
        next.push(signed);
        self.write(next, self.mirrored).await
    }

    /// Notes that every member's store holds the records up to this one.
    pub async fn note_mirrored(&mut self, mirrored: Seq) -> Result<(), ChainError> {
        if mirrored <= self.mirrored || self.object.is_none() {
            return Ok(());
        }
        self.write(self.records.clone(), mirrored).await
    }

    async fn write(&mut self, records: Vec<SignedRecord>, mirrored: Seq) -> Result<(), ChainError> {
        let damaged = |damage| ChainError::Damaged { name: self.name.clone(), damage };
        let Some(spec) = history::spec(&records, mirrored).map_err(damaged)? else { return Ok(()) };
        let sent = match &self.object {
            // The version stands in the metadata: the server refuses the write if it is not the newest any more.
            Some(before) => {
                let object = RunHistory { metadata: before.metadata.clone(), spec };
                self.api.replace(&self.name, &PostParams::default(), &object).await
            }
            None => {
                let metadata = ObjectMeta {
                    name: Some(self.name.clone()),
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
                self.mirrored = mirrored;
                Ok(())
            }
            Err(kube::Error::Api(s)) if s.code == 409 => Err(ChainError::Overtaken { name: self.name.clone() }),
            Err(error) => Err(ChainError::Api { name: self.name.clone(), error }),
        }
    }
}
