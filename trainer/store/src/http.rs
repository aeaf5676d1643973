//! How S3 requests travel: over plain HTTP with the workspace's HTTP client. Knows nothing of S3.
//!
//! `object_store` can bring a client of its own, but only together with a TLS stack whose provider every HTTP client of the
//! process would then have to install before use. No store of this version lies behind TLS, so the client is handed in,
//! and TLS later replaces this file.
use async_trait::async_trait;
use http_body_util::BodyExt;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::{ClientOptions, Error};

use crate::store::{CONNECT_TIMEOUT, REQUEST_TIMEOUT};

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
