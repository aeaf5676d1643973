//! Kubernetes objects of a gang, made from what the hub asks and the site's settings. Pure: the same input gives the same object,
//! and nothing is read from a cluster.
mod config;
mod pod;

use coalition_crds::gang::{Gang, GangSpec};
use coalition_crds::names::RUN_LABEL;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource as _;

use crate::settings::Settings;

pub use config::{NoConfig, config_map};
pub use pod::{CONTAINER, pod};

/// What all objects of one gang are made from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The settings of the site.
    pub settings: &'a Settings,
    /// The gang, as it stands at the API server.
    pub gang: &'a Gang,
    /// Base address of the gateway.
    pub gateway: &'a str,
}

impl Input<'_> {
    fn spec(&self) -> &GangSpec {
        &self.gang.spec
    }

    fn name(&self) -> &str {
        self.gang.meta().name.as_deref().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self.gang.meta().namespace.as_deref().unwrap_or_default()
    }

    /// The image of new pods.
    pub fn image(&self) -> &str {
        self.spec().site_run.shape.image.as_deref().unwrap_or(&self.settings.image)
    }

    /// Metadata of an object that the gang owns: gone when the gang is.
    fn metadata(&self, name: String) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace().to_owned()),
            labels: Some([(RUN_LABEL.to_owned(), self.spec().site_run.message.run.to_string())].into()),
            owner_references: Some(vec![owner(self.gang)]),
            ..ObjectMeta::default()
        }
    }
}

/// The gang as an owner.
pub fn owner(gang: &Gang) -> OwnerReference {
    OwnerReference {
        api_version: Gang::api_version(&()).into_owned(),
        kind: Gang::kind(&()).into_owned(),
        name: gang.meta().name.clone().unwrap_or_default(),
        uid: gang.meta().uid.clone().unwrap_or_default(),
        controller: Some(true),
        // Blocking the owner's deletion needs the right to change its finalizers, and nothing here waits for it.
        block_owner_deletion: None,
    }
}

#[cfg(test)]
mod tests;
