//! The control plane of one cluster on its machine: etcd, API server, controller manager, scheduler, kwok, in the order in
//! which they need each other. Must not know nodes, nor what a cluster is used for.

use crate::flags;
use crate::machine::Machine;
use crate::pki::{Authority, Subject};
use crate::program::Program;
use crate::s3;
use crate::tools::Tools;
use crate::wait;
use crate::world::run_at;
use anyhow::{Context, Result};
use kube::api::GetParams;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a component may take to be ready: etcd needs 0.2 to 1 s and an API server 2 to 4 s on two cores; with twenty
/// processes waiting for them a minute was too short. One that ends is noticed at once.
const READY: Duration = Duration::from_mins(3);
/// The first address of [`flags::SERVICES`] is that of the API server.
const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// What plays the nodes that are none.
const STAGES: &str = include_str!("stages.yaml");

/// The control plane.
#[derive(Debug)]
pub struct Control {
    /// Where it runs.
    pub machine: Machine,
    /// The kubeconfig of an administrator, for tests and people; it reaches the machine by its address.
    pub admin: PathBuf,
    /// etcd.
    pub etcd: Program,
    /// kube-apiserver.
    pub api: Program,
    /// kube-controller-manager, kube-scheduler, kwok and the S3 server, as far as asked for.
    pub others: Vec<Program>,
}

/// What else to run beside etcd and the API server.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// kube-controller-manager and kube-scheduler.
    pub controllers: bool,
    /// kwok.
    pub kwok: bool,
    /// The site's S3 server.
    pub s3: bool,
}

impl Control {
    /// Writes what the control plane needs on `machine` and names its programs; nothing runs yet.
    pub(crate) fn new(machine: Machine, tools: &Tools, ca: &Authority, parts: Parts) -> Result<Self> {
        let folder = machine.folder();
        let logs = folder.join("logs");
        fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
        let server = format!("https://{}:6443", machine.address());
        let hosts = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
        let api_user = Subject { user: "kube-apiserver", group: None };
        ca.issue("apiserver", api_user, &hosts, &[Ipv4Addr::LOCALHOST, API_SERVICE, machine.address()])?;
        let masters = Some("system:masters");
        let admin = ca.client("admin", Subject { user: "admin", group: masters }, &server)?;
        ca.issue("apiserver-kubelet", Subject { user: "apiserver-kubelet", group: masters }, &[], &[])?;

        let etcd = Program::new("etcd", &tools.path("etcd")?, flags::etcd(folder), &logs);
        let flags = flags::api(ca, machine.address(), folder)?;
        let api = Program::new("kube-apiserver", &tools.path("kube-apiserver")?, flags, &logs);
        let mut others = Vec::new();
        if parts.controllers {
            let name = "kube-controller-manager";
            let user = Subject { user: "system:kube-controller-manager", group: None };
            let config = ca.client(name, user, &server)?.display().to_string();
            others.push(Program::new(name, &tools.path(name)?, flags::controller_manager(ca, &config), &logs));
            let name = "kube-scheduler";
            let user = Subject { user: "system:kube-scheduler", group: None };
            let config = ca.client(name, user, &server)?.display().to_string();
            others.push(Program::new(name, &tools.path(name)?, flags::scheduler(folder, &config)?, &logs));
        }
        if parts.kwok {
            let stages = folder.join("stages.yaml");
            fs::write(&stages, STAGES).with_context(|| format!("cannot write {}", stages.display()))?;
            others.push(Program::new("kwok", &tools.path("kwok")?, flags::kwok(&admin, &stages), &logs));
        }
        if parts.s3 {
            others.push(s3::program(&machine, tools, &logs)?);
        }
        Ok(Self { machine, admin, etcd, api, others })
    }

    /// Starts everything and waits until it is ready.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.start_etcd()?;
        self.start_api()?;
        for program in &mut self.others {
            program.start(self.machine.namespaces())?;
        }
        for program in &self.others {
            self.wait_listening(program)?;
        }
        Ok(())
    }

    /// Starts etcd and waits until it answers.
    pub fn start_etcd(&mut self) -> Result<()> {
        self.etcd.start(self.machine.namespaces())?;
        let etcd = &self.etcd;
        self.machine.namespaces().inside(|| {
            wait::until("etcd to be healthy", READY, || {
                etcd.check()?;
                Ok(get(2379, "/health").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")).then_some(()))
            })
            .with_context(|| etcd.said())
        })
    }

    /// Starts the API server and waits until it is ready.
    pub fn start_api(&mut self) -> Result<()> {
        self.api.start(self.machine.namespaces())?;
        self.wait_api()
    }

    /// Waits until the API server says that it is ready, asked on its own machine.
    pub fn wait_api(&self) -> Result<()> {
        let (api, admin) = (&self.api, self.admin.as_path());
        let ready = async {
            // One for all looks: a handshake each would keep a busy machine busier.
            let client = client(admin).await?;
            wait::until_async("the API server to be ready", READY, || async {
                api.check()?;
                Ok(ready(&client).await.is_ok().then_some(()))
            })
            .await
        };
        run_at(self.machine.namespaces().pid(), ready).with_context(|| api.said())
    }

    fn wait_listening(&self, program: &Program) -> Result<()> {
        let port = match program.name() {
            "kube-controller-manager" => 10257,
            "kube-scheduler" => 10259,
            "versitygw" => s3::PORT,
            _ => flags::KWOK,
        };
        self.machine.namespaces().inside(|| {
            wait::until(&format!("{} to listen", program.name()), READY, || {
                program.check()?;
                Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(()))
            })
            .with_context(|| program.said())
        })
    }

    /// Every program.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        [&self.etcd, &self.api].into_iter().chain(&self.others)
    }
}

/// A client with the kubeconfig at `path`, on the current runtime.
pub(crate) async fn client(path: &Path) -> Result<kube::Client> {
    let config =
        kube::config::Kubeconfig::read_from(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut config = kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default()).await?;
    // A partition swallows packets: whoever asks through one shall hear of it. Watches are renewed below this by themselves.
    config.connect_timeout = Some(Duration::from_secs(3));
    Ok(kube::Client::try_from(config)?)
}

async fn ready(client: &kube::Client) -> Result<()> {
    let request = kube::core::Request::new("").get("readyz", &GetParams::default())?;
    let answer = tokio::time::timeout(Duration::from_secs(3), client.request_text(request)).await;
    answer.context("no answer")?.map(drop).context("not ready")
}

/// Asks the local `port` for `path` and returns the whole answer.
fn get(port: u16, path: &str) -> std::io::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(500))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

impl Drop for Control {
    fn drop(&mut self) {
        // The machine ends next.
        self.programs().for_each(Program::wake);
    }
}
