//! The way from a replica that does not lead to the one that does: the holder of the role's Lease, whose identity names its
//! address. Must not know what it passes on.
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use coalition_gateway::refusal::Refusal;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use tokio::time::{Instant, timeout};

use crate::SiteError;

/// How long it is believed who leads: as long as a leader's own pause between renewals.
const BELIEVED: Duration = Duration::from_secs(2);
/// An API server that does not answer for so long is away.
const ANSWERS: Duration = Duration::from_secs(5);
/// Longest answer of a leader: above the longest wait of a view (30 s).
const LEADER: Duration = Duration::from_mins(1);
/// Longest wait for a connection to it, in the same cluster.
const CONNECT: Duration = Duration::from_secs(2);
/// Marks a request that was passed on once: two replicas that each believe in the other would pass it on for ever.
const PASSED: HeaderName = HeaderName::from_static("coalition-passed-on");

/// Passes requests on.
#[derive(Debug)]
pub struct Forward {
    leases: Api<Lease>,
    lease: String,
    me: String,
    port: u16,
    http: reqwest::Client,
    holder: Mutex<Option<(Instant, Option<Arc<str>>)>>,
}

/// The identity of a replica in its role's Lease: the pod's name, and its address.
pub fn identity(pod: &str, ip: IpAddr) -> String {
    format!("{pod}_{ip}")
}

fn address(identity: &str) -> Option<IpAddr> {
    identity.rsplit_once('_')?.1.parse().ok()
}

impl Forward {
    /// The way to the holder of `lease`, whose gateway listens on `port`. `me` is this replica's identity.
    pub fn new(client: Client, namespace: &str, lease: &str, me: &str, port: u16) -> Result<Self, SiteError> {
        let http = reqwest::Client::builder().connect_timeout(CONNECT).timeout(LEADER).no_proxy().build();
        Ok(Self {
            leases: Api::namespaced(client, namespace),
            lease: lease.to_owned(),
            me: me.to_owned(),
            port,
            http: http.map_err(|e| SiteError::Http(e.to_string()))?,
            holder: Mutex::new(None),
        })
    }

    async fn holder(&self) -> Result<Option<Arc<str>>, Refusal> {
        let known = self.holder.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, holder)) = known
            && at.elapsed() < BELIEVED
        {
            return Ok(holder);
        }
        let unavailable = |e: String| Refusal::Unavailable(format!("it is not known which replica leads: {e}"));
        let lease = timeout(ANSWERS, self.leases.get_opt(&self.lease)).await;
        let lease = lease.map_err(|_| unavailable("no answer".to_owned()))?.map_err(|e| unavailable(e.to_string()))?;
        let holder = lease.and_then(|l| l.spec?.holder_identity).filter(|h| !h.is_empty()).map(Arc::from);
        *self.holder.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), holder.clone()));
        Ok(holder)
    }

    /// The leader's answer.
    pub async fn pass(&self, request: Request) -> Result<Response, Refusal> {
        let nobody = || Refusal::Unavailable("no replica leads just now: ask again".to_owned());
        if request.headers().contains_key(&PASSED) {
            return Err(nobody());
        }
        let holder = self.holder().await?.filter(|h| **h != *self.me).ok_or_else(nobody)?;
        let ip = address(&holder).ok_or_else(nobody)?;
        let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
        let mut headers = parts.headers;
        headers.remove(header::HOST);
        headers.insert(PASSED, HeaderValue::from_static("1"));
        let sent = self
            .http
            .request(parts.method, format!("http://{host}:{}{path}", self.port))
            .headers(headers)
            .body(reqwest::Body::wrap_stream(body.into_data_stream()))
            .send()
            .await;
        let answer = sent.map_err(|e| {
            // It may be gone: who leads is asked anew for the next request.
            *self.holder.lock().unwrap_or_else(PoisonError::into_inner) = None;
            Refusal::Unavailable(format!("the replica that leads does not answer ({e}): ask again"))
        })?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = answer.status();
        for name in [header::CONTENT_TYPE, header::WWW_AUTHENTICATE] {
            if let Some(value) = answer.headers().get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        *response.body_mut() = Body::from_stream(answer.bytes_stream());
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_names_the_address() {
        for ip in ["10.0.0.1", "fd00::1"] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(address(&identity("operator-0_a", ip)), Some(ip));
        }
        assert_eq!(address("operator-0"), None);
    }
}
