//! A world: one network without a way out, in which clusters stand side by side, and which ends with whoever started it.
//!
//! Must not know what a cluster is made of. Addresses: the world itself 10.77.0.1, machine N 10.77.N.2, its pods
//! 10.244.N.0/24. Tests run on threads that have entered its network ([`World::run`]).

use crate::cluster::Cluster;
use crate::namespaces::{self, Namespaces};
use crate::spec::Spec;
use crate::tools::{self, Tools};
use crate::{cgroups, process};
use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// Machines a world may have: each costs a route at every other, and inotify instances (128 a user) that kubelets share.
pub const MACHINES: u8 = 24;
/// If it is set, the files of a world stay after its end, until the next world begins.
pub const KEEP: &str = "COALITION_KEEP_WORLD";
/// The world's own address: where tests are, and what they serve.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// A running world. Clones are the same world; it ends with the last of them and the last of its clusters.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) realm: Arc<Realm>,
}

/// What clusters and machines share of their world.
#[derive(Debug)]
pub(crate) struct Realm {
    pub id: String,
    pub folder: PathBuf,
    pub tools: Tools,
    namespaces: Namespaces,
    machines: AtomicU8,
    clusters: AtomicU8,
    /// Held as long as this world is somebody's: a later run takes whatever is unlocked for a leftover.
    _lock: File,
}

impl World {
    /// Starts an empty world, after removing what worlds of killed programs left.
    pub fn start() -> Result<Self> {
        if let Some(why) = tools::missing() {
            bail!("no cluster can be started here: {why}");
        }
        let base = base()?;
        let guard = lock(&base.join("lock"), FlockOperation::LockExclusive)?.context("a waiting lock is always had")?;
        remove_leftovers(&base)?;
        let id = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = base.join(&id);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let held = lock(&folder.join("lock"), FlockOperation::NonBlockingLockExclusive)?
            .with_context(|| format!("{} is somebody else's", folder.display()))?;
        drop(guard);
        let network = format!("ip link add wan0 type bridge\nip addr add {ADDRESS}/16 dev wan0\nip link set wan0 up");
        let namespaces = Namespaces::start(&format!("world {id}"), None, &network)?;
        let pid = namespaces.pid();
        let started = process::seen(pid).context("the world ended at once")?.started;
        write(&folder.join("init"), &format!("{pid} {started}\n"))?;
        let (machines, clusters) = (AtomicU8::new(1), AtomicU8::new(1));
        let tools = Tools::find();
        Ok(Self { realm: Arc::new(Realm { id, folder, tools, namespaces, machines, clusters, _lock: held }) })
    }

    /// The same for a test: where no world can be, says `SKIPPED: reason`, which the gate counts, and gives none.
    pub fn start_or_skip() -> Result<Option<Self>> {
        if let Some(why) = tools::missing() {
            println!("SKIPPED: {why}");
            return Ok(None);
        }
        Self::start().map(Some)
    }

    /// Removes a world whose owner was killed, by its folder; false if it is somebody's. The next [`World::start`] does the same
    /// with all of them.
    pub fn remove_leftover(folder: &Path) -> Result<bool> {
        let _guard = lock(&base()?.join("lock"), FlockOperation::LockExclusive)?;
        remove_leftover(folder)
    }

    /// Starts a cluster and waits until it is ready.
    pub fn cluster(&self, spec: Spec) -> Result<Cluster> {
        Cluster::start(self, spec)
    }

    /// Runs `work` in the world's network, on a runtime of its own. Clients made in it end with it.
    pub fn run<T: Send>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        run_at(self.pid(), work)
    }

    /// Moves the calling thread, and what it starts from now on, into the world's network.
    pub fn enter(&self) -> Result<()> {
        self.realm.namespaces.enter_network()
    }

    /// The same for a world that another program started, by the number of its first process.
    pub fn enter_by(pid: i32) -> Result<()> {
        namespaces::enter_network(pid)
    }

    /// A command that runs inside the world and ends with it. Paths must be absolute.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> std::process::Command {
        self.realm.namespaces.command(program)
    }

    /// The number of its first process: `nsenter --target PID --net` enters its network.
    pub fn pid(&self) -> i32 {
        self.realm.namespaces.pid()
    }

    /// Where its files are; they end with it.
    pub fn folder(&self) -> &Path {
        &self.realm.folder
    }

    /// Where its programs lie.
    pub fn tools(&self) -> &Tools {
        &self.realm.tools
    }
}

/// Runs `work` on a fresh runtime whose threads see the network of the process `pid`.
pub(crate) fn run_at<T: Send>(pid: i32, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
    namespaces::inside(pid, || {
        // Two threads: as many as the machine of CI has cores.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .on_thread_start(move || {
                // Threads inherit the network of whoever starts them, which need not be one of ours.
                if let Err(error) = namespaces::enter_network(pid) {
                    eprintln!("warning: a thread is outside: {error:#}");
                }
            })
            .build()
            .context("no runtime")?;
        runtime.block_on(work)
    })
}

/// Tells the worlds of one program apart.
static NEXT: AtomicU32 = AtomicU32::new(0);

impl Realm {
    /// The namespaces of the world itself.
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// A number that no other machine of this world has.
    pub fn next_machine(&self) -> Result<u8> {
        let number = self.machines.fetch_add(1, Ordering::Relaxed);
        if number > MACHINES {
            bail!(
                "a world has at most {MACHINES} machines (control planes and nodes): end a cluster or use two worlds"
            );
        }
        Ok(number)
    }

    /// A number that no other cluster of this world has.
    pub fn next_cluster(&self) -> u8 {
        self.clusters.fetch_add(1, Ordering::Relaxed)
    }

    /// What the control groups of this world begin with.
    pub fn cgroups(&self) -> String {
        prefix(&self.id)
    }
}

fn prefix(id: &str) -> String {
    format!("coalition-{id}-")
}

/// Runs lines of `ip` in the network of `place`; process numbers in them are those seen from outside.
pub(crate) fn ip(place: &Namespaces, lines: &[String]) -> Result<()> {
    let mut ip = std::process::Command::new("nsenter");
    ip.args(["--target", &place.pid().to_string(), "--net", "--", "ip", "-batch", "-"]);
    let mut ip = ip.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().context("nsenter did not start")?;
    if let Some(mut input) = ip.stdin.take() {
        input.write_all(lines.join("\n").as_bytes()).context("ip reads nothing")?;
    }
    let out = ip.wait_with_output().context("cannot wait for ip")?;
    if !out.status.success() {
        bail!("ip refused one of these lines: {}: {}", lines.join("; "), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}

/// The folder of all worlds of this machine.
fn base() -> Result<PathBuf> {
    let base = std::env::temp_dir().join("coalition-worlds");
    fs::create_dir_all(&base).with_context(|| format!("cannot make {}", base.display()))?;
    Ok(base)
}

/// Takes the lock file at `path`; nothing if somebody else has it and `how` does not wait.
fn lock(path: &Path, how: FlockOperation) -> Result<Option<File>> {
    let file = File::create(path).with_context(|| format!("cannot make the lock {}", path.display()))?;
    match flock(&file, how) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Ends and removes every world whose owner is gone.
fn remove_leftovers(base: &Path) -> Result<()> {
    for entry in fs::read_dir(base).with_context(|| format!("cannot list {}", base.display()))? {
        let folder = entry.context("cannot list the worlds")?.path();
        if folder.is_dir() {
            remove_leftover(&folder)?;
        }
    }
    Ok(())
}

/// Ends and removes a world, unless somebody holds it: by the number and start time of its own first process, never by a name.
fn remove_leftover(folder: &Path) -> Result<bool> {
    if lock(&folder.join("lock"), FlockOperation::NonBlockingLockExclusive)?.is_none() {
        return Ok(false);
    }
    let init = fs::read_to_string(folder.join("init")).unwrap_or_default();
    let mut words = init.split_whitespace().map(str::parse::<u64>);
    if let (Some(Ok(pid)), Some(Ok(started))) = (words.next(), words.next()) {
        let pid = i32::try_from(pid).context("no process has such a number")?;
        if process::seen(pid).is_some_and(|seen| seen.started == started && !seen.zombie) {
            // Its input closed with its owner, so it is about to end anyway.
            process::Process::of(pid)?.kill(std::time::Duration::from_secs(30))?;
        }
    }
    end(folder).map(|()| true)
}

/// Removes the control groups and files of a world whose processes are gone.
fn end(folder: &Path) -> Result<()> {
    let id = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    cgroups::remove(&prefix(&id))?;
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

impl Drop for Realm {
    fn drop(&mut self) {
        let ended = self.namespaces.end().and_then(|()| {
            if std::thread::panicking() || std::env::var_os(KEEP).is_some() {
                // For whoever looks why; the next world removes it.
                eprintln!("the logs of this world are in {}", self.folder.display());
                return cgroups::remove(&self.cgroups());
            }
            end(&self.folder)
        });
        if let Err(error) = ended {
            eprintln!("warning: world {}: {error:#}", self.id);
        }
    }
}
