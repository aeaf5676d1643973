//! An S3 server behind TLS, with a certificate of an authority that nobody else knows: believed where that authority is
//! named, by name and not by luck; refused everywhere else.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use std::path::PathBuf;

use coalition_protocol::Digest;
use coalition_store::{Location, S3, Store, StoreError};

/// The server behind TLS and its authority's certificate; says loudly if there is none.
fn server(ca_file: impl FnOnce(PathBuf) -> Option<PathBuf>) -> Option<S3> {
    let Some(Location::S3(plain)) = common::s3_from_environment() else { return None };
    let var = |name: &str| std::env::var(name).unwrap();
    let endpoint = Some(var("COALITION_S3_TLS_ENDPOINT"));
    Some(S3 { endpoint, ca_file: ca_file(var("COALITION_S3_TLS_CA").into()), ..plain })
}

#[tokio::test]
async fn a_server_that_a_named_authority_vouches_for_serves() {
    let Some(s3) = server(Some) else { return };
    let s = Store::open(&Location::S3(s3)).unwrap();
    // More than a TLS record and more than one answer's buffer.
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    s.put_new("a/large", bytes.clone()).await.unwrap();
    assert!(matches!(s.put_new("a/large", "x").await, Err(StoreError::AlreadyExists { .. })));
    assert_eq!(s.get_verified("a/large", 1 << 30, Digest::of(&bytes)).await.unwrap(), bytes);
    assert_eq!(s.get_range("a/large", 4_999_990, 10).await.unwrap(), bytes[4_999_990..]);
    assert_eq!(s.list("a").await.unwrap().len(), 1);
    s.delete("a/large").await.unwrap();
    assert!(!s.exists("a/large").await.unwrap());
}

#[tokio::test]
async fn a_server_that_nobody_trusted_vouches_for_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&other, rcgen::CertificateParams::default().self_signed(&key).unwrap().pem()).unwrap();
    for ca_file in [None, Some(other)] {
        let Some(s3) = server(|_| ca_file) else { return };
        let s = Store::open(&Location::S3(s3)).unwrap();
        let e = s.get("a", 1).await.unwrap_err();
        assert!(matches!(e, StoreError::Unreachable { .. }) && e.exit_code() == 75, "{e:?}");
        let said = e.to_string();
        assert!(said.contains("invalid peer certificate") && said.contains("COALITION_CA_FILE"), "{said}");
    }
}

/// The certificate is for 127.0.0.1; the same server under another name is not the one that was asked for.
#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let Some(mut s3) = server(Some) else { return };
    s3.endpoint = s3.endpoint.map(|e| e.replace("127.0.0.1", "localhost"));
    let s = Store::open(&Location::S3(s3)).unwrap();
    let e = s.get("a", 1).await.unwrap_err().to_string();
    assert!(e.contains("not valid for name") || e.contains("NotValidForName"), "{e}");
}

#[test]
fn a_bad_file_of_authorities_is_named() {
    let s3 = S3 {
        endpoint: Some("https://127.0.0.1:1".to_owned()),
        bucket: "bucket".to_owned(),
        prefix: String::new(),
        region: "us-east-1".to_owned(),
        credentials: Some(("id".to_owned(), "secret".to_owned())),
        plain_http: false,
        ca_file: Some("/nowhere/ca.pem".into()),
    };
    let e = Store::open(&Location::S3(s3)).unwrap_err();
    assert!(matches!(e, StoreError::BadLocation { .. }) && e.exit_code() == 64, "{e}");
    assert!(e.to_string().contains("/nowhere/ca.pem"), "{e}");
}
