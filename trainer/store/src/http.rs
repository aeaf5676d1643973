//! The HTTP client of object stores: hyper with rustls and ring. Knows nothing of S3 nor of what is stored.
//!
//! `object_store` can bring a client of its own, but only together with a TLS stack whose provider every HTTP client of the
//! process would then have to install before use. So the client is handed in, with its provider and its roots.
use std::error::Error as StdError;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::{ClientOptions, Error};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// A request may take so long until its answer begins: a put of 256 MiB over 10 Mbit/s takes 3.6 minutes.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(5);
/// Connecting may take so long, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection on which nothing moved for so long is given up, also in the midst of an answer. Servers that make a put
/// durable before they answer take seconds.
const SILENCE: Duration = Duration::from_mins(1);

/// What servers must prove, for connections with TLS: a certificate by an authority that this machine trusts (or, where it
/// names none, as in an image without any, by one of Mozilla's list), or by one in `ca_file`. An error says what to do.
pub fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let here = rustls_native_certs::load_native_certs();
    for e in &here.errors {
        tracing::debug!("a certificate of this machine was passed by: {e}");
    }
    roots.add_parsable_certificates(here.certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if let Some(file) = ca_file {
        add(&mut roots, file)?;
    }
    config(roots)
}

/// Trusts nobody: for plain HTTP.
pub fn no_tls() -> Result<ClientConfig, String> {
    config(RootCertStore::empty())
}

fn config(roots: RootCertStore) -> Result<ClientConfig, String> {
    // The provider is named here, so nothing depends on which one the process has installed.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| format!("TLS cannot be set up: {e}"))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn add(roots: &mut RootCertStore, file: &Path) -> Result<(), String> {
    let bad = |what: String| {
        format!(
            "the file of certificate authorities {}: {what}; name one with certificates in PEM form",
            file.display()
        )
    };
    let mut found = 0;
    for certificate in CertificateDer::pem_file_iter(file).map_err(|e| bad(e.to_string()))? {
        let certificate = certificate.map_err(|e| bad(e.to_string()))?;
        roots.add(certificate).map_err(|e| bad(format!("its certificate {found} is not usable: {e}")))?;
        found += 1;
    }
    if found == 0 { Err(bad("it holds no certificate".to_owned())) } else { Ok(()) }
}

/// Makes clients for `object_store`. Without its `AllowHttp` they speak TLS only.
#[derive(Debug)]
pub struct Connector(pub ClientConfig);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let plain = options.get_config_value(&ClientConfigKey::AllowHttp).as_deref() == Some("true");
        let mut tcp = TcpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let builder = HttpsConnectorBuilder::new().with_tls_config(self.0.clone());
        let builder = if plain { builder.https_or_http() } else { builder.https_only() };
        let mut connector = TimeoutConnector::new(builder.enable_http1().wrap_connector(tcp));
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_read_timeout(Some(SILENCE));
        connector.set_write_timeout(Some(SILENCE));
        // While a put is sent the server rightly says nothing.
        connector.set_reset_reader_on_write(true);
        let client = legacy::Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        // No proxy and no redirects: the address was judged, another one that somebody names was not.
        Ok(HttpClient::new(Client(client)))
    }
}

#[derive(Debug)]
struct Client(legacy::Client<TimeoutConnector<HttpsConnector<TcpConnector>>, HttpRequestBody>);

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, self.0.request(request)).await;
        let answer = answer.map_err(|e| HttpError::new(HttpErrorKind::Timeout, e))?;
        let answer = answer.map_err(|e| {
            let kind = if e.is_connect() { HttpErrorKind::Connect } else { sort(&e) };
            HttpError::new(kind, e)
        })?;
        Ok(answer.map(|body| HttpResponseBody::new(body.map_err(|e| HttpError::new(sort(&e), e)))))
    }
}

/// What may be tried again: an idempotent request that was cut off, or never answered.
fn sort(error: &(dyn StdError + 'static)) -> HttpErrorKind {
    let mut cause = Some(error);
    while let Some(e) = cause {
        if e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::TimedOut) {
            return HttpErrorKind::Timeout;
        }
        cause = e.source();
    }
    HttpErrorKind::Interrupted
}

/// `object_store`'s error for a client that cannot be made.
pub fn refused(why: String) -> Error {
    Error::Generic { store: "S3", source: why.into() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        for (text, what) in [("", "no certificate"), ("-----BEGIN CERTIFICATE-----\nx", "ca.pem")] {
            std::fs::write(&file, text).unwrap();
            let why = tls(Some(&file)).unwrap_err();
            assert!(why.contains(what) && why.contains("ca.pem") && why.contains("PEM"), "{why}");
        }
        assert!(tls(Some(&dir.path().join("none"))).unwrap_err().contains("none"));
    }
}
