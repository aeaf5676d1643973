//! The build folder that all clones share for the sake of compiled dependencies, and how one clone keeps out of another's way.
//!
//! cargo names what it compiles of a workspace by paths relative to its root, and judges freshness by times: in a shared
//! folder it would take the crates another clone has built later for this clone's own. So the folder belongs to one clone at
//! a time, for as long as an xtask of that clone runs, and at a change of hands the workspace's own crates are forgotten;
//! the dependencies, which are what takes long, stay.

use crate::say;
use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::path::Path;

/// Holds the clone whose crates the folder has, and the lock.
const OWNER: &str = "clone";
/// What the names of the workspace's own packages begin with.
const OURS: [&str; 2] = ["coalition-", "xtask-"];

/// Takes `folder` for the clone at `root`, waiting while another clone uses it. It is given back when the file is dropped.
pub fn take(folder: &Path, root: &Path) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the build folder {}", folder.display()))?;
    let path = folder.join(OWNER);
    let open = || {
        let file = OpenOptions::new().create(true).append(true).read(true).open(&path);
        file.with_context(|| format!("cannot open {}", path.display()))
    };
    let lock = |file: &File, how| flock(file, how).with_context(|| format!("cannot lock {}", path.display()));
    loop {
        let file = open()?;
        lock(&file, FlockOperation::LockShared)?;
        if owner(&path)? == root.as_os_str().as_encoded_bytes() {
            return Ok(file);
        }
        drop(file);
        let file = open()?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            say::line(&format!("waiting: {} builds in {}", String::from_utf8_lossy(&owner(&path)?), folder.display()));
            lock(&file, FlockOperation::LockExclusive)?;
        }
        forget(folder)?;
        fs::write(&path, root.as_os_str().as_encoded_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        // Another clone may come between this lock and the shared one: then it starts over.
    }
}

fn owner(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Removes cargo's notes on the workspace's own crates in every profile, so that they count as not built.
fn forget(folder: &Path) -> Result<()> {
    let entries = |dir: &Path| fs::read_dir(dir).map(|all| all.filter_map(Result::ok)).into_iter().flatten();
    for profile in entries(folder) {
        for unit in entries(&profile.path().join(".fingerprint")) {
            if OURS.iter().any(|ours| unit.file_name().to_string_lossy().starts_with(ours)) {
                let path = unit.path();
                fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_hands_forgets_our_crates_alone() {
        let dir = tempfile::tempdir().unwrap();
        let units = dir.path().join("debug/.fingerprint");
        let unit = |name: &str| units.join(name);
        let make = |name: &str| fs::create_dir_all(unit(name)).unwrap();
        let first = take(dir.path(), Path::new("/first")).unwrap();
        make("coalition-planner-0123");
        make("serde-0123");
        let again = take(dir.path(), Path::new("/first")).unwrap();
        assert!(unit("coalition-planner-0123").exists(), "the same clone, also at the same time, keeps everything");
        drop((first, again));
        drop(take(dir.path(), Path::new("/second")).unwrap());
        assert!(!unit("coalition-planner-0123").exists() && unit("serde-0123").exists());
    }

    #[test]
    fn another_clone_waits() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(dir.path(), Path::new("/first")).unwrap();
        let folder = dir.path().to_owned();
        let (taken, seen) = std::sync::mpsc::channel();
        let second = std::thread::spawn(move || {
            let held = take(&folder, Path::new("/second")).unwrap();
            taken.send(()).unwrap();
            drop(held);
        });
        assert_eq!(
            owner(&dir.path().join(OWNER)).unwrap(),
            b"/first",
            "nothing changes hands while the first holds it"
        );
        assert!(seen.try_recv().is_err());
        drop(first);
        seen.recv_timeout(std::time::Duration::from_secs(30)).unwrap();
        second.join().unwrap();
    }
}
