//! S3 servers behind TLS, with certificates that nobody else knows: believed where they are named, for the address they are for;
//! refused everywhere else.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coalition_protocol::Digest;
use coalition_store::{Location, S3, Store, StoreError};

/// A server of this test's own, ended with it.
struct Server {
    endpoint: String,
    dir: tempfile::TempDir,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server whose certificate is for 127.0.0.1 and vouches for itself; says loudly if there is no program for it.
fn server() -> Option<Server> {
    let Ok(program) = std::env::var("COALITION_S3_SERVER") else {
        eprintln!("SKIPPED: no S3 server: COALITION_S3_SERVER is not set (cargo xtask test sets it)");
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let made = certificate(&dir.path().join("ca.pem"));
    std::fs::write(path("key.pem"), made.serialize_pem()).unwrap();
    for folder in ["iam", "data/bucket"] {
        std::fs::create_dir_all(path(folder)).unwrap();
    }
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let log = std::fs::File::create(path("log")).unwrap();
    let child = Command::new(program)
        .args(["--quiet", "--port", &address.to_string(), "--cert"])
        .arg(path("ca.pem"))
        .arg("--key")
        .arg(path("key.pem"))
        .arg("--iam-dir")
        .arg(path("iam"))
        .arg("posix")
        .arg(path("data"))
        .env("ROOT_ACCESS_KEY_ID", "id")
        .env("ROOT_SECRET_ACCESS_KEY", "secret")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let server = Server { endpoint: format!("https://{address}"), dir, child };
    let end = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).is_err() {
        let log = || std::fs::read_to_string(server.dir.path().join("log")).unwrap_or_default();
        assert!(Instant::now() < end, "waited 20 s for the S3 server; its log says: {}", log());
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(server)
}

/// Writes a certificate for 127.0.0.1; gives its key.
fn certificate(to: &Path) -> rcgen::KeyPair {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(to, made.cert.pem()).unwrap();
    made.signing_key
}

fn store(endpoint: &str, ca_file: Option<PathBuf>) -> Result<Store, StoreError> {
    Store::open(&Location::S3(S3 {
        endpoint: Some(endpoint.to_owned()),
        bucket: "bucket".to_owned(),
        prefix: "some/where".to_owned(),
        region: "us-east-1".to_owned(),
        credentials: Some(("id".to_owned(), "secret".to_owned())),
        plain_http: false,
        ca_file,
    }))
}

#[tokio::test]
async fn a_server_that_is_vouched_for_serves() {
    let Some(server) = server() else { return };
    let s = store(&server.endpoint, Some(server.dir.path().join("ca.pem"))).unwrap();
    // More than a TLS record and more than one answer's buffer.
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    s.put_new("a/large", bytes.clone()).await.unwrap();
    assert!(matches!(s.put_new("a/large", "x").await, Err(StoreError::AlreadyExists { .. })));
    assert_eq!(s.get_verified("a/large", 1 << 30, Digest::of(&bytes)).await.unwrap(), bytes);
    assert_eq!(s.get_range("a/large", 4_999_990, 10).await.unwrap(), bytes[4_999_990..]);
    let mut parts = Vec::new();
    let read = s.read_parts::<StoreError>("a/large", 1 << 30, |part| {
        parts.extend_from_slice(part);
        Ok(())
    });
    assert_eq!(read.await.unwrap(), (5_000_000, Digest::of(&bytes)));
    assert!(parts == bytes && s.list("a").await.unwrap().len() == 1);
    let small = s.read_parts::<StoreError>("a/large", 4_999_999, |_| panic!("read beyond the limit")).await;
    assert!(matches!(small, Err(StoreError::TooLarge { .. })), "{small:?}");
    s.delete("a/large").await.unwrap();
    assert!(!s.exists("a/large").await.unwrap());
}

#[tokio::test]
async fn a_server_that_nobody_trusted_vouches_for_is_refused() {
    let Some(server) = server() else { return };
    let other = server.dir.path().join("other.pem");
    certificate(&other);
    for ca_file in [None, Some(other)] {
        let e = store(&server.endpoint, ca_file).unwrap().get("a", 1).await.unwrap_err();
        assert!(matches!(e, StoreError::Unreachable { .. }) && e.exit_code() == 75, "{e:?}");
        let said = e.to_string();
        assert!(said.contains("invalid peer certificate") && said.contains("COALITION_CA_FILE"), "{said}");
    }
    // Its certificate is for 127.0.0.1: under another name it is not the one that was asked for.
    let elsewhere = server.endpoint.replace("127.0.0.1", "localhost");
    let e = store(&elsewhere, Some(server.dir.path().join("ca.pem"))).unwrap().get("a", 1).await.unwrap_err();
    assert!(e.to_string().contains("not valid for name"), "{e}");
}

#[test]
fn a_bad_file_of_authorities_is_named() {
    let e = store("https://127.0.0.1:1", Some("/nowhere/ca.pem".into())).unwrap_err();
    assert!(matches!(e, StoreError::BadLocation { .. }) && e.exit_code() == 64, "{e}");
    assert!(e.to_string().contains("/nowhere/ca.pem"), "{e}");
}
