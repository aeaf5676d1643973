//! Where in a cache a data set lies, and who may write it. A data set appears there whole or not at all: it is gathered beside its
//! place under a hidden name, and what a killed process gathered stays for the next one. Must not know where it comes from.
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use coalition_protocol::{Digest, exit};
use rustix::fs::statvfs;

use crate::alive::turned;
use crate::failure::Failure;

/// How often a worker looks whether another one has finished fetching.
const LOOK: Duration = Duration::from_millis(200);
/// Kept free beside the data set, for what else lies on the same disk: logs, and the files of the node.
const SPARE: u64 = 64 << 20;

/// The place of one data set in a cache.
#[derive(Debug)]
pub struct Place {
    /// Where it is found once it is whole.
    pub folder: PathBuf,
    /// Where it is gathered.
    pub partial: PathBuf,
    lock: PathBuf,
    cache: PathBuf,
}

impl Place {
    /// The place of what comes from `url`: its last part, and some of the whole address's digest, for people and against
    /// confusion.
    pub fn new(cache: &Path, url: &str) -> Self {
        let name = url.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let name = format!("{name}-{}", &Digest::of(url.as_bytes()).to_string()[..8]);
        Self {
            folder: cache.join(&name),
            partial: cache.join(format!(".{name}.partial")),
            lock: cache.join(format!(".{name}.lock")),
            cache: cache.to_owned(),
        }
    }

    /// Makes the cache, and waits until no other process writes this place. The wait has no bound of its own: the system takes the
    /// lock from a process that ends, and one that hangs is ended by its supervisor.
    pub fn lock(&self) -> Result<File, Failure> {
        fs::create_dir_all(&self.cache).map_err(|e| self.bad(&e))?;
        let file = File::create(&self.lock).map_err(|e| self.bad(&e))?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::info!(
                            "another process brings the data set to {}: waiting for it",
                            self.folder.display()
                        );
                    }
                    turned();
                    thread::sleep(LOOK);
                }
                Err(TryLockError::Error(e)) => return Err(self.bad(&e)),
            }
        }
    }

    /// Removes a data set that is not whole.
    pub fn forget(&self) -> Result<(), Failure> {
        fs::remove_dir_all(&self.folder).map_err(|e| self.bad(&e))
    }

    /// Refuses to begin what cannot end: `bytes` are still to be written.
    pub fn room(&self, bytes: u64) -> Result<(), Failure> {
        let free =
            statvfs(&self.cache).map(|s| s.f_bavail.saturating_mul(s.f_frsize)).map_err(|e| self.bad(&e.into()))?;
        if bytes.saturating_add(SPARE) <= free {
            return Ok(());
        }
        Err(Failure::new(
            exit::TRY_AGAIN,
            format!(
                "dataCache {}: {} MiB of the data set are still to be brought, and only {} MiB are free: give the cache a larger \
                 volume (of a pod: the sizeLimit of its emptyDir, and the node's disk), or free some space",
                self.cache.display(),
                bytes.div_ceil(1 << 20),
                free >> 20
            ),
        ))
    }

    /// Makes the gathered data set appear. Its files must have been synced.
    pub fn appear(&self) -> Result<(), Failure> {
        let sync = |folder: &Path| File::open(folder).and_then(|f| f.sync_all());
        sync(&self.partial)
            .and_then(|()| fs::rename(&self.partial, &self.folder))
            .and_then(|()| sync(&self.cache))
            .map_err(|e| self.bad(&e))
    }

    /// An error of the cache's disk. Someone may mend that, so it is tried again.
    pub fn bad(&self, e: &std::io::Error) -> Failure {
        Failure::new(
            exit::TRY_AGAIN,
            format!(
                "dataCache {}: {e}; check that there is room and that this user may write there",
                self.cache.display()
            ),
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_one_place() {
        let place = |url| Place::new(Path::new("/cache"), url).folder;
        let name = place("s3://bucket/sets/rust").display().to_string();
        assert!(name.starts_with("/cache/rust-"), "{name}");
        assert_ne!(place("s3://bucket/sets/rust"), place("s3://other/sets/rust"));
    }

    #[test]
    fn what_does_not_fit_is_not_begun() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path(), "s3://bucket/rust");
        place.room(0).unwrap();
        let e = place.room(1 << 60).unwrap_err();
        assert!(e.code == 75 && e.message.contains("MiB are free") && e.message.contains("emptyDir"), "{e}");
    }
}
