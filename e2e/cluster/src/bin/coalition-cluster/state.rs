//! What `up` leaves for `shell` and `down`: who serves the cluster, and how to reach it. Whoever serves holds a lock, so a
//! file that a killed one left deceives nobody.

use anyhow::{Context, Result};
use coalition_cluster::wait;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For how long the lock is tried: others look for microseconds.
const LOOKS: Duration = Duration::from_secs(1);

/// A served cluster.
#[derive(Serialize, Deserialize)]
pub struct State {
    /// How many nodes it has, in words.
    pub size: String,
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

/// What there is in a folder.
pub enum Found {
    /// Nothing.
    Nothing,
    /// Somebody starts a cluster.
    Starting(Server),
    /// One is up.
    Up(Box<State>),
}

/// Who serves a cluster, from before it is up: written into the lock file, where it stays when its writer is killed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Its process.
    pub pid: u32,
    /// The folder of its world, once there is one.
    pub folder: Option<PathBuf>,
}

impl Server {
    /// Who served last, or does; nobody before the first.
    pub fn last(folder: &Path) -> Self {
        let text = fs::read_to_string(folder.join("lock")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Asks it to end. Only for one who holds the lock: so it lives, and the number is its own.
    pub fn tell_to_end(&self) -> Result<()> {
        let pid = Pid::from_raw(self.pid.cast_signed()).context("nobody has said who starts it: try again")?;
        kill_process(pid, Signal::TERM).with_context(|| format!("process {} cannot be told to end", self.pid))
    }
}

/// The lock of whoever serves. It is given back when this is dropped, however that comes.
pub struct Guard {
    file: File,
    server: Server,
}

impl Guard {
    /// Takes it.
    pub fn take(folder: &Path) -> Result<Self> {
        // Who only looks has it for a moment.
        let file = wait::until("the lock", LOOKS, || lock(folder, FlockOperation::NonBlockingLockExclusive));
        let taken = || format!("another program serves a cluster in {}", folder.display());
        let guard = Self { file: file.with_context(taken)?, server: Server { pid: std::process::id(), folder: None } };
        guard.write()?;
        remove(folder)?;
        Ok(guard)
    }

    /// Notes where its world is, for whoever has to remove it if this program is killed.
    pub fn note(&mut self, world: &Path) -> Result<()> {
        self.server.folder = Some(world.to_owned());
        self.write()
    }

    fn write(&self) -> Result<()> {
        let text = serde_json::to_string(&self.server).context("two fields are always JSON")?;
        self.file.set_len(0).and_then(|()| self.file.write_all_at(text.as_bytes(), 0)).context("cannot write the lock")
    }
}

fn lock(folder: &Path, how: FlockOperation) -> Result<Option<File>> {
    let path = folder.join("lock");
    let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
    let file = file.with_context(|| format!("cannot make the lock {}", path.display()))?;
    match flock(&file, how) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Removes the files that say how to reach a cluster.
pub fn remove(folder: &Path) -> Result<()> {
    for name in ["state.json", "kubeconfig"] {
        match fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {name}"));
            }
            _ => {}
        }
    }
    Ok(())
}

impl State {
    /// What there is in `folder`.
    pub fn find(folder: &Path) -> Result<Found> {
        // Shared: two that only look do not take each other for one who serves.
        if !folder.is_dir() || lock(folder, FlockOperation::NonBlockingLockShared)?.is_some() {
            return Ok(Found::Nothing);
        }
        // Not there yet while it starts; written by renaming, so never half.
        let Ok(text) = fs::read_to_string(folder.join("state.json")) else {
            return Ok(Found::Starting(Server::last(folder)));
        };
        let state = serde_json::from_str(&text).context("state.json is damaged: end the cluster's process by hand")?;
        Ok(Found::Up(Box::new(state)))
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

    fn state() -> State {
        State {
            size: String::new(),
            world: 2,
            inside: "/in".into(),
            outside: "/out".into(),
            search_path: "/bin".into(),
            folder: "/f".into(),
            s3: BTreeMap::new(),
        }
    }

    #[test]
    fn only_who_holds_the_lock_is_up() {
        let dir = tempfile::tempdir().unwrap();
        let find = || State::find(dir.path()).unwrap();
        assert!(matches!(find(), Found::Nothing));
        let mut held = Guard::take(dir.path()).unwrap();
        let me = Server { pid: std::process::id(), folder: None };
        assert!(matches!(find(), Found::Starting(server) if server == me));
        held.note(Path::new("/world")).unwrap();
        state().write(dir.path()).unwrap();
        assert!(matches!(find(), Found::Up(state) if state.world == 2));
        assert!(Guard::take(dir.path()).is_err());
        drop(held);
        assert!(matches!(find(), Found::Nothing), "a file that a killed one left");
        assert_eq!(Server::last(dir.path()).folder.as_deref(), Some(Path::new("/world")), "it is known what it left");
        assert!(Guard::take(dir.path()).is_ok());
        assert_eq!(Server::last(dir.path()).folder, None);
    }
}
