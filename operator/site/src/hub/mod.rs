//! The site's way to its hub: a client with the site's own credential, never with the identity that this process has in its own
//! cluster, even where both are one. Must not know what is said there.
mod lease;
mod token;

use std::path::{Path, PathBuf};

use coalition_protocol::SiteId;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::task::JoinSet;

pub use lease::sign_of_life;

use crate::SiteError;

/// How the hub is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Another cluster, by this kubeconfig.
    Kubeconfig(PathBuf),
    /// This cluster: by tokens of the ServiceAccount `site` in the site's namespace.
    OneCluster,
}

/// A client for the hub. What keeps its credential fresh is spawned into `tasks`.
pub async fn client(
    access: &Access,
    config: &Config,
    local: &Client,
    site: &SiteId,
    tasks: &mut JoinSet<()>,
) -> Result<Client, SiteError> {
    match access {
        Access::Kubeconfig(path) => by_file(path).await,
        Access::OneCluster => token::client(config, local, site, tasks),
    }
}

async fn by_file(path: &Path) -> Result<Client, SiteError> {
    let unusable = |what: String| SiteError::HubAccess { what: format!("kubeconfig {}: {what}", path.display()) };
    let file = Kubeconfig::read_from(path).map_err(|e| unusable(e.to_string()))?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    let config = config.map_err(|e| unusable(e.to_string()))?;
    Client::try_from(config).map_err(|e| unusable(e.to_string()))
}
