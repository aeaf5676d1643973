//! How each fault is done to a cluster, and taken back. Must not know which faults go together.

use crate::cluster::Cluster;
use crate::fault::{Fault, Link, Target};
use crate::node::{Node, processes};
use crate::process::Process;
use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

/// How long a killed process may stay; see `Program`.
const END: Duration = Duration::from_secs(20);
/// The file that takes all room on a store disk.
const BALLAST: &str = ".ballast";

impl Cluster {
    /// Does `fault` and returns when it is done: what is killed is gone, what comes back is ready.
    pub fn apply(&self, fault: &Fault) -> Result<()> {
        self.do_it(fault).with_context(|| format!("fault at cluster {}: {fault}", self.name()))
    }

    fn do_it(&self, fault: &Fault) -> Result<()> {
        match fault {
            Fault::Kill(target) => self.targets(target)?.iter().try_for_each(|process| process.kill(END)),
            Fault::Stop(target) => self.signal(target, Signal::STOP),
            Fault::Continue(target) => self.signal(target, Signal::CONT),
            Fault::Partition(link) => self.set_link(*link, false),
            Fault::Heal(link) => self.set_link(*link, true),
            Fault::FullDisk => self.fill(),
            Fault::RoomOnDisk => {
                let path = self.ballast();
                fs::remove_file(&path)
                    .with_context(|| format!("cannot remove {}: was the disk filled?", path.display()))
            }
            Fault::ApiServerDown => self.machines().control.api.kill(),
            Fault::ApiServerUp => self.machines().control.start_api(),
            Fault::EtcdDown => self.machines().control.etcd.kill(),
            Fault::EtcdUp => {
                let mut parts = self.machines();
                parts.control.start_etcd()?;
                // Its server may be down by another fault.
                if parts.control.api.is_running() { parts.control.wait_api() } else { Ok(()) }
            }
            Fault::NodeKilled { node } => self.with_node(*node, Node::power_off),
            Fault::NodeBack { node } => {
                let stale = self.last_sign(*node)?;
                self.with_node(*node, |node| node.power_on(self.images()))?;
                self.wait_node(*node, stale.as_ref())
            }
            Fault::KubeletKilled { node } => self.with_node(*node, |node| node.program("kubelet")?.kill()),
            Fault::KubeletBack { node } => {
                let stale = self.last_sign(*node)?;
                self.with_node(*node, |node| node.start_program("kubelet"))?;
                self.wait_node(*node, stale.as_ref())
            }
        }
    }

    fn with_node(&self, node: u8, work: impl FnOnce(&mut Node) -> Result<()>) -> Result<()> {
        let mut parts = self.machines();
        let count = parts.nodes.len();
        let found = usize::from(node).checked_sub(1).and_then(|index| parts.nodes.get_mut(index));
        work(found.with_context(|| format!("there is no node {node}: there are {count} (from 1)"))?)
    }

    /// The processes meant; an error if there is none, for a fault that hits nothing proves nothing.
    fn targets(&self, target: &Target) -> Result<Vec<Process>> {
        let found = self.at(target.place, |machine| processes(machine, &target.program, target.argument.as_deref()))?;
        if found.is_empty() {
            bail!("no process {target} runs");
        }
        Ok(found)
    }

    /// Signals the processes meant. One that runs below `nsenter` has it stopped and woken with it: `nsenter` sees to the
    /// first, and a program that is continued alone goes on all the same.
    fn signal(&self, target: &Target, signal: Signal) -> Result<()> {
        self.targets(target)?.iter().try_for_each(|process| process.signal(signal))
    }

    fn set_link(&self, link: Link, up: bool) -> Result<()> {
        match link {
            Link::Site => self.set_site_link(up),
            Link::Machine(place) => self.at(place, |machine| machine.set_link(up)),
        }
    }

    fn ballast(&self) -> PathBuf {
        self.store().join(BALLAST)
    }

    fn fill(&self) -> Result<()> {
        let path = self.ballast();
        let folder = self.store();
        let room = rustix::fs::statvfs(&folder).with_context(|| format!("cannot ask {}", folder.display()))?;
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let bytes = room.f_bavail * room.f_frsize;
        if bytes > 0 {
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)
                .with_context(|| format!("cannot take {bytes} bytes of {}", folder.display()))?;
        }
        Ok(())
    }
}
