//! Why the site role cannot run at all. What it can live with is said where it happens.

use crate::settings::BadSettings;

/// Why the site role cannot run.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] BadSettings),
    /// There is no way to the hub.
    #[error(
        "the hub cannot be reached: {what}; name a kubeconfig that leads there, or none if hub and site are one cluster"
    )]
    HubAccess {
        /// What is wrong.
        what: String,
    },
    /// A port cannot be listened on.
    #[error("{what} cannot listen on {address}: {error}")]
    Listen {
        /// Who.
        what: &'static str,
        /// Where.
        address: String,
        /// Why not.
        error: std::io::Error,
    },
    /// The store of the settings cannot be opened.
    #[error("the site's store: {0}; correct `store` in the site's settings")]
    Store(#[from] coalition_store::StoreError),
    /// The token that couriers share is not there.
    #[error("exchange.tokenSecretName is set, and {variable} is not: hand the Secret's token to this process by it")]
    ExchangeToken {
        /// The environment variable.
        variable: &'static str,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
    /// Requests cannot be passed on to the leader.
    #[error("no HTTP client: {0}")]
    Http(String),
}
