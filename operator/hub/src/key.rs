//! The hub's key: a Secret in its own namespace, made once. With it every record is signed; its public half stands in the first
//! record of every run, so a hub with another key can go on with none of them.
use std::collections::BTreeMap;

use coalition_protocol::sign::HubKey;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

/// The Secret's name.
pub const NAME: &str = "coalition-hub-key";
/// Its one entry: 32 bytes as hexadecimal text.
const SEED: &str = "seed";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The API server did not do it; it may later.
    #[error("Secret {NAME} in namespace {namespace}: {error}")]
    Api {
        /// The hub's own.
        namespace: String,
        /// What the API server said.
        error: Box<kube::Error>,
    },
    /// There is a Secret of that name, but no key is in it.
    #[error(
        "Secret {NAME} in namespace {namespace} holds no key: its entry `{SEED}` must be 64 hexadecimal characters. Restore it \
         from a copy; without it nobody can go on with the runs that it signed"
    )]
    Damaged {
        /// The hub's own.
        namespace: String,
    },
    /// No random bytes.
    #[error("no random bytes: {0}")]
    Random(getrandom::Error),
}

/// Reads the key; makes it if there is none. Of two hubs that make one, one is told that it is there, and reads it.
pub async fn key(client: &Client, namespace: &str) -> Result<HubKey, KeyError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let failed = |error| KeyError::Api { namespace: namespace.to_owned(), error: Box::new(error) };
    if let Some(secret) = api.get_opt(NAME).await.map_err(failed)? {
        return read(&secret, namespace);
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(KeyError::Random)?;
    let data = BTreeMap::from([(SEED.to_owned(), ByteString(hex::encode(seed).into_bytes()))]);
    let metadata = ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() };
    let made = Secret { metadata, immutable: Some(true), data: Some(data), ..Secret::default() };
    match api.create(&PostParams::default(), &made).await {
        Ok(_) => tracing::info!(secret = NAME, namespace, "the hub's key was made: keep a copy of this Secret"),
        Err(kube::Error::Api(s)) if s.code == 409 => {}
        Err(error) => return Err(failed(error)),
    }
    let stands = api.get(NAME).await.map_err(failed)?;
    read(&stands, namespace)
}

fn read(secret: &Secret, namespace: &str) -> Result<HubKey, KeyError> {
    let text = secret.data.as_ref().and_then(|d| d.get(SEED)).map(|b| b.0.as_slice()).unwrap_or_default();
    let mut seed = [0; 32];
    hex::decode_to_slice(text.trim_ascii(), &mut seed)
        .map_err(|_| KeyError::Damaged { namespace: namespace.to_owned() })?;
    Ok(HubKey::from_seed(&seed))
}
