//! What everything of this role in one process shares while it leads. Must not decide anything.
use std::sync::Arc;

use coalition_crds::names::site_namespace;
use coalition_crds::{SiteReport, SiteRun};
use coalition_store::Store;
use kube::{Api, Client};

use crate::events::Events;
use crate::gateway::Hosted;
use crate::gateway::keys::Keys;
use crate::leading::Leading;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::sources::Sources;

/// The shared parts.
pub struct Context {
    /// The owner's settings.
    pub settings: Settings,
    /// This cluster.
    pub local: Client,
    /// The hub, by the site's own credential.
    pub hub: Client,
    /// The watches.
    pub sources: Arc<Sources>,
    /// The site's own store.
    pub store: Store,
    /// Base address of the gateway, as workers reach it.
    pub gateway_url: String,
    /// Base address of this site's courier as others reach it.
    pub exchange: Option<String>,
    /// The token that couriers of the coalition share; random where there is none, so that nobody has it.
    pub exchange_token: String,
    /// The keys of this cluster's pods.
    pub keys: Arc<Keys>,
    /// Gateways that answer in this process.
    pub hosted: Arc<Hosted>,
    /// Whether this replica leads.
    pub leads: Leading,
    /// Events for people.
    pub events: Events,
    /// Numbers for machines.
    pub metrics: Metrics,
    /// This process, for people.
    pub me: String,
    /// The operator's version.
    pub version: String,
}

impl Context {
    /// What the hub asks for this run.
    pub fn asked(&self, run: &str) -> Option<Arc<SiteRun>> {
        self.sources.asked.get(Some(&site_namespace(self.settings.name.as_str())), run)
    }

    /// True if the hub asks something for this run that this site cannot read: it is not known what, so what was asked last
    /// stands.
    pub fn asks_unreadably(&self, run: &str) -> bool {
        self.sources.asked.unreadable_one(Some(&site_namespace(self.settings.name.as_str())), run).is_some()
    }

    /// The site's reports at the hub.
    pub fn reports(&self) -> Api<SiteReport> {
        Api::namespaced(self.hub.clone(), &site_namespace(self.settings.name.as_str()))
    }
}
