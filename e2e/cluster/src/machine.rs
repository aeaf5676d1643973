//! A machine of a world: namespaces with an address, a cable that can be pulled, and files that survive a power cut. Must
//! not know which programs run on it.

use crate::namespaces::Namespaces;
use crate::world::{MACHINES, Realm, ip};
use crate::{cgroups, wait, world};
use anyhow::{Context, Result};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Folders that kubelets, containerd and CNI plugins have fixed in their code: each machine gets its own, on disk.
const FIXED: [&str; 7] = [
    "/var/lib/kubelet",
    "/var/lib/containerd",
    "/var/lib/cni",
    "/var/log/pods",
    "/var/log/containers",
    "/etc/cni",
    "/opt/cni",
];
/// Those that are empty after every start of a machine.
const FRESH: [&str; 2] = ["/run/containerd", "/run/netns"];

/// How long the kernel may take to remove a cable: milliseconds were seen.
const CABLE: Duration = Duration::from_secs(10);

/// A machine.
#[derive(Debug)]
pub struct Machine {
    realm: Arc<Realm>,
    name: String,
    number: u8,
    folder: PathBuf,
    bridge: String,
    store_bytes: u64,
    namespaces: Namespaces,
}

impl Machine {
    /// Starts a machine called `name`, its cable in `bridge`, its files in `folder`, with a disk of `store_bytes` at
    /// [`Self::store`] (none if 0).
    pub(crate) fn start(realm: &Arc<Realm>, name: &str, folder: &Path, bridge: &str, store_bytes: u64) -> Result<Self> {
        let number = realm.next_machine()?;
        cgroups::make(&cgroup(realm, number))?;
        let namespaces = boot(realm, name, number, folder, bridge, store_bytes)?;
        let (name, folder, bridge) = (name.to_owned(), folder.to_owned(), bridge.to_owned());
        Ok(Self { realm: Arc::clone(realm), name, number, folder, bridge, store_bytes, namespaces })
    }

    /// Starts it again after [`Self::power_off`], with the same number, address and files. The store disk is empty.
    pub fn power_on(&mut self) -> Result<()> {
        let (cable, world) = (cable(self.number), self.realm.namespaces());
        // The kernel takes a dead network's cables away when it finds the time.
        wait::until(&format!("the old cable of {} to be gone", self.name), CABLE, || {
            let _ = ip(world, &[format!("link del {cable}")]);
            Ok(ip(world, &[format!("link show {cable}")]).is_err().then_some(()))
        })?;
        // A kubelet would look for the containers of every group that is left, three seconds each.
        let cgroup = self.cgroup();
        cgroups::remove(&cgroup)?;
        cgroups::make(&cgroup)?;
        self.namespaces = boot(&self.realm, &self.name, self.number, &self.folder, &self.bridge, self.store_bytes)?;
        Ok(())
    }

    /// Ends everything on it at once.
    pub fn power_off(&mut self) -> Result<()> {
        self.namespaces.end()
    }

    /// Its name: the host name, and the node's if it is one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        address(self.number)
    }

    /// The range of its pods.
    pub fn pods(&self) -> String {
        pods(self.number)
    }

    /// The control group that a kubelet on it uses as its root.
    pub fn cgroup(&self) -> String {
        cgroup(&self.realm, self.number)
    }

    /// Its files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where its store disk is mounted, seen from inside.
    pub fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// A path inside as this program can open it.
    pub fn outside(&self, inside: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.namespaces.pid()));
        root.join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// Its namespaces.
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Pulls its cable, or puts it back.
    pub fn set_link(&self, up: bool) -> Result<()> {
        let state = if up { "up" } else { "down" };
        ip(self.realm.namespaces(), &[format!("link set {} {state}", cable(self.number))])
    }
}

/// Ends with a letter, so that the name of one machine is not the beginning of another's.
fn cgroup(realm: &Realm, number: u8) -> String {
    format!("{}{number}m", realm.cgroups())
}

fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, number, 2)
}

fn pods(number: u8) -> String {
    format!("10.244.{number}.0/24")
}

/// The world's end of the machine's cable.
fn cable(number: u8) -> String {
    format!("m{number}")
}

fn boot(realm: &Realm, name: &str, number: u8, folder: &Path, bridge: &str, store_bytes: u64) -> Result<Namespaces> {
    let mut setup = vec!["mount --make-rshared /".to_owned(), format!("echo {name} > /proc/sys/kernel/hostname")];
    for fixed in FIXED {
        let own = folder.join("root").join(fixed.trim_start_matches('/'));
        for path in [own.as_path(), Path::new(fixed)] {
            fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        setup.push(format!("mount --bind '{}' {fixed}", own.display()));
        setup.push(format!("mount --make-rshared {fixed}"));
    }
    for fresh in FRESH {
        fs::create_dir_all(fresh).with_context(|| format!("cannot make {fresh}"))?;
        setup.push(format!("mount -t tmpfs fresh {fresh}"));
        setup.push(format!("mount --make-rshared {fresh}"));
    }
    if store_bytes > 0 {
        let store = folder.join("store");
        fs::create_dir_all(&store).with_context(|| format!("cannot make {}", store.display()))?;
        setup.push(format!("mount -t tmpfs -o size={store_bytes} store '{}'", store.display()));
    }
    let hosts = folder.join("hosts");
    let text = format!("127.0.0.1 localhost\n{} {name}\n", address(number));
    fs::write(&hosts, text).with_context(|| format!("cannot write {}", hosts.display()))?;
    setup.push(format!("mount --bind '{}' /etc/hosts", hosts.display()));
    setup.push("echo 1 > /proc/sys/net/ipv4/ip_forward".to_owned());

    let namespaces = Namespaces::start(name, Some(realm.namespaces()), &setup.join("\n"))?;
    let cable = cable(number);
    let lines = [
        format!("link add {cable} type veth peer name eth0 netns {}", namespaces.pid()),
        format!("link set {cable} master {bridge} up"),
        // So that tests reach pods too.
        format!("route replace {} via {}", pods(number), address(number)),
    ];
    world::ip(realm.namespaces(), &lines)?;
    let mut lines = vec![
        format!("addr add {}/16 dev eth0", address(number)),
        "link set eth0 up".to_owned(),
        // Without a default route nothing would even ask the rules that turn Service addresses into those of pods.
        "route add 10.96.0.0/16 dev eth0".to_owned(),
    ];
    lines.extend(
        (1..=MACHINES)
            .filter(|other| *other != number)
            .map(|other| format!("route add {} via {}", pods(other), address(other))),
    );
    world::ip(&namespaces, &lines)?;
    Ok(namespaces)
}
