//! One runner in a folder at a time: an advisory lock that the kernel lets go of when the process dies, however it dies.
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::LocalError;
use crate::layout::Layout;

/// How often a runner that finds the lock taken tries again, and how long it waits in between. Who asks whether a runner is
/// at work ([`RunnerLock::is_held`]) holds the lock for some microseconds itself, five times a second at most
/// ([`crate::control::POLL`]); a runner holds it for as long as it lives.
const TRIES: (u32, Duration) = (5, Duration::from_millis(20));

/// The lock, held as long as this lives.
#[derive(Debug)]
pub struct RunnerLock {
    layout: Layout,
    file: Mutex<File>,
}

impl RunnerLock {
    /// Takes the lock, or says who has it.
    pub fn take(layout: &Layout) -> Result<Self, LocalError> {
        Ok(Self { layout: layout.clone(), file: Mutex::new(Self::lock(layout)?) })
    }

    /// Makes sure that the lock is still the folder's: someone may have removed its file, and then another runner could take
    /// a new one. Takes it again if nobody has; an error if another runner has it now: then this one must give way.
    pub fn keep(&self) -> Result<(), LocalError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let number = |m: std::fs::Metadata| (m.dev(), m.ino());
        if !self.layout.dir().exists() {
            return Err(LocalError::Moved { dir: self.layout.dir().to_owned() });
        }
        let ours = file.metadata().map(number).ok();
        if ours.is_none() || ours != std::fs::metadata(self.layout.lock()).map(number).ok() {
            *file = Self::lock(&self.layout)?;
            tracing::warn!("the lock's file was removed: it was taken again");
        }
        Ok(())
    }

    fn lock(layout: &Layout) -> Result<File, LocalError> {
        let path = layout.lock();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| LocalError::write(&path, &e))?;
        let mut tries = 1;
        while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            if tries == TRIES.0 {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                return Err(LocalError::Busy { dir: layout.dir().to_owned(), pid: pid.trim().to_owned() });
            }
            tries += 1;
            std::thread::sleep(TRIES.1);
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|e| LocalError::write(&path, &e))?;
        Ok(file)
    }

    /// The process that took the lock last, whether it lives or not: while it is held, one that starts may not have written
    /// its number yet.
    pub fn holder(layout: &Layout) -> Option<u32> {
        std::fs::read_to_string(layout.lock()).ok()?.trim().parse().ok()
    }

    /// True if a runner holds the lock now. Creates nothing, and does not hinder a runner that starts just then.
    pub fn is_held(layout: &Layout) -> bool {
        File::open(layout.lock()).is_ok_and(|f| flock(&f, FlockOperation::NonBlockingLockShared).is_err())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_hinders_no_runner_that_starts() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path()).unwrap();
        assert!(!RunnerLock::is_held(&layout));
        assert!(!layout.lock().exists(), "asking leaves nothing behind");
        drop(RunnerLock::take(&layout).unwrap());
        // What `is_held` does for an instant, longer: until the runner has tried once at least.
        let asking = File::open(layout.lock()).unwrap();
        flock(&asking, FlockOperation::NonBlockingLockShared).unwrap();
        let letting_go = std::thread::spawn(move || {
            std::thread::sleep(TRIES.1);
            drop(asking);
        });
        let held = RunnerLock::take(&layout).unwrap();
        letting_go.join().unwrap();
        assert!(RunnerLock::is_held(&layout));
        assert_eq!(RunnerLock::holder(&layout), Some(std::process::id()));
        assert!(RunnerLock::take(&layout).is_err(), "a runner is not waited for");
        drop(held);
        assert!(!RunnerLock::is_held(&layout));
    }

    #[test]
    fn a_lock_whose_file_was_removed_is_taken_again_or_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path()).unwrap();
        let first = RunnerLock::take(&layout).unwrap();
        first.keep().unwrap();
        std::fs::remove_file(layout.lock()).unwrap();
        first.keep().unwrap();
        assert!(RunnerLock::take(&layout).is_err(), "it is held again");
        std::fs::remove_file(layout.lock()).unwrap();
        let second = RunnerLock::take(&layout).unwrap();
        let lost = first.keep().unwrap_err().to_string();
        assert!(lost.contains("in use by another runner"), "{lost}");
        second.keep().unwrap();
    }
}
