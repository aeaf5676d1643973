//! A gang: which pods its workers shall have, as a pure function of what is seen of them. Must not know what a pod is to
//! Kubernetes, what a formation is (the gateway's), or what the workers train.
//!
//! Every pod of a worker has a **birth**, a number that only rises and is noted durably before the pod is made. The newest
//! noted birth is the worker's only current pod; nothing that another one writes counts. That is the fence, so a pod may be
//! replaced although nobody knows whether it still runs somewhere.
mod memory;
mod plan;
mod wanted;

pub use memory::Memory;
pub use plan::{Intent, Plan, plan};
pub use wanted::{Request, Wanted, wanted};

use std::collections::BTreeMap;

/// How a pod ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its program ended with this exit code; 128 + signal when killed.
    Exited(i32),
    /// Not by its program: evicted, preempted, its node gone. Nobody's failure.
    Lost,
}

/// What a pod does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its program was not started yet.
    Pending,
    /// Its program runs, as far as is known.
    Running,
    /// Over.
    Ended(End),
}

/// A worker's pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// The worker, from 0.
    pub index: u32,
    /// Which of its pods.
    pub birth: i64,
    /// Its name.
    pub name: String,
    /// Its identity: another pod of the same name has another one.
    pub uid: String,
    /// The image it was made with.
    pub image: String,
    /// What it does.
    pub state: State,
    /// It is being deleted.
    pub leaving: bool,
    /// Its node, once it has one.
    pub node: Option<String>,
    /// Its process takes part in a formation, or did.
    pub joined: bool,
}

/// What is known of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// It answers.
    Ready,
    /// It does not: what runs there runs on, perhaps.
    Silent,
    /// It is no part of the cluster any more.
    Gone,
}

/// What the pods of a gang are decided from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Workers it shall have.
    pub workers: u32,
    /// What they shall do.
    pub wanted: Wanted,
    /// Start nothing anew: somebody looks at what failed.
    pub hold: bool,
    /// The image of new pods.
    pub image: String,
    /// Seconds that a pod has to leave.
    pub grace_seconds: u32,
    /// By worker: the newest birth that was noted.
    pub births: BTreeMap<u32, i64>,
    /// Pods that the gang owns. One of a noted birth that is not among them is proved absent.
    pub pods: Vec<Pod>,
    /// Nodes by name. One that is not among them is unknown, and what runs there is left alone.
    pub nodes: BTreeMap<String, Node>,
}

impl Observed {
    /// The pod of the newest birth of a worker.
    pub fn current(&self, index: u32) -> Option<&Pod> {
        let birth = self.births.get(&index)?;
        self.pods.iter().find(|p| p.index == index && p.birth == *birth)
    }

    /// What is known of the node a pod is on; ready where nothing is.
    pub(crate) fn node(&self, pod: &Pod) -> Node {
        pod.node.as_ref().and_then(|n| self.nodes.get(n)).copied().unwrap_or(Node::Ready)
    }
}
