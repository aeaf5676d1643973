//! A folder that appears whole or not at all: written beside its place under a hidden name, synced, then renamed.
//! Knows nothing of what is inside.
//!
//! A killed writer leaves the hidden folder behind; the next one with the same destination takes it over and empties it.
//! An advisory lock on the folder itself tells a dead writer from one at work.
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::DataError;

/// The hidden folder of one writer. Dropped without [`finish`](Self::finish), it removes itself.
#[derive(Debug)]
pub struct Partial {
    folder: PathBuf,
    place: PathBuf,
    // Held open for its lock.
    _lock: File,
    finished: bool,
}

impl Partial {
    /// Begins a folder that will appear at `place`, which must not exist yet (an empty folder is fine).
    pub fn begin(place: &Path) -> Result<Self, DataError> {
        let taken = || DataError::Taken { path: place.to_owned() };
        let Some(name) = place.file_name() else { return Err(taken()) };
        if let Ok(mut entries) = fs::read_dir(place) {
            if entries.next().is_some() {
                return Err(taken());
            }
        } else if fs::symlink_metadata(place).is_ok() {
            return Err(taken());
        }
        let parent = match place.parent() {
            Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
            _ => PathBuf::from("."),
        };
        fs::create_dir_all(&parent).map_err(|e| DataError::writing(&parent, e))?;
        let folder = parent.join(format!(".{}.partial", name.to_string_lossy()));
        let busy = || DataError::Busy { path: place.to_owned(), lock: folder.clone() };
        match fs::create_dir(&folder) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(DataError::writing(&folder, e)),
            _ => {}
        }
        let lock = File::open(&folder).map_err(|e| DataError::writing(&folder, e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy()),
            Err(TryLockError::Error(e)) => return Err(DataError::writing(&folder, e)),
        }
        // The folder we locked may have been renamed into place by its writer in the meantime.
        let ours = lock.metadata().map_err(|e| DataError::writing(&folder, e))?;
        match fs::metadata(&folder) {
            Ok(there) if there.ino() == ours.ino() && there.dev() == ours.dev() => {}
            _ => return Err(busy()),
        }
        let partial = Self { folder, place: place.to_owned(), _lock: lock, finished: false };
        partial.empty()?;
        Ok(partial)
    }

    /// Where to write.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn empty(&self) -> Result<(), DataError> {
        for entry in fs::read_dir(&self.folder).map_err(|e| DataError::writing(&self.folder, e))? {
            let path = entry.map_err(|e| DataError::writing(&self.folder, e))?.path();
            fs::remove_file(&path).map_err(|e| DataError::writing(&path, e))?;
        }
        Ok(())
    }

    /// Makes the folder appear at its place. The files in it must have been synced.
    pub fn finish(mut self) -> Result<(), DataError> {
        sync_folder(&self.folder)?;
        // Fails if something came to stand there in the meantime, unless that is an empty folder.
        fs::rename(&self.folder, &self.place).map_err(|e| match e.kind() {
            std::io::ErrorKind::DirectoryNotEmpty | std::io::ErrorKind::NotADirectory => {
                DataError::Taken { path: self.place.clone() }
            }
            _ => DataError::writing(&self.place, e),
        })?;
        self.finished = true;
        match self.place.parent() {
            Some(p) if !p.as_os_str().is_empty() => sync_folder(p),
            _ => sync_folder(Path::new(".")),
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.finished
            && let Err(e) = fs::remove_dir_all(&self.folder)
        {
            tracing::warn!(folder = %self.folder.display(), error = %e, "an unfinished data set could not be removed");
        }
    }
}

fn sync_folder(path: &Path) -> Result<(), DataError> {
    File::open(path).and_then(|f| f.sync_all()).map_err(|e| DataError::writing(path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("out");
        let p = Partial::begin(&place).unwrap();
        fs::write(p.folder().join("x"), "x").unwrap();
        assert!(matches!(Partial::begin(&place), Err(DataError::Busy { .. })), "a second writer is told to wait");
        assert!(!place.exists());
        drop(p);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "a failed writer leaves nothing");

        // What a killed writer leaves is taken over.
        fs::create_dir(dir.path().join(".out.partial")).unwrap();
        fs::write(dir.path().join(".out.partial/old"), "half").unwrap();
        let p = Partial::begin(&place).unwrap();
        fs::write(p.folder().join("x"), "x").unwrap();
        p.finish().unwrap();
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
        assert!(matches!(Partial::begin(&place), Err(DataError::Taken { .. })));
    }
}
