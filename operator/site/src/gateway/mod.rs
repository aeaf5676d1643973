//! Hosting of gateways: one listener for all gangs, by path. The leader answers; another replica passes requests on to it. Must not
//! know what is asked.
mod forward;
pub mod guard;
pub mod keys;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use axum::response::{IntoResponse as _, Response};
use coalition_gateway::refusal::Refusal;
use tower::Service as _;

pub use forward::{Forward, identity};

use crate::leading::Leading;
use crate::sources::Sources;

/// Gateways that answer in this process, by namespace and name of their gangs.
#[derive(Debug, Default)]
pub struct Hosted(RwLock<BTreeMap<(String, String), Router>>);

impl Hosted {
    /// Lets this gateway answer.
    pub fn host(&self, namespace: &str, gang: &str, router: Router) {
        let key = (namespace.to_owned(), gang.to_owned());
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, router);
    }

    /// Lets it answer no more.
    pub fn forget(&self, namespace: &str, gang: &str) {
        let key = (namespace.to_owned(), gang.to_owned());
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }

    /// Lets none answer.
    pub fn clear(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn get(&self, namespace: &str, gang: &str) -> Option<Router> {
        let key = (namespace.to_owned(), gang.to_owned());
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }
}

/// What the listener needs.
#[derive(Debug)]
pub struct Host {
    /// Gateways of this process.
    pub hosted: Arc<Hosted>,
    /// Whether this replica leads.
    pub leads: Leading,
    /// The way to the leader.
    pub forward: Forward,
    /// Which gangs there are.
    pub sources: Arc<Sources>,
}

/// The listener's service.
pub fn service(host: Arc<Host>) -> Router {
    Router::new().fallback(answer).with_state(host)
}

async fn answer(State(host): State<Arc<Host>>, request: Request) -> Response {
    let Some((namespace, gang, rest)) = split(request.uri()) else {
        let what = format!("{}: a gateway is at /gangs/NAMESPACE/GANG", request.uri().path());
        return Refusal::NotFound(what).into_response();
    };
    if !host.leads.is_so() {
        return host.forward.pass(request).await.unwrap_or_else(Refusal::into_response);
    }
    let Some(mut router) = host.hosted.get(&namespace, &gang) else {
        let known = host.sources.waiting().is_some() || host.sources.gang(&namespace, &gang).is_some();
        let refusal = if known {
            Refusal::Unavailable(format!("the gateway of gang {gang} is coming up: ask again"))
        } else {
            Refusal::RunOver(format!("namespace {namespace} has no gang {gang} any more: leave"))
        };
        return refusal.into_response();
    };
    let (mut parts, body) = request.into_parts();
    parts.uri = rest;
    let done: Result<Response, Infallible> = router.call(Request::from_parts(parts, body)).await;
    done.unwrap_or_else(|never| match never {})
}

/// Namespace, gang, and what follows them in the path.
fn split(uri: &Uri) -> Option<(String, String, Uri)> {
    let mut parts = uri.path().strip_prefix("/gangs/")?.splitn(3, '/');
    let (namespace, gang, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let query = uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    let path: PathAndQuery = format!("/{rest}{query}").parse().ok()?;
    Some((namespace.to_owned(), gang.to_owned(), Uri::from(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_gang_and_the_rest_is_its_gateways() {
        let split = |s: &str| split(&s.parse().unwrap()).map(|(n, g, u)| (n, g, u.to_string()));
        let told = |n: &str, g: &str, r: &str| Some((n.to_owned(), g.to_owned(), r.to_owned()));
        assert_eq!(split("/gangs/a/b/v1/view?after=3"), told("a", "b", "/v1/view?after=3"));
        assert_eq!(split("/gangs/a/b/"), told("a", "b", "/"));
        for other in ["/", "/gangs/a/b", "/v1/view", "/gangs/"] {
            assert_eq!(split(other), None, "{other}");
        }
    }
}
