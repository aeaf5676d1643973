//! What `up` leaves for `shell` and `down`: who serves the cluster, and how to reach it. Whoever serves holds a lock, so a
//! file that a killed one left deceives nobody.

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};

/// A served cluster.
#[derive(Serialize, Deserialize)]
pub struct State {
    /// Who serves it.
    pub pid: u32,
    /// The first process of its world.
    pub world: i32,
    /// The kubeconfig for use inside the world.
    pub inside: PathBuf,
    /// The kubeconfig for use outside, by the loopback address.
    pub outside: PathBuf,
    /// Where kubectl, helm and the others lie.
    pub search_path: String,
    /// Its logs and files.
    pub folder: PathBuf,
    /// What a shell is told of its S3 server, as AWS tools name it.
    pub s3: BTreeMap<String, String>,
}

/// Takes the lock of whoever serves. It is given back when the file is closed, however that comes.
pub fn take(folder: &Path) -> Result<File> {
    match lock(folder, FlockOperation::NonBlockingLockExclusive)? {
        Some(held) => {
            remove(folder)?;
            Ok(held)
        }
        None => bail!("another program serves a cluster in {}: `cargo xtask cluster down` ends it", folder.display()),
    }
}

fn lock(folder: &Path, how: FlockOperation) -> Result<Option<File>> {
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot make the lock {}", path.display()))?;
    match flock(&file, how) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Removes the file that says how to reach a cluster.
pub fn remove(folder: &Path) -> Result<()> {
    match fs::remove_file(folder.join("state.json")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("cannot remove state.json"),
        _ => Ok(()),
    }
}

impl State {
    /// What is up in `folder`, if something is.
    pub fn of_running(folder: &Path) -> Result<Option<Self>> {
        // Shared: two that only look do not take each other for one who serves.
        if !folder.is_dir() || lock(folder, FlockOperation::NonBlockingLockShared)?.is_some() {
            return Ok(None);
        }
        // Not there yet while it starts; written by renaming, so never half.
        let Ok(text) = fs::read_to_string(folder.join("state.json")) else { return Ok(None) };
        serde_json::from_str(&text).map(Some).context("state.json is damaged: end the cluster's process by hand")
    }

    /// Writes it into `folder`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("a state is always JSON")?;
        let fresh = folder.join("state.json.new");
        fs::write(&fresh, text).with_context(|| format!("cannot write {}", fresh.display()))?;
        fs::rename(&fresh, folder.join("state.json")).context("cannot rename state.json")
    }

    /// Tells a person how to reach it.
    pub fn explain(&self) {
        println!("export KUBECONFIG={}", self.outside.display());
        println!("cargo xtask cluster shell                      # a shell in its network, with kubectl and helm");
        println!("cargo xtask cluster shell kubectl get nodes    # one command there");
        println!("cargo xtask cluster down                       # end it");
        if let (Some(at), Some(bucket)) = (self.s3.get("AWS_ENDPOINT_URL"), self.s3.get("COALITION_CLUSTER_BUCKET")) {
            println!("\nS3 inside: {at}, bucket {bucket}; the keys are in the environment of the shell");
        }
        println!("\nfiles and logs: {}", self.folder.display());
    }

    /// Asks whoever serves it to end it.
    pub fn tell_to_end(&self) -> Result<()> {
        // It holds the lock, so it lives, and the number is its own.
        let pid = Pid::from_raw(self.pid.cast_signed()).context("state.json names no process")?;
        kill_process(pid, Signal::TERM).with_context(|| format!("process {} cannot be told to end", self.pid))
    }
}

/// Returns when this program is told to end.
pub async fn told_to_end() -> Result<()> {
    let mut term = signal(SignalKind::terminate()).context("no handler for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("no handler for SIGINT")?;
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}

/// Writes a copy of the kubeconfig at `inside` that goes by the loopback `port`; returns its path.
pub fn outside_kubeconfig(folder: &Path, inside: &Path, port: u16) -> Result<PathBuf> {
    let text = fs::read_to_string(inside).with_context(|| format!("cannot read {}", inside.display()))?;
    let mut config: Value = serde_json::from_str(&text).context("our own kubeconfig is JSON")?;
    config["clusters"][0]["cluster"]["server"] = format!("https://127.0.0.1:{port}").into();
    let path = std::path::absolute(folder.join("kubeconfig")).context("the state folder has no absolute path")?;
    fs::write(&path, format!("{config:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_holds_the_lock_is_up() {
        let dir = tempfile::tempdir().unwrap();
        let state = State {
            pid: 1,
            world: 2,
            inside: "/in".into(),
            outside: "/out".into(),
            search_path: "/bin".into(),
            folder: "/f".into(),
            s3: BTreeMap::new(),
        };
        let held = take(dir.path()).unwrap();
        assert!(State::of_running(dir.path()).unwrap().is_none(), "it is still starting");
        state.write(dir.path()).unwrap();
        assert_eq!(State::of_running(dir.path()).unwrap().unwrap().world, 2);
        assert!(take(dir.path()).is_err());
        drop(held);
        assert!(State::of_running(dir.path()).unwrap().is_none(), "a file that a killed one left");
    }
}
