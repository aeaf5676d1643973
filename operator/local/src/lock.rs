//! One runner in a folder at a time: an advisory lock that the kernel lets go of when the process dies, however it dies.
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};

use rustix::fs::{FlockOperation, flock};

use crate::LocalError;
use crate::layout::Layout;

/// The lock, held as long as this lives.
#[derive(Debug)]
pub struct RunnerLock {
    _file: File,
}

impl RunnerLock {
    /// Takes the lock, or says who has it.
    pub fn take(layout: &Layout) -> Result<Self, LocalError> {
        let path = layout.lock();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| LocalError::write(&path, &e))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            return Err(LocalError::Busy { dir: layout.dir().to_owned(), pid: pid.trim().to_owned() });
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|e| LocalError::write(&path, &e))?;
        Ok(Self { _file: file })
    }

    /// True if a runner holds the lock now.
    pub fn is_held(layout: &Layout) -> bool {
        File::open(layout.lock()).is_ok_and(|f| flock(&f, FlockOperation::NonBlockingLockShared).is_err())
    }
}
