//! Everything the real clusters of the tests need: pinned Go programs, Debian packages, the pods' sandbox. Without root there
//! are no clusters, and nothing is built for them.

use super::{debian, go};
use crate::build::root;
use crate::cache::{Cache, key};
use crate::{proc, say};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The variable by which `coalition-cluster` finds its programs.
pub const VARIABLE: &str = "COALITION_CLUSTER_TOOLS";

/// The program that is every pod's sandbox.
const PAUSE: &str = "e2e/cluster/src/bin/pause.rs";

/// Why there can be no clusters here, if so.
pub fn impossible() -> Option<&'static str> {
    if !cfg!(target_os = "linux") {
        return Some("real clusters need Linux");
    }
    (!rustix::process::geteuid().is_root()).then_some("real clusters need root, for namespaces and containers")
}

/// Builds and installs what is missing, and returns the folders of the programs.
pub fn install(cache: &Cache) -> Result<Vec<PathBuf>> {
    debian::install()?;
    let mut folders = Vec::new();
    for family in [&go::ETCD, &go::KUBERNETES, &go::KWOK, &go::S3, &go::HELM] {
        folders.push(go::install(cache, family)?);
    }
    folders.push(pause(cache)?);
    Ok(folders)
}

/// The folders as the variable holds them.
pub fn value(folders: &[PathBuf]) -> Result<OsString> {
    std::env::join_paths(folders).context("a folder of the cache has a `:` in its name: set COALITION_CACHE to another")
}

/// Builds the sandbox alone, so that it is static: it is the only file of its image.
fn pause(cache: &Cache) -> Result<PathBuf> {
    let source = root().join(PAUSE);
    let text = fs::read(&source).with_context(|| format!("cannot read {PAUSE}"))?;
    let name = format!("pause-{}", key([text.as_slice()]));
    cache.install(&name, &name, |at| {
        say::line("building pause, the sandbox of pods (seconds)");
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc
            .args(["--edition", "2024", "-C", "opt-level=s", "-C", "panic=abort", "-C", "strip=symbols"])
            .args(["-C", "target-feature=+crt-static", "-o"])
            .arg(at.join("pause"))
            .arg(&source)
            .current_dir(root());
        proc::run(&mut rustc, "build pause").context("a static program needs libc.a: apt-get install libc6-dev")
    })
}
