//! The keys by which this cluster's API server signs tokens of pods, and what such a token says. Read once and again when a key
//! is not known; between, tokens are checked without asking anybody. Must not know gangs.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::Request;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use kube::Client;
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use crate::names::AUDIENCE;

/// Keys are read again at most so often: a token with a made-up key must not make us ask the API server every time.
const AGAIN: Duration = Duration::from_secs(10);
/// An API server that does not answer for so long is away.
const ANSWERS: Duration = Duration::from_secs(10);
/// Ways of signing that API servers use. All are by key pairs: nobody who can check can sign.
const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::ES256, Algorithm::ES384];

/// A pod, as its token names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: String,
}

/// A token that names no pod of this cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// It is not valid.
    #[error("{0}")]
    Invalid(String),
    /// The keys cannot be read now.
    #[error("the cluster's keys cannot be read: {0}; ask again")]
    NoKeys(String),
}

#[derive(Deserialize)]
struct Claims {
    #[serde(rename = "kubernetes.io")]
    kubernetes: Bound,
}

#[derive(Deserialize)]
struct Bound {
    namespace: String,
    pod: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    uid: String,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

struct KeySet {
    issuer: String,
    keys: BTreeMap<String, DecodingKey>,
}

/// The keys.
pub struct Keys {
    client: Client,
    known: Mutex<Option<Arc<KeySet>>>,
    read: tokio::sync::Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// Keys of the cluster that this client reaches; none was read yet.
    pub fn new(client: Client) -> Self {
        Self { client, known: Mutex::new(None), read: tokio::sync::Mutex::new(None) }
    }

    /// The pod that a token was made for, if it is valid, for the gateway, and bound to a pod.
    pub async fn pod(&self, token: &str) -> Result<PodName, BadToken> {
        let invalid = |what: String| BadToken::Invalid(what);
        if token.is_empty() {
            return Err(invalid("no bearer token came: a worker shows the token of its pod".to_owned()));
        }
        let header =
            decode_header(token).map_err(|e| invalid(format!("the bearer token is no JSON web token ({e})")))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(invalid(format!("the bearer token is signed by {:?}, which no API server uses", header.alg)));
        }
        let kid = header.kid.unwrap_or_default();
        let set = self.with(&kid).await?;
        let Some(key) = set.keys.get(&kid) else {
            return Err(invalid("the bearer token is signed by a key that is not this cluster's".to_owned()));
        };
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[&set.issuer]);
        validation.set_required_spec_claims(&["exp", "aud", "iss"]);
        let claims = decode::<Claims>(token, key, &validation)
            .map_err(|e| invalid(format!("the bearer token is not valid here ({e})")))?
            .claims
            .kubernetes;
        let pod = claims.pod.ok_or_else(|| invalid("the bearer token is bound to no pod".to_owned()))?;
        Ok(PodName { namespace: claims.namespace, name: pod.name, uid: pod.uid })
    }

    fn known(&self) -> Option<Arc<KeySet>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keys, read again if `kid` is not among them and they were not read just now.
    async fn with(&self, kid: &str) -> Result<Arc<KeySet>, BadToken> {
        let holds = |set: &Arc<KeySet>| set.keys.contains_key(kid);
        if let Some(set) = self.known().filter(holds) {
            return Ok(set);
        }
        let mut read = self.read.lock().await;
        if let Some(set) = self.known() {
            let fresh = read.is_some_and(|at| at.elapsed() < AGAIN);
            if fresh || holds(&set) {
                return Ok(set);
            }
        }
        let done = timeout(ANSWERS, self.ask()).await.unwrap_or_else(|_| Err("no answer".to_owned()));
        let set = Arc::new(done.map_err(BadToken::NoKeys)?);
        *read = Some(Instant::now());
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(set.clone());
        Ok(set)
    }

    async fn ask(&self) -> Result<KeySet, String> {
        let get = async |path: &str| {
            let request = Request::get(path).body(Vec::new()).map_err(|e| e.to_string())?;
            self.client.request_text(request).await.map_err(|e| format!("{path}: {e}"))
        };
        let discovery: Discovery =
            serde_json::from_str(&get("/.well-known/openid-configuration").await?).map_err(|e| e.to_string())?;
        let set: JwkSet = serde_json::from_str(&get("/openid/v1/jwks").await?).map_err(|e| e.to_string())?;
        let key = |jwk: &jsonwebtoken::jwk::Jwk| {
            let kid = jwk.common.key_id.clone().unwrap_or_default();
            DecodingKey::from_jwk(jwk).ok().map(|k| (kid, k))
        };
        Ok(KeySet { issuer: discovery.issuer, keys: set.keys.iter().filter_map(key).collect() })
    }
}
