//! A cluster of a world: its control plane, its nodes real and played, and what can be done to it. Must not know what is
//! deployed on it.

use crate::control::{self, Control, Parts};
use crate::fault::Place;
use crate::image;
use crate::machine::Machine;
use crate::node::Node;
use crate::pki::Authority;
use crate::program::Program;
use crate::s3::{self, S3};
use crate::spec::Spec;
use crate::world::{Realm, World, ip, run_at};
use crate::{fakes, wait};
use anyhow::{Context, Result, bail};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node as NodeObject, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a node may take to be Ready: 1 s alone; as patient as with an API server.
const NODE: Duration = Duration::from_mins(3);
/// How long the default ServiceAccount may take: 0.1 s after the controller manager listens.
const ACCOUNT: Duration = Duration::from_mins(1);

/// A running cluster. It ends when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    realm: Arc<Realm>,
    number: u8,
    address: Ipv4Addr,
    admin: PathBuf,
    images: PathBuf,
    s3: bool,
    parts: Mutex<Machines>,
}

/// What faults change.
#[derive(Debug)]
pub(crate) struct Machines {
    pub control: Control,
    pub nodes: Vec<Node>,
}

impl Cluster {
    pub(crate) fn start(world: &World, spec: Spec) -> Result<Self> {
        let what = format!("cluster {} (its logs are below {})", spec.name, world.folder().join(&spec.name).display());
        Self::assemble(world, spec).with_context(|| format!("could not start {what}"))
    }

    fn assemble(world: &World, spec: Spec) -> Result<Self> {
        let realm = Arc::clone(&world.realm);
        let folder = realm.folder.join(&spec.name);
        if spec.name.is_empty() || !spec.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            bail!("`{}` is no name for a cluster: small letters and digits are (it becomes a host name)", spec.name);
        }
        if folder.exists() {
            bail!("this world has a cluster {} already: choose another name", spec.name);
        }
        let number = realm.next_cluster();
        let bridge = lan(&realm, number)?;
        let ca = Authority::new(&spec.name, &folder.join("pki"))?;
        let name = format!("{}-control", spec.name);
        let machine = Machine::start(&realm, &name, &folder.join("control"), &bridge, spec.store_bytes)?;
        let address = machine.address();
        let parts = Parts { controllers: spec.controllers, kwok: spec.fakes.is_some(), s3: spec.s3 };
        let mut control = Control::new(machine, &realm.tools, &ca, parts)?;
        let admin = control.admin.clone();
        control.start()?;

        let images = folder.join("images");
        fs::create_dir_all(&images).with_context(|| format!("cannot make {}", images.display()))?;
        let mut nodes = Vec::new();
        if spec.nodes > 0 {
            image::store(&image::pause(&realm.tools.path("pause")?), &images)?;
            image::store(&image::busybox(&realm.tools.path("busybox")?), &images)?;
            for image in &spec.images {
                image::store(image, &images)?;
            }
            for path in &spec.tarballs {
                image::keep(path, &images)?;
            }
        }
        for index in 1..=spec.nodes {
            let name = node_name(&spec.name, index);
            let machine = Machine::start(&realm, &name, &folder.join(&name), &bridge, 0)?;
            let mut node = Node::new(machine, &realm.tools, &ca, &format!("https://{address}:6443"))?;
            node.start(&images)?;
            nodes.push(node);
        }
        let (parts, s3) = (Mutex::new(Machines { control, nodes }), spec.s3);
        let cluster = Self { name: spec.name, realm, number, address, admin, images, s3, parts };
        cluster.wait_ready(spec.controllers, spec.nodes, spec.fakes)?;
        Ok(cluster)
    }

    fn wait_ready(&self, controllers: bool, nodes: u8, fake_nodes: Option<u32>) -> Result<()> {
        if controllers {
            // Pods that come before it are refused.
            let account = async {
                let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, "default");
                wait::until_async("the ServiceAccount default/default", ACCOUNT, || async {
                    Ok(accounts.get_opt("default").await.unwrap_or_default().map(drop))
                })
                .await
            };
            self.run(account).with_context(|| self.said(Place::Control).unwrap_or_default())?;
        }
        if let Some(count) = fake_nodes {
            self.run(async { fakes::make(self.client().await?, &self.name, count).await })?;
        }
        (1..=nodes).try_for_each(|node| self.wait_node(node, None))
    }

    /// Waits until node `node` (from 1) is Ready, by word of its kubelet that is not `stale`.
    pub(crate) fn wait_node(&self, node: u8, stale: Option<&MicroTime>) -> Result<()> {
        let name = self.node_name(node);
        let ready = async {
            let nodes: Api<NodeObject> = Api::all(self.client().await?);
            wait::until_async(&format!("node {name} to be Ready"), NODE, || async {
                self.check_node(node)?;
                if stale.is_some() && self.renewed(&name).await.as_ref() == stale {
                    return Ok(None);
                }
                let object = nodes.get_opt(&name).await.unwrap_or_default();
                Ok(object.is_some_and(|object| fakes::is_ready(&object)).then_some(()))
            })
            .await
        };
        self.run(ready).with_context(|| self.said(Place::Node(node)).unwrap_or_default())
    }

    /// When node `node`'s kubelet last gave a sign, as far as the API server knows and answers.
    pub(crate) fn last_sign(&self, node: u8) -> Result<Option<MicroTime>> {
        let name = self.node_name(node);
        self.run(async { Ok(self.renewed(&name).await) })
    }

    async fn renewed(&self, name: &str) -> Option<MicroTime> {
        let leases: Api<Lease> = Api::namespaced(self.client().await.ok()?, "kube-node-lease");
        leases.get_opt(name).await.ok()??.spec?.renew_time
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of its node `node` (from 1), as the API and its host have it.
    pub fn node_name(&self, node: u8) -> String {
        node_name(&self.name, node)
    }

    /// The address of its node `node` (from 1): where its node ports are, for pods of every cluster.
    pub fn node_address(&self, node: u8) -> Result<Ipv4Addr> {
        self.at(Place::Node(node), |machine| Ok(machine.address()))
    }

    /// The address of its API server, port 6443.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The kubeconfig of an administrator; it works wherever in the world the link leads here.
    pub fn kubeconfig(&self) -> &Path {
        &self.admin
    }

    /// An administrator's client, on the runtime that is running: make it in [`World::run`].
    pub async fn client(&self) -> Result<kube::Client> {
        control::client(&self.admin).await
    }

    /// Runs `work` on the control plane's machine, which reaches its API also when the site's link is cut.
    pub fn run<T: Send>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let pid = self.machines().control.machine.namespaces().pid();
        run_at(pid, work)
    }

    /// Runs a program on one of its machines and returns what it wrote.
    pub fn exec(&self, place: Place, program: &Path, args: &[&str]) -> Result<String> {
        self.at(place, |machine| machine.namespaces().run(&program.display().to_string(), args))
    }

    /// Runs kubectl as an administrator on the control plane's machine and returns what it wrote.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        let config = format!("--kubeconfig={}", self.admin.display());
        let cache = format!("--cache-dir={}", self.realm.folder.join("kubectl-cache").display());
        let args: Vec<&str> = [config.as_str(), cache.as_str()].into_iter().chain(args.iter().copied()).collect();
        self.exec(Place::Control, &self.realm.tools.path("kubectl")?, &args)
    }

    /// Runs helm as an administrator on the control plane's machine and returns what it wrote.
    pub fn helm(&self, args: &[&str]) -> Result<String> {
        let home = self.realm.folder.join("helm");
        // Its homes are those of the user otherwise.
        let mut all: Vec<String> = ["CACHE", "CONFIG", "DATA"]
            .iter()
            .map(|kind| format!("HELM_{kind}_HOME={}", home.join(kind.to_lowercase()).display()))
            .collect();
        all.push(self.realm.tools.path("helm")?.display().to_string());
        all.push(format!("--kubeconfig={}", self.admin.display()));
        let all: Vec<&str> = all.iter().map(String::as_str).chain(args.iter().copied()).collect();
        self.exec(Place::Control, Path::new("/usr/bin/env"), &all)
    }

    /// How pods and tests reach the site's S3 server; an error if it was not asked for ([`Spec::with_s3`]).
    pub fn s3(&self) -> Result<S3> {
        if !self.s3 {
            bail!("cluster {} has no S3 server: ask for one with Spec::with_s3", self.name);
        }
        Ok(s3::at(self.address))
    }

    /// Loads the image in the OCI tarball at `path` into every node, and keeps it for nodes that start anew.
    pub fn import(&self, path: &Path) -> Result<()> {
        let kept = image::keep(path, &self.images)?;
        self.machines().nodes.iter().try_for_each(|node| node.import(&kept))
    }

    /// The folder of the site's store disk, as this program can open it. It is in memory, on the control plane's machine.
    pub fn store(&self) -> PathBuf {
        let parts = self.machines();
        parts.control.machine.outside(&parts.control.machine.store())
    }

    /// Does something with a machine.
    pub(crate) fn at<T>(&self, place: Place, work: impl FnOnce(&Machine) -> Result<T>) -> Result<T> {
        let parts = self.machines();
        match place {
            Place::Control => work(&parts.control.machine),
            Place::Node(node) => work(&self.node(&parts.nodes, node)?.machine),
        }
    }

    fn node<'a>(&self, nodes: &'a [Node], node: u8) -> Result<&'a Node> {
        let found = usize::from(node).checked_sub(1).and_then(|index| nodes.get(index));
        found.with_context(|| format!("cluster {} has no node {node}: it has {} (from 1)", self.name, nodes.len()))
    }

    /// An error if one of the node's programs has ended.
    fn check_node(&self, node: u8) -> Result<()> {
        let parts = self.machines();
        self.node(&parts.nodes, node)?.programs.iter().try_for_each(Program::check)
    }

    /// The last lines that the programs of a machine wrote.
    pub fn said(&self, place: Place) -> Result<String> {
        let parts = self.machines();
        let said: Vec<String> = match place {
            Place::Control => parts.control.programs().map(Program::said).collect(),
            Place::Node(node) => self.node(&parts.nodes, node)?.programs.iter().map(Program::said).collect(),
        };
        Ok(said.join("\n"))
    }

    pub(crate) fn machines(&self) -> MutexGuard<'_, Machines> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn images(&self) -> &Path {
        &self.images
    }

    /// Cuts the cluster off from the rest of its world, or joins it again.
    pub(crate) fn set_site_link(&self, up: bool) -> Result<()> {
        let state = if up { "up" } else { "down" };
        ip(self.realm.namespaces(), &[format!("link set up{} {state}", self.number)])
    }
}

/// The cluster's own bridge, joined to the world's by a cable that can be cut.
fn lan(realm: &Realm, number: u8) -> Result<String> {
    let bridge = format!("lan{number}");
    let lines = [
        format!("link add {bridge} type bridge"),
        format!("link set {bridge} up"),
        format!("link add up{number} type veth peer name dn{number}"),
        format!("link set up{number} master wan0 up"),
        format!("link set dn{number} master {bridge} up"),
    ];
    ip(realm.namespaces(), &lines)?;
    Ok(bridge)
}

fn node_name(cluster: &str, node: u8) -> String {
    format!("{cluster}-{node}")
}
