//! The Gang object: the one place that writes it. Every write is a PUT with the version that was seen, by the leader alone; one
//! that finds another version reads the object and decides again. Must not know what a formation means.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coalition_crds::gang::{Gang, GangSpec, GangStatus};
use coalition_gateway::GangState;
use coalition_protocol::Incarnation;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::timeout;

use crate::formation::{self, Damaged};
use crate::leading::Leading;
use crate::{names, render};

/// Key of the token in its Secret.
const TOKEN: &str = "token";
/// Writes that find another version in a row: people annotate, the hub asks, and nobody writes often.
const TRIES: u32 = 5;
/// An API server that does not answer for so long is away; the caller asks again.
const ANSWERS: Duration = Duration::from_secs(10);

/// Why the Gang was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum GangError {
    /// The API server did not do it.
    #[error("Gang {name}: {error}")]
    Api {
        /// The gang.
        name: String,
        /// What it said.
        error: Box<kube::Error>,
    },
    /// No answer in time.
    #[error("Gang {name}: the API server did not answer for {} s; it is tried again", ANSWERS.as_secs())]
    Silent {
        /// The gang.
        name: String,
    },
    /// It does not exist any more.
    #[error("Gang {name} is gone")]
    Gone {
        /// The gang.
        name: String,
    },
    /// Others write it all the time.
    #[error("Gang {name} changed {TRIES} times while it was to be written; it is tried again")]
    Contended {
        /// The gang.
        name: String,
    },
    /// Another replica leads: its writes count.
    #[error("Gang {name} is not written: this replica does not lead")]
    NotLeading {
        /// The gang.
        name: String,
    },
    /// Its status is not what a gateway writes.
    #[error("Gang {name}: {error}")]
    Damaged {
        /// The gang.
        name: String,
        /// What is wrong.
        error: Damaged,
    },
}

/// The Gang.
#[derive(Debug)]
pub struct GangObject {
    api: Api<Gang>,
    secrets: Api<Secret>,
    name: String,
    leads: Leading,
    seen: Mutex<Arc<Gang>>,
    writing: tokio::sync::Mutex<()>,
}

impl GangObject {
    /// Reads the object by quorum, and the token of its formation.
    pub async fn open(
        client: &Client,
        namespace: &str,
        name: &str,
        leads: Leading,
    ) -> Result<(Self, GangState), GangError> {
        let (api, secrets) = (Api::namespaced(client.clone(), namespace), Api::namespaced(client.clone(), namespace));
        let api: Api<Gang> = api;
        let gang = answered(name, api.get(name)).await?;
        let seen = Mutex::new(Arc::new(gang));
        let object = Self { api, secrets, name: name.to_owned(), leads, seen, writing: tokio::sync::Mutex::default() };
        let state = object.read_formation(&object.seen()).await?;
        Ok((object, state))
    }

    /// The object as it was read or written last.
    pub fn seen(&self) -> Arc<Gang> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, gang: Gang) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(gang);
    }

    /// The incarnation whose opening entry the hub was told of.
    pub fn opened(&self) -> Option<Incarnation> {
        let opened = self.seen().status.as_ref().and_then(|s| s.opened)?;
        u64::try_from(opened).ok().map(Incarnation)
    }

    /// True while this replica leads: what it writes counts.
    pub fn leads(&self) -> bool {
        self.leads.is_so()
    }

    fn check_leads(&self) -> Result<(), GangError> {
        if self.leads() { Ok(()) } else { Err(GangError::NotLeading { name: self.name.clone() }) }
    }

    async fn read_formation(&self, gang: &Gang) -> Result<GangState, GangError> {
        let status = gang.status.clone().unwrap_or_default();
        let damaged = |error| GangError::Damaged { name: self.name.clone(), error };
        let Some(secret) = &status.token_secret_name else {
            return formation::read(&status, String::new()).map_err(damaged);
        };
        let held = answered(&self.name, self.secrets.get_opt(secret)).await?;
        let token = held.and_then(|s| s.data?.remove(TOKEN)).and_then(|b| String::from_utf8(b.0).ok());
        let mut state = formation::read(&status, token.clone().unwrap_or_default()).map_err(damaged)?;
        if token.is_none() {
            // Its members cannot be told apart from strangers any more: they meet again at the next attempt.
            tracing::warn!(gang = self.name, secret, "the token of the formation is gone: the gang forms anew");
            state.forming = true;
        }
        Ok(state)
    }

    /// Keeps others of this process from writing a formation meanwhile.
    pub async fn lock(&self) -> Locked<'_> {
        Locked { object: self, _guard: self.writing.lock().await }
    }

    /// Notes that the hub was told of the opening entry of this incarnation.
    pub async fn note_opened(&self, opened: Incarnation) -> Result<(), GangError> {
        if self.opened() == Some(opened) {
            return Ok(());
        }
        let _guard = self.writing.lock().await;
        let opened = i64::try_from(opened.0).unwrap_or(i64::MAX);
        self.update_status(|s| s.opened = Some(opened)).await
    }

    /// Changes what the status says beside the formation. Written only if it says anything new.
    pub async fn write_status(&self, change: impl Fn(&mut GangStatus)) -> Result<(), GangError> {
        let _guard = self.writing.lock().await;
        self.update_status(change).await
    }

    async fn update_status(&self, change: impl Fn(&mut GangStatus)) -> Result<(), GangError> {
        for _ in 0..TRIES {
            self.check_leads()?;
            let mut gang = (*self.seen()).clone();
            let before = gang.status.clone();
            change(gang.status.get_or_insert_default());
            if gang.status == before {
                return Ok(());
            }
            match answered(&self.name, self.api.replace_status(&self.name, &PostParams::default(), &gang)).await {
                Ok(written) => {
                    self.set(written);
                    return Ok(());
                }
                Err(GangError::Api { error, .. }) if is_conflict(&error) => {
                    self.set(answered(&self.name, self.api.get(&self.name)).await?);
                }
                Err(e) => return Err(e),
            }
        }
        Err(GangError::Contended { name: self.name.clone() })
    }

    /// Makes this the mirrored request, unless a newer one is. True if it was written.
    pub async fn mirror(&self, spec: &GangSpec) -> Result<bool, GangError> {
        let _guard = self.writing.lock().await;
        for _ in 0..TRIES {
            self.check_leads()?;
            let mut gang = (*self.seen()).clone();
            if gang.spec == *spec || gang.spec.site_run_generation > spec.site_run_generation {
                return Ok(false);
            }
            gang.spec = spec.clone();
            match answered(&self.name, self.api.replace(&self.name, &PostParams::default(), &gang)).await {
                Ok(written) => {
                    self.set(written);
                    return Ok(true);
                }
                Err(GangError::Api { error, .. }) if is_conflict(&error) => {
                    self.set(answered(&self.name, self.api.get(&self.name)).await?);
                }
                Err(e) => return Err(e),
            }
        }
        Err(GangError::Contended { name: self.name.clone() })
    }

    async fn keep_token(&self, state: &GangState) -> Result<String, GangError> {
        let name = names::token(&self.name, state.attempt.0, &state.token);
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                owner_references: Some(vec![render::owner(&self.seen())]),
                ..ObjectMeta::default()
            },
            immutable: Some(true),
            data: Some([(TOKEN.to_owned(), ByteString(state.token.clone().into_bytes()))].into()),
            ..Secret::default()
        };
        match answered(&self.name, self.secrets.create(&PostParams::default(), &secret)).await {
            // Its name has the token's digest in it: it is ours, and the answer to an earlier try was lost.
            Err(GangError::Api { error, .. }) if is_conflict(&error) => Ok(name),
            done => done.map(|_| name),
        }
    }

    /// Removes a token that nobody needs any more. One that stays costs an object, and goes with the gang.
    fn forget_token(&self, secret: String) {
        let secrets = self.secrets.clone();
        tokio::spawn(async move {
            if let Err(e) = secrets.delete(&secret, &DeleteParams::default()).await {
                tracing::debug!(secret, error = %e, "an old token stays");
            }
        });
    }
}

/// The right to write a formation.
pub struct Locked<'a> {
    object: &'a GangObject,
    _guard: tokio::sync::MutexGuard<'a, ()>,
}

impl Locked<'_> {
    /// Makes `next` the formation if `before` still is. Otherwise gives what stands there.
    pub async fn write_formation(
        &mut self,
        before: &GangState,
        next: &GangState,
        ready: i32,
    ) -> Result<Option<GangState>, GangError> {
        let o = self.object;
        let old = o.seen().status.as_ref().and_then(|s| s.token_secret_name.clone());
        o.check_leads()?;
        let renewed = next.token != before.token && !next.token.is_empty();
        let secret = if renewed { Some(o.keep_token(next).await?) } else { old.clone() };
        for _ in 0..TRIES {
            o.check_leads()?;
            let mut gang = (*o.seen()).clone();
            let status = gang.status.get_or_insert_default();
            formation::write(next, secret.clone(), status);
            status.workers_ready = ready;
            match answered(&o.name, o.api.replace_status(&o.name, &PostParams::default(), &gang)).await {
                Ok(written) => {
                    o.set(written);
                    if let Some(old) = old.filter(|_| renewed) {
                        o.forget_token(old);
                    }
                    return Ok(None);
                }
                Err(GangError::Api { error, .. }) if is_conflict(&error) => {
                    let now = answered(&o.name, o.api.get(&o.name)).await?;
                    let same = formation::read(&now.status.clone().unwrap_or_default(), before.token.clone());
                    o.set(now);
                    if same.as_ref() != Ok(before) {
                        return o.read_formation(&o.seen()).await.map(Some);
                    }
                }
                Err(e) => return Err(e),
            }
        }
        Err(GangError::Contended { name: o.name.clone() })
    }
}

fn is_conflict(e: &kube::Error) -> bool {
    matches!(e, kube::Error::Api(s) if s.code == 409)
}

async fn answered<T>(name: &str, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, GangError> {
    match timeout(ANSWERS, request).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(kube::Error::Api(s))) if s.code == 404 => Err(GangError::Gone { name: name.to_owned() }),
        Ok(Err(error)) => Err(GangError::Api { name: name.to_owned(), error: Box::new(error) }),
        Err(_) => Err(GangError::Silent { name: name.to_owned() }),
    }
}
