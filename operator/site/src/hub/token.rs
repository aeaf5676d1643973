//! The credential of a site whose hub is its own cluster: short tokens of the site's ServiceAccount there, renewed long before
//! they end. Must not know what they are used for.
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{HeaderValue, Request, header};
use coalition_crds::names::site_namespace;
use coalition_protocol::SiteId;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::client::ClientBuilder;
use kube::config::AuthInfo;
use kube::{Api, Client, Config};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::{Layer, Service};

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

/// A client that shows the newest token; without one it is nobody.
pub fn client(config: &Config, local: &Client, site: &SiteId, tasks: &mut JoinSet<()>) -> Result<Client, SiteError> {
    let mut nobody = config.clone();
    nobody.auth_info = AuthInfo::default();
    let (to, from) = watch::channel(None);
    let unusable = |e: kube::Error| SiteError::HubAccess { what: e.to_string() };
    let builder = ClientBuilder::try_from(nobody).map_err(unusable)?;
    let api: Api<ServiceAccount> = Api::namespaced(local.clone(), &site_namespace(site.as_str()));
    tasks.spawn(renew(api, to));
    Ok(builder.with_layer(&Bearer(from)).build())
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

/// Puts the newest token into every request.
#[derive(Clone, Debug)]
struct Bearer(Token);

impl<S> Layer<S> for Bearer {
    type Service = WithToken<S>;
    fn layer(&self, inner: S) -> WithToken<S> {
        WithToken { inner, token: self.0.clone() }
    }
}

#[derive(Clone, Debug)]
struct WithToken<S> {
    inner: S,
    token: Token,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for WithToken<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        if let Some(token) = self.token.borrow().clone() {
            request.headers_mut().insert(header::AUTHORIZATION, token);
        }
        self.inner.call(request)
    }
}
