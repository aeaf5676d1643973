//! What can go wrong with a cluster, as data: a value can be drawn from a seed, written to a result, printed, applied, and
//! taken back. Must not know why a test wants it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A fault of one cluster, or its end. [`crate::Cluster::apply`] does it and returns when it is done.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Fault {
    /// `kill -9`. What is killed is started again by whoever looks after it, if anybody does.
    Kill(Target),
    /// SIGSTOP: alive, its connections stay open, and it answers nothing.
    Stop(Target),
    /// SIGCONT: the end of [`Fault::Stop`].
    Continue(Target),
    /// The cable is pulled: packets vanish, nobody is told.
    Partition(Link),
    /// The cable is put back.
    Heal(Link),
    /// The site's store disk has no byte left.
    FullDisk,
    /// It has room again.
    RoomOnDisk,
    /// kube-apiserver is killed and stays down.
    ApiServerDown,
    /// It is started again and ready.
    ApiServerUp,
    /// etcd is killed and stays down.
    EtcdDown,
    /// It is started again with its data, and the API server is ready.
    EtcdUp,
    /// A node's power is cut: all that runs on it ends at once.
    NodeKilled {
        /// Which, from 1.
        node: u8,
    },
    /// It starts again with its disk.
    NodeBack {
        /// Which, from 1.
        node: u8,
    },
    /// A node's kubelet is killed and stays down; its pods go on.
    KubeletKilled {
        /// Which, from 1.
        node: u8,
    },
    /// It is started again.
    KubeletBack {
        /// Which, from 1.
        node: u8,
    },
}

/// A machine of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// Where the control plane runs.
    Control,
    /// A node, from 1.
    Node(u8),
}

/// Processes of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// On which machine.
    pub place: Place,
    /// The file name of their program, in containers and out of them: `kubelet`, `coalition-trainer`. All that have it.
    pub program: String,
    /// Only those whose first argument is this: of a program that starts itself again, the one or the other. All without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argument: Option<String>,
}

impl Target {
    /// All processes of `program` at `place`.
    pub fn new(place: Place, program: &str) -> Self {
        Self { place, program: program.to_owned(), argument: None }
    }

    /// Of them those whose first argument is `argument`.
    #[must_use]
    pub fn with_argument(mut self, argument: &str) -> Self {
        self.argument = Some(argument.to_owned());
        self
    }
}

/// A cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Link {
    /// Between the whole cluster and the rest of the world; within the cluster all goes on.
    Site,
    /// Of one machine.
    Machine(Place),
}

impl Fault {
    /// What ends this fault; nothing for a kill (who is killed is started again by others) and for what is an end itself.
    pub fn end(&self) -> Option<Self> {
        Some(match self {
            Self::Stop(target) => Self::Continue(target.clone()),
            Self::Partition(link) => Self::Heal(*link),
            Self::FullDisk => Self::RoomOnDisk,
            Self::ApiServerDown => Self::ApiServerUp,
            Self::EtcdDown => Self::EtcdUp,
            Self::NodeKilled { node } => Self::NodeBack { node: *node },
            Self::KubeletKilled { node } => Self::KubeletBack { node: *node },
            _ => return None,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(target) => write!(f, "kill {target}"),
            Self::Stop(target) => write!(f, "stop {target}"),
            Self::Continue(target) => write!(f, "continue {target}"),
            Self::Partition(link) => write!(f, "cut {link}"),
            Self::Heal(link) => write!(f, "heal {link}"),
            Self::FullDisk => f.write_str("fill the store disk"),
            Self::RoomOnDisk => f.write_str("make room on the store disk"),
            Self::ApiServerDown => f.write_str("API server down"),
            Self::ApiServerUp => f.write_str("API server up"),
            Self::EtcdDown => f.write_str("etcd down"),
            Self::EtcdUp => f.write_str("etcd up"),
            Self::NodeKilled { node } => write!(f, "node {node} killed"),
            Self::NodeBack { node } => write!(f, "node {node} back"),
            Self::KubeletKilled { node } => write!(f, "kubelet of node {node} killed"),
            Self::KubeletBack { node } => write!(f, "kubelet of node {node} back"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control => f.write_str("the control plane"),
            Self::Node(node) => write!(f, "node {node}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.argument {
            Some(argument) => write!(f, "`{} {argument}` on {}", self.program, self.place),
            None => write!(f, "`{}` on {}", self.program, self.place),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site => f.write_str("the site's link"),
            Self::Machine(place) => write!(f, "the link of {place}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_data_and_reads_well() {
        let kill = Fault::Kill(Target::new(Place::Node(2), "coalition-trainer"));
        assert_eq!(kill.to_string(), "kill `coalition-trainer` on node 2");
        let cut = Fault::Partition(Link::Machine(Place::Control));
        assert_eq!(cut.to_string(), "cut the link of the control plane");
        let worker = Fault::Kill(Target::new(Place::Node(1), "coalition-trainer").with_argument("work"));
        assert_eq!(worker.to_string(), "kill `coalition-trainer work` on node 1");
        for fault in [kill, worker, cut, Fault::FullDisk, Fault::NodeKilled { node: 1 }] {
            let text = serde_json::to_string(&fault).unwrap();
            assert_eq!(serde_json::from_str::<Fault>(&text).unwrap(), fault, "{text}");
        }
        let text = serde_json::to_string(&Fault::KubeletKilled { node: 3 }).unwrap();
        assert_eq!(text, r#"{"kubeletKilled":{"node":3}}"#);
    }

    #[test]
    fn an_end_has_no_end() {
        let cut = Fault::Partition(Link::Site);
        let heal = cut.end().unwrap();
        assert_eq!(heal, Fault::Heal(Link::Site));
        assert_eq!(heal.end(), None);
    }
}
