//! A real node: containerd, kubelet and kube-proxy on a machine of its own, with the images of its cluster. Must not know
//! what its pods are for.

use crate::dns::Dns;
use crate::image;
use crate::machine::Machine;
use crate::pki::{Authority, Subject};
use crate::process::{self, Process};
use crate::program::Program;
use crate::tools::Tools;
use crate::{flags, wait};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long containerd may take to answer: 0.1 s alone; fifty times that beside a build.
const RUNTIME: Duration = Duration::from_secs(30);

/// A node.
#[derive(Debug)]
pub struct Node {
    /// Where it runs.
    pub machine: Machine,
    /// containerd, kubelet, kube-proxy, in the order they start.
    pub programs: Vec<Program>,
    ctr: PathBuf,
    proxy_config: PathBuf,
    dns: Option<Dns>,
}

impl Node {
    /// Writes what a node of the cluster with the authority `ca` and the API server at `server` needs; nothing runs yet.
    pub(crate) fn new(machine: Machine, tools: &Tools, ca: &Authority, server: &str) -> Result<Self> {
        let logs = machine.folder().join("logs");
        fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
        let name = machine.name();
        let user = format!("system:node:{name}");
        let kubelet = ca.client(name, Subject { user: &user, group: Some("system:nodes") }, server)?;
        // With its address: API servers reach it by that, for logs and exec.
        let serving = Subject { user: name, group: None };
        ca.issue(&format!("{name}-serving"), serving, &[name], &[machine.address()])?;
        let proxy = Subject { user: "system:kube-proxy", group: None };
        let proxy = ca.client(&format!("{name}-proxy"), proxy, server)?;
        let programs = vec![
            Program::new("containerd", &tools.path("containerd")?, flags::containerd(&machine)?, &logs),
            Program::new("kubelet", &tools.path("kubelet")?, flags::kubelet(&machine, ca, &kubelet)?, &logs),
            Program::new("kube-proxy", &tools.path("kube-proxy")?, flags::proxy(&machine, &proxy)?, &logs)
                // It calls `nft`, which Debian keeps where not every search path leads.
                .env("PATH", &format!("{}:/usr/sbin:/sbin", tools.search_path())),
        ];
        Ok(Self { machine, programs, ctr: tools.path("ctr")?, proxy_config: proxy, dns: None })
    }

    /// Starts everything, with the image tarballs in the folder `images`. Readiness is the API server's to tell.
    pub(crate) fn start(&mut self, images: &Path) -> Result<()> {
        let place = self.machine.namespaces();
        // As who reads Services for kube-proxy.
        self.dns = Some(Dns::start(place.pid(), self.machine.address(), &self.proxy_config)?);
        for program in &mut self.programs {
            program.start(place)?;
            if program.name() == "containerd" {
                let ctr = self.ctr.display().to_string();
                wait::until("containerd to answer", RUNTIME, || {
                    program.check()?;
                    Ok(place.run(&ctr, &["version"]).ok())
                })
                .with_context(|| program.said())?;
                // Before the kubelet: it shall find them all.
                import_all(self.machine.namespaces(), &self.ctr, images)?;
            }
        }
        Ok(())
    }

    /// Loads one more image tarball.
    pub fn import(&self, path: &Path) -> Result<()> {
        image::import(self.machine.namespaces(), &self.ctr, path)
    }

    /// Cuts its power: every process on it ends at once.
    pub fn power_off(&mut self) -> Result<()> {
        self.programs.iter().for_each(Program::wake);
        self.dns = None;
        self.machine.power_off()?;
        self.programs.iter_mut().try_for_each(Program::kill)
    }

    /// Starts it again: the same name, address and disk.
    pub fn power_on(&mut self, images: &Path) -> Result<()> {
        if self.programs.iter().any(Program::is_running) {
            bail!("{} is on", self.machine.name());
        }
        self.machine.power_on()?;
        self.start(images)
    }

    /// Its program called `name`.
    pub fn program(&mut self, name: &str) -> Result<&mut Program> {
        let machine = self.machine.name().to_owned();
        let program = self.programs.iter_mut().find(|program| program.name() == name);
        program.with_context(|| format!("{machine} runs no `{name}`, only containerd, kubelet and kube-proxy"))
    }

    /// Starts its program called `name` after it was killed.
    pub fn start_program(&mut self, name: &str) -> Result<()> {
        let index = self.programs.iter().position(|program| program.name() == name);
        let index = index.with_context(|| format!("{} runs no `{name}`", self.machine.name()))?;
        self.programs[index].start(self.machine.namespaces())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The machine ends next.
        self.programs.iter().for_each(Program::wake);
        self.dns = None;
    }
}

fn import_all(place: &crate::namespaces::Namespaces, ctr: &Path, images: &Path) -> Result<()> {
    for entry in fs::read_dir(images).with_context(|| format!("cannot list {}", images.display()))? {
        image::import(place, ctr, &entry.context("cannot list the images")?.path())?;
    }
    Ok(())
}

/// The processes of `machine`, those in containers included, whose program has the file name `name`, and whose first argument
/// is `argument` if one is asked for.
pub(crate) fn processes(machine: &Machine, name: &str, argument: Option<&str>) -> Result<Vec<Process>> {
    let all = process::all()?;
    let space = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let ours = space(machine.namespaces().pid());
    // A container has a process namespace of its own; whoever started it is in the machine's.
    let inside = |mut pid: i32| {
        for _ in 0..all.len() {
            if ours.is_some() && space(pid) == ours {
                return true;
            }
            match all.iter().find(|seen| seen.pid == pid) {
                Some(seen) => pid = seen.parent,
                None => return false,
            }
        }
        false
    };
    let named = |pid: i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let is_it = words.next().is_some_and(|first| Path::new(&*first).file_name().is_some_and(|file| file == name));
        is_it && argument.is_none_or(|argument| words.next().is_some_and(|second| second == argument))
    };
    let init = machine.namespaces().pid();
    let found = all.iter().filter(|seen| !seen.zombie && seen.pid != init && named(seen.pid) && inside(seen.pid));
    // One that ends meanwhile is none any more.
    Ok(found.filter_map(|seen| Process::of(seen.pid).ok()).collect())
}
