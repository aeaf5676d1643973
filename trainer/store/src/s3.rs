//! An S3 bucket: where it may lie, and how it is opened. Knows nothing of what is stored, nor of TLS beyond that it must be.
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, RetryConfig};
use url::Url;

use crate::http::{self, Connector, refused};
use crate::location::S3;

/// Retries of one call inside the client; beyond that the caller decides.
const RETRIES: usize = 3;
/// All retries of one call together.
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);

/// Environment variable that allows an endpoint on another machine over plain HTTP, when it is `1`: for a network that nobody
/// else can listen on, such as a tunnel.
pub const PLAIN_HTTP_ENV: &str = "COALITION_S3_PLAIN_HTTP";

/// Why `endpoint` must not be used, if so: requests are signed, but over plain HTTP what they carry can be read and changed on
/// the way. Absent means AWS.
fn unsafe_endpoint(endpoint: Option<&str>, allowed: bool) -> Option<String> {
    let endpoint = endpoint?;
    let write = "write https://HOST:PORT, or http://127.0.0.1:7070 for one on this machine";
    let url = match Url::parse(endpoint) {
        Ok(url) => url,
        Err(e) => return Some(format!("{endpoint} is no address ({e}): {write}")),
    };
    if url.scheme() != "https" && url.scheme() != "http" {
        return Some(format!("{endpoint} speaks neither HTTPS nor HTTP: {write}"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Some(format!("{endpoint} says more than host, port and path: {write}"));
    }
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let here = host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|a| a.is_loopback());
    (url.scheme() == "http" && !here && !allowed).then(|| {
        format!(
            "{host} is another machine, and plain HTTP shows everything to those on the way: name an address that begins with \
             https://; or set {PLAIN_HTTP_ENV}=1 if nobody can listen between"
        )
    })
}

/// Opens a bucket.
pub fn open(s3: &S3) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    if let Some(why) = unsafe_endpoint(s3.endpoint.as_deref(), s3.plain_http) {
        return Err(refused(why));
    }
    let plain = s3.endpoint.as_ref().is_some_and(|e| e.starts_with("http://"));
    let tls = if plain { http::no_tls() } else { http::tls(s3.ca_file.as_deref()) };
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::from_env()
        .with_http_connector(Connector(tls.map_err(refused)?))
        .with_retry(retry)
        .with_bucket_name(&s3.bucket)
        .with_region(&s3.region)
        .with_allow_http(plain)
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    if let Some(endpoint) = &s3.endpoint {
        builder = builder.with_endpoint(endpoint).with_virtual_hosted_style_request(false);
    }
    if let Some((id, secret)) = &s3.credentials {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    }
    let bucket = builder.build()?;
    if s3.prefix.is_empty() { Ok(Arc::new(bucket)) } else { Ok(Arc::new(PrefixStore::new(bucket, s3.prefix.as_str()))) }
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
            "https://u:p@far.example",
        ] {
            let why = unsafe_endpoint(Some(more), true);
            assert!(why.is_some() || unsafe_endpoint(Some(more), false).is_some(), "{more}");
        }
        for tls in [Some("https://s3.example"), Some("https://10.0.0.1:7070/x"), None] {
            assert_eq!(unsafe_endpoint(tls, false), None, "{tls:?}");
        }
        for other in ["ftp://s3.example", "s3.example", "localhost:7070"] {
            assert!(unsafe_endpoint(Some(other), true).unwrap().contains("https://HOST:PORT"), "{other}");
        }
    }
}
