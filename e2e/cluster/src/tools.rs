//! Where the programs of a cluster lie, and whether this machine can run one at all. Must not know how they are built: that
//! is `cargo xtask setup`.

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// Names the folders of the pinned programs, written as a search path is. `cargo xtask` sets it; `cargo xtask cluster env`
/// prints it.
pub const VARIABLE: &str = "COALITION_CLUSTER_TOOLS";

/// Programs of our own building that every cluster needs.
const PINNED: [&str; 8] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
    "pause",
];
/// Programs of Debian's packages, each with the package: what namespaces, nodes and pods are made with.
const DEBIAN: [(&str, &str); 9] = [
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("ip", "iproute2"),
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("busybox", "busybox-static"),
];
/// Where Debian's `containernetworking-plugins` puts them.
pub const CNI: &str = "/usr/lib/cni";

/// The folders that programs are looked for in.
#[derive(Clone, Debug)]
pub struct Tools {
    folders: Vec<PathBuf>,
}

impl Tools {
    /// The folders of [`VARIABLE`], then those of `PATH`.
    pub fn find() -> Self {
        let var = |name| std::env::var_os(name).unwrap_or_default();
        let folders = [var(VARIABLE), var("PATH")].iter().flat_map(std::env::split_paths).collect::<Vec<PathBuf>>();
        Self { folders: folders.into_iter().filter(|folder| folder.is_absolute()).collect() }
    }

    /// The program called `name`.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        match self.folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()) {
            Some(path) => Ok(path),
            None => bail!(
                "`{name}` lies in none of the folders of {VARIABLE} and PATH; `cargo xtask setup` (as root) builds and \
                 installs what clusters need, `cargo xtask cluster env` prints the variable"
            ),
        }
    }

    /// The search path for a person's shell inside.
    pub fn search_path(&self) -> String {
        self.folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(":")
    }
}

/// Why no cluster can be started here, if so: the reason of a skipped test.
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("namespaces and containers need root".to_owned());
    }
    let tools = Tools::find();
    let mut absent: Vec<String> =
        PINNED.iter().filter(|name| tools.path(name).is_err()).map(|name| (*name).to_owned()).collect();
    for (program, package) in DEBIAN {
        if tools.path(program).is_err() {
            absent.push(format!("{program} (package {package})"));
        }
    }
    if !Path::new(CNI).join("bridge").is_file() {
        absent.push(format!("{CNI}/bridge (package containernetworking-plugins)"));
    }
    if absent.is_empty() {
        return None;
    }
    Some(format!(
        "missing: {}; `cargo xtask setup` as root brings them, and `cargo xtask test --only cluster` \
                  tells the tests where they are",
        absent.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_way_to_it() {
        let tools = Tools { folders: vec![PathBuf::from("/nowhere")] };
        let error = tools.path("kubelet").unwrap_err().to_string();
        assert!(error.contains("`kubelet`") && error.contains("cargo xtask setup"), "{error}");
        let here = Tools { folders: vec![PathBuf::from("/nowhere"), PathBuf::from("/bin")] };
        assert_eq!(here.path("sh").unwrap(), Path::new("/bin/sh"));
    }
}
