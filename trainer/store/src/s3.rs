//! An S3 bucket, reached over plain HTTP with the workspace's HTTP client. Knows nothing of what is stored.
//!
//! `object_store` can bring a client of its own, but only together with a TLS stack whose provider every HTTP client of the
//! process would then have to install before use. No store of this version lies behind TLS, so the client is handed in,
//! and TLS later replaces this file.
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, Error, ObjectStore, RetryConfig};
use reqwest::Url;

use crate::location::S3;

/// One request to S3 may take so long: a put of 256 MiB over 10 Mbit/s takes 3.6 minutes.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(5);
/// Connecting may take so long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Retries of one call inside the client; beyond that the caller decides.
const RETRIES: usize = 3;
/// All retries of one call together.
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);

/// Environment variable that allows an endpoint on another machine over plain HTTP, when it is `1`: for a network that nobody
/// else can listen on, such as a tunnel.
pub const PLAIN_HTTP_ENV: &str = "COALITION_S3_PLAIN_HTTP";

/// Why `endpoint` must not be used, if so: requests are signed, but what they carry can be read and changed on the way. Parsed
/// by the client's own parser, so that both mean the same host.
fn unsafe_endpoint(endpoint: Option<&str>, allowed: bool) -> Option<String> {
    let way_out = "run a proxy that speaks TLS on this machine (stunnel, nginx) and name it, http://127.0.0.1:PORT";
    let Some(endpoint) = endpoint.filter(|e| e.starts_with("http://")) else {
        let what = endpoint.unwrap_or("AWS, since AWS_ENDPOINT_URL is not set,");
        return Some(format!("{what} needs TLS, which is not part of this build: {way_out}"));
    };
    let url = match Url::parse(endpoint) {
        Ok(url) => url,
        Err(e) => return Some(format!("{endpoint} is no address ({e}): name one like http://127.0.0.1:7070")),
    };
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Some(format!("{endpoint} says more than host, port and path: name one like http://127.0.0.1:7070"));
    }
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let here = host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|a| a.is_loopback());
    (!here && !allowed).then(|| {
        format!(
            "{host} is another machine, and plain HTTP shows everything to those on the way: {way_out}; or set \
             {PLAIN_HTTP_ENV}=1 if nobody can listen between"
        )
    })
}

/// Opens a bucket.
pub fn open(s3: &S3) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    let allowed = s3.plain_http || std::env::var(PLAIN_HTTP_ENV).is_ok_and(|v| v == "1");
    if let Some(why) = unsafe_endpoint(s3.endpoint.as_deref(), allowed) {
        return Err(Error::Generic { store: "S3", source: why.into() });
    }
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::from_env()
        .with_http_connector(PlainHttp)
        .with_retry(retry)
        .with_bucket_name(&s3.bucket)
        .with_region(&s3.region)
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    if let Some(endpoint) = &s3.endpoint {
        builder = builder
            .with_endpoint(endpoint)
            .with_allow_http(endpoint.starts_with("http://"))
            .with_virtual_hosted_style_request(false);
    }
    if let Some((id, secret)) = &s3.credentials {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    }
    let bucket = builder.build()?;
    if s3.prefix.is_empty() { Ok(Arc::new(bucket)) } else { Ok(Arc::new(PrefixStore::new(bucket, s3.prefix.as_str()))) }
}

/// Makes clients for `object_store`.
#[derive(Debug)]
pub struct PlainHttp;

impl HttpConnector for PlainHttp {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let refused = |source: Box<dyn std::error::Error + Send + Sync>| Error::Generic { store: "HTTP", source };
        if options.get_config_value(&ClientConfigKey::AllowHttp).as_deref() != Some("true") {
            return Err(refused("TLS is not part of this build; use an endpoint that begins with http://".into()));
        }
        let client = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            // The address was judged; another one that a server names was not.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| refused(e.into()))?;
        Ok(HttpClient::new(Client(client)))
    }
}

#[derive(Debug)]
struct Client(reqwest::Client);

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string();
        let sent = self.0.request(parts.method, url).headers(parts.headers).body(reqwest::Body::wrap(body)).send();
        let answer = sent.await.map_err(sort)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = HttpResponseBody::new(reqwest::Body::from(answer).map_err(sort));
        let mut response = HttpResponse::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// What may be tried again: never connected, or idempotent and cut off.
fn sort(error: reqwest::Error) -> HttpError {
    let kind = if error.is_connect() {
        HttpErrorKind::Connect
    } else if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_decode() {
        HttpErrorKind::Decode
    } else {
        HttpErrorKind::Interrupted
    };
    HttpError::new(kind, error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine() {
        for here in ["http://127.0.0.1:7070", "http://localhost:7070/x", "http://[::1]:80", "http://127.8.8.8"] {
            assert_eq!(unsafe_endpoint(Some(here), false), None, "{here}");
        }
        for there in ["http://10.0.0.1:7070", "http://localhost.example", "http://[::2]:1", "http://far.example:80/x"] {
            let why = unsafe_endpoint(Some(there), false).unwrap();
            assert!(why.contains("another machine") && why.contains(PLAIN_HTTP_ENV), "{why}");
            assert_eq!(unsafe_endpoint(Some(there), true), None, "{there}");
        }
        for more in [
            "http://127.0.0.1@far.example:80",
            "http://far.example?@127.0.0.1",
            "http://far.example#@127.0.0.1",
            "http://far.example\\@127.0.0.1",
            "http://u:p@127.0.0.1",
        ] {
            let why = unsafe_endpoint(Some(more), true);
            assert!(why.is_some() || unsafe_endpoint(Some(more), false).is_some(), "{more}");
        }
        for tls in [Some("https://s3.example"), None] {
            assert!(unsafe_endpoint(tls, true).unwrap().contains("TLS"), "allowing plain HTTP makes no TLS");
        }
    }
}
