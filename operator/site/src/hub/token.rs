//! The credential of a site whose hub is its own cluster: short tokens of the site's ServiceAccount there, renewed long before
//! they end. Must not know what they are used for.
use std::time::Duration;

use axum::http::{HeaderValue, Request, header};
use coalition_crds::names::site_namespace;
use coalition_protocol::SiteId;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::client::Body;
use kube::config::AuthInfo;
use kube::{Api, Client, Config};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::service_fn;

use crate::SiteError;

/// Name of the ServiceAccount in the site's namespace at the hub.
const ACCOUNT: &str = "site";
/// Seconds that are asked for; a server may give less, at least 600.
const VALID: i64 = 3600;
/// A token is renewed after this part of its time: two more tries of the same length fit in before it ends.
const RENEW_AFTER: u32 = 3;
/// Between two tries: the hub makes the ServiceAccount when somebody admits the site.
const AGAIN: Duration = Duration::from_secs(2);

type Token = watch::Receiver<Option<HeaderValue>>;

/// A client that shows the newest token, and waits for the first.
pub fn client(config: &Config, local: &Client, site: &SiteId, tasks: &mut JoinSet<()>) -> Result<Client, SiteError> {
    let mut nobody = config.clone();
    nobody.auth_info = AuthInfo::default();
    let (to, from) = watch::channel(None);
    let plain = Client::try_from(nobody).map_err(|e| SiteError::HubAccess { what: e.to_string() })?;
    let api: Api<ServiceAccount> = Api::namespaced(local.clone(), &site_namespace(site.as_str()));
    tasks.spawn(renew(api, to));
    Ok(bearing(&plain, from))
}

/// The same client with the newest token in every request. Before there is one a request waits: as nobody it would be refused, and
/// who was refused pauses. Whoever asks says for how long it waits.
fn bearing(plain: &Client, token: Token) -> Client {
    let inner = plain.clone();
    let service = service_fn(move |mut request: Request<Body>| {
        let (inner, mut token) = (inner.clone(), token.clone());
        async move {
            // Once nobody renews it any more, none will come: the server's refusal says so.
            let newest = token.wait_for(Option::is_some).await.ok().and_then(|t| t.clone());
            if let Some(newest) = newest {
                request.headers_mut().insert(header::AUTHORIZATION, newest);
            }
            inner.send(request).await
        }
    });
    Client::new(service, plain.default_namespace())
}

async fn renew(api: Api<ServiceAccount>, to: watch::Sender<Option<HeaderValue>>) {
    let mut told = false;
    loop {
        let spec = TokenRequestSpec { expiration_seconds: Some(VALID), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let wait = match api.create_token_request(ACCOUNT, &PostParams::default(), &request).await {
            Ok(given) => {
                told = false;
                let seconds = given.spec.expiration_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(600);
                let header = given.status.and_then(|s| HeaderValue::from_str(&format!("Bearer {}", s.token)).ok());
                let header = header.map(|mut h| {
                    h.set_sensitive(true);
                    h
                });
                to.send_replace(header);
                Duration::from_secs(seconds) / RENEW_AFTER
            }
            Err(e) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(error = %e, "no token for the hub yet: is the site admitted there? It is tried again");
                }
                AGAIN
            }
        };
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    use axum::http::{Method, Response};
    use coalition_crds::SiteRun;
    use kube::api::ListParams;
    use serde_json::json;

    /// A server that gives a token after a while, and notes who asked it for anything else.
    fn server(asked: Arc<Mutex<Vec<Option<String>>>>, ready: Duration) -> Client {
        let service = service_fn(move |request: Request<Body>| {
            let asked = asked.clone();
            async move {
                let answer = if request.method() == Method::POST {
                    tokio::time::sleep(ready).await;
                    json!({"metadata": {}, "spec": {"audiences": [], "expirationSeconds": 3600},
                        "status": {"token": "first", "expirationTimestamp": "2026-01-01T00:00:00Z"}})
                } else {
                    let who = request.headers().get(header::AUTHORIZATION).map(|h| h.to_str().unwrap().to_owned());
                    asked.lock().unwrap().push(who);
                    json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": []})
                };
                Response::builder().body(Body::from(answer.to_string().into_bytes()))
            }
        });
        Client::new(service, "default")
    }

    #[tokio::test(start_paused = true)]
    async fn no_request_goes_out_as_nobody() {
        let asked = Arc::default();
        let plain = server(Arc::clone(&asked), Duration::from_secs(30));
        let (to, from) = watch::channel(None);
        let accounts: Api<ServiceAccount> = Api::namespaced(plain.clone(), "site-north");
        let renewing = tokio::spawn(renew(accounts, to));
        let runs: Api<SiteRun> = Api::namespaced(bearing(&plain, from), "site-north");
        let listed = tokio::spawn(async move { runs.list(&ListParams::default()).await.map(|l| l.items.len()) });
        tokio::time::sleep(Duration::from_secs(29)).await;
        assert!(!listed.is_finished() && asked.lock().unwrap().is_empty(), "it waits");
        assert_eq!(listed.await.unwrap().unwrap(), 0);
        assert_eq!(*asked.lock().unwrap(), [Some("Bearer first".to_owned())]);
        renewing.abort();
    }
}
