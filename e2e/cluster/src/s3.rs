//! The object store of a site: an S3 server on the machine of its control plane, with its objects on the site's store disk, so
//! that it is cut off, and full, together with its site. Must not know what is stored.

use crate::machine::Machine;
use crate::program::Program;
use crate::tools::Tools;
use anyhow::{Context, Result};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

/// Its port.
pub const PORT: u16 = 7070;
/// The one bucket of every site: a folder to the server.
const BUCKET: &str = "site";
/// Whom it lets in, and the key: nothing outside of the world can ask, and nothing in it is worth hiding.
const KEYS: (&str, &str) = ("coalition-test", "not-a-secret");

/// How clients reach it. Any pod of the world does, by plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3 {
    /// `http://ADDRESS:PORT`.
    pub endpoint: String,
    /// Its one bucket.
    pub bucket: String,
    /// What AWS tools call `AWS_ACCESS_KEY_ID`.
    pub access_key: String,
    /// What they call `AWS_SECRET_ACCESS_KEY`.
    pub secret_key: String,
    /// Any will do for the server; clients sign with it.
    pub region: String,
}

/// The store at `address`.
pub(crate) fn at(address: Ipv4Addr) -> S3 {
    S3 {
        endpoint: format!("http://{address}:{PORT}"),
        bucket: BUCKET.to_owned(),
        access_key: KEYS.0.to_owned(),
        secret_key: KEYS.1.to_owned(),
        region: "us-east-1".to_owned(),
    }
}

/// The server on `machine`, with an empty bucket. It does not run yet.
pub(crate) fn program(machine: &Machine, tools: &Tools, logs: &Path) -> Result<Program> {
    let data = machine.store().join("s3");
    let bucket = machine.outside(&data).join(BUCKET);
    let iam = machine.folder().join("s3-iam");
    for folder in [&bucket, &iam] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let port = format!(":{PORT}");
    let (data, iam) = (data.display().to_string(), iam.display().to_string());
    // As real stores do; it would close every connection after one answer.
    let args = ["--port", &port, "--health", "/health", "--quiet", "--keep-alive", "--iam-dir", &iam, "posix", &data];
    let args = args.map(str::to_owned).to_vec();
    let program = Program::new("versitygw", &tools.path("versitygw")?, args, logs);
    Ok(program.env("ROOT_ACCESS_KEY_ID", KEYS.0).env("ROOT_SECRET_ACCESS_KEY", KEYS.1))
}
