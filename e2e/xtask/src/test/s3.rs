//! A real S3 server on the loopback address for the store tests: versitygw over a temporary folder, ended with its guard.

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

/// A running server.
pub struct S3 {
    endpoint: String,
    program: PathBuf,
    folder: PathBuf,
    _server: Beside,
}

impl S3 {
    /// Starts `program` on a free port and waits until it answers.
    pub fn start(program: &Path) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("coalition-s3-{}", std::process::id()));
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
            .args(["posix", "--versioning-dir"])
            .arg(folder.join("versions"))
            .arg(folder.join("data"))
            .env("ROOT_ACCESS_KEY_ID", ACCESS_KEY)
            .env("ROOT_SECRET_ACCESS_KEY", SECRET_KEY)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share the log of the S3 server")?)
            .stderr(log);
        let mut server = Beside::start(&mut command, "the S3 server")?;
        server.wait_until("answering", Duration::from_secs(20), || healthy(address)).with_context(|| {
            format!("its log says: {}", fs::read_to_string(folder.join("log")).unwrap_or_default().trim())
        })?;
        Ok(Self { endpoint: format!("http://{address}"), program: program.to_owned(), folder, _server: server })
    }

    /// What the store tests read to find the server.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("COALITION_S3_ENDPOINT", self.endpoint.clone()),
            // Tests of TLS start servers with certificates of their own.
            ("COALITION_S3_SERVER", self.program.display().to_string()),
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
