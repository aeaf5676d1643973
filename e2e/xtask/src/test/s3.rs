//! Real S3 servers on the loopback address for the store tests: versitygw over temporary folders, one with plain HTTP and one
//! behind TLS, ended with their guard.

use crate::proc::Beside;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Whom the server lets in: it listens on the loopback address only and holds nothing but what tests write.
const ACCESS_KEY: &str = "coalition-test";
/// The key to that: nothing is worth hiding.
const SECRET_KEY: &str = "not-a-secret";
/// The one bucket; the server's folder backend takes a folder as a bucket.
const BUCKET: &str = "conformance";

/// The running servers.
pub struct S3 {
    plain: SocketAddr,
    tls: SocketAddr,
    folder: PathBuf,
    _servers: [Beside; 2],
}

impl S3 {
    /// Starts `program` twice on free ports and waits until both answer.
    pub fn start(program: &Path) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("coalition-s3-{}", std::process::id()));
        let certificate = certificate(&folder)?;
        let (plain, first) = serve(program, &folder.join("plain"), &[])?;
        let (tls, second) = serve(program, &folder.join("tls"), &certificate)?;
        Ok(Self { plain, tls, folder, _servers: [first, second] })
    }

    /// What the store tests read to find the server.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("COALITION_S3_ENDPOINT", format!("http://{}", self.plain)),
            ("COALITION_S3_TLS_ENDPOINT", format!("https://{}", self.tls)),
            ("COALITION_S3_TLS_CA", self.folder.join(CERTIFICATE).display().to_string()),
            ("COALITION_S3_BUCKET", BUCKET.to_owned()),
            ("COALITION_S3_REGION", "us-east-1".to_owned()),
            ("COALITION_S3_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("COALITION_S3_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ]
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        // The temporary folder of a server nobody uses any more; left behind it would only take space.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// File of the certificate, which vouches for itself: to name it is to trust this one server.
const CERTIFICATE: &str = "server.pem";

/// Makes the certificate of the server behind TLS, for the loopback address; gives the server's options.
fn certificate(folder: &Path) -> Result<Vec<String>> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let made =
        rcgen::generate_simple_self_signed([Ipv4Addr::LOCALHOST.to_string()]).context("cannot make a certificate")?;
    let (certificate, key) = (folder.join(CERTIFICATE), folder.join("server.key"));
    fs::write(&certificate, made.cert.pem()).context("cannot write the certificate")?;
    fs::write(&key, made.signing_key.serialize_pem()).context("cannot write the certificate's key")?;
    Ok(vec!["--cert".to_owned(), certificate.display().to_string(), "--key".to_owned(), key.display().to_string()])
}

/// Starts one server over `folder` and waits until it answers.
fn serve(program: &Path, folder: &Path, more: &[String]) -> Result<(SocketAddr, Beside)> {
    for part in ["data", "iam", "versions"] {
        fs::create_dir_all(folder.join(part)).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::create_dir_all(folder.join("data").join(BUCKET)).context("cannot make the bucket")?;
    let address = free_address()?;
    let log = File::create(folder.join("log")).context("cannot make the log of the S3 server")?;
    let mut command = Command::new(program);
    command
        .args(["--port", &address.to_string(), "--health", "/health", "--quiet", "--iam-dir"])
        .arg(folder.join("iam"))
        .args(more)
        .args(["posix", "--versioning-dir"])
        .arg(folder.join("versions"))
        .arg(folder.join("data"))
        .env("ROOT_ACCESS_KEY_ID", ACCESS_KEY)
        .env("ROOT_SECRET_ACCESS_KEY", SECRET_KEY)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("cannot share the log of the S3 server")?)
        .stderr(log);
    let mut server = Beside::start(&mut command, "the S3 server")?;
    // What answers behind TLS is for the tests to find out: here a port that is open is enough.
    let up = || if more.is_empty() { healthy(address) } else { TcpStream::connect(address).is_ok() };
    server.wait_until("answering", Duration::from_secs(20), up).with_context(|| {
        format!("its log says: {}", fs::read_to_string(folder.join("log")).unwrap_or_default().trim())
    })?;
    Ok((address, server))
}

/// An address that was free a moment ago. Whoever takes it in between makes the server's start fail loudly.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on the loopback address")?;
    listener.local_addr().context("the free port has no address")
}

fn healthy(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(500))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
