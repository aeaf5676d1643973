//! The control groups of one world: made before a kubelet needs them, removed by their own names. They are the one thing
//! that namespaces do not take with them. Must not know what runs in them.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::wait;

/// How long the kernel may take to empty a group whose processes were killed.
const EMPTY: Duration = Duration::from_secs(10);

/// The top of every hierarchy of this machine: one with version 2, several with version 1 (and then perhaps both).
fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
    let tops: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (_, at, kind) = (words.next()?, words.next()?, words.next()?);
            matches!(kind, "cgroup" | "cgroup2").then(|| PathBuf::from(at))
        })
        .collect();
    if tops.is_empty() {
        bail!("no control groups are mounted: containers need them (mount -t cgroup2 none /sys/fs/cgroup)");
    }
    Ok(tops)
}

/// Makes the group `name` in every hierarchy: a kubelet refuses a root that is not there.
pub fn make(name: &str) -> Result<()> {
    for top in hierarchies()? {
        let path = top.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make the control group {}", path.display()))?;
    }
    Ok(())
}

/// Removes every group whose name begins with `prefix`, with all below it. Their processes must have been killed.
pub fn remove(prefix: &str) -> Result<()> {
    wait::until(&format!("the control groups {prefix}* to be empty"), EMPTY, || {
        let left = left(prefix)?;
        for group in &left {
            remove_below(group);
        }
        Ok(left.iter().all(|group| !group.exists()).then_some(()))
    })
}

/// Every group whose name begins with `prefix`.
pub fn left(prefix: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for top in hierarchies()? {
        let entries = fs::read_dir(&top).with_context(|| format!("cannot list {}", top.display()))?;
        found.extend(
            entries
                .filter_map(Result::ok)
                .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
                .map(|entry| entry.path())
                .filter(|path| path.is_dir()),
        );
    }
    Ok(found)
}

/// Deepest first, as the kernel wants it. What cannot be removed yet is tried again by the caller.
fn remove_below(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}
