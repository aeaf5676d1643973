//! Files that are whole or not there, whatever kills the process: written beside, synced, then put in place, and the
//! folder synced as well. Blocking; callers on a runtime use `spawn_blocking` or keep them small.
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::LocalError;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The usual.
    Plain,
    /// The owner alone: keys and tokens.
    Secret,
}

/// Replaces the file at `path` by one with these bytes.
pub fn replace(path: &Path, bytes: &[u8], mode: Mode) -> Result<(), LocalError> {
    let beside = beside(path);
    let done =
        write_new(&beside, bytes, mode).and_then(|()| fs::rename(&beside, path)).and_then(|()| sync_parent(path));
    done.map_err(|e| {
        let _ = fs::remove_file(&beside);
        LocalError::write(path, &e)
    })
}

/// Creates the file at `path`; false, and nothing changed, if one is there. Of several that try, one wins.
pub fn create(path: &Path, bytes: &[u8], mode: Mode) -> Result<bool, LocalError> {
    let beside = beside(path);
    let linked = write_new(&beside, bytes, mode).and_then(|()| fs::hard_link(&beside, path));
    let _ = fs::remove_file(&beside);
    match linked {
        Ok(()) => sync_parent(path).map(|()| true).map_err(|e| LocalError::write(path, &e)),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(LocalError::write(path, &e)),
    }
}

/// Makes a folder and all above it.
pub fn folder(path: &Path) -> Result<(), LocalError> {
    fs::create_dir_all(path).map_err(|e| LocalError::write(path, &e))
}

/// Replaces the file at `path` by the JSON of `value`.
pub fn replace_json<T: Serialize>(path: &Path, value: &T, mode: Mode) -> Result<(), LocalError> {
    let mut bytes =
        serde_json::to_vec_pretty(value).map_err(|e| LocalError::Bug(format!("{}: {e}", path.display())))?;
    bytes.push(b'\n');
    replace(path, &bytes, mode)
}

/// Replaces a file that may be lost: whole or not there for readers, but not synced.
pub fn replace_view<T: Serialize>(path: &Path, value: &T) -> Result<(), LocalError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|e| LocalError::Bug(format!("{}: {e}", path.display())))?;
    let beside = beside(path);
    fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path)).map_err(|e| {
        let _ = fs::remove_file(&beside);
        LocalError::write(path, &e)
    })
}

/// The JSON at `path`; none if there is no such file.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, LocalError> {
    let damaged = |e| LocalError::Damaged { path: path.to_owned(), what: format!("{e}: restore it from a copy") };
    parsed(path)?.transpose().map_err(damaged)
}

fn parsed<T: DeserializeOwned>(path: &Path) -> Result<Option<Result<T, serde_json::Error>>, LocalError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes))),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(LocalError::read(path, &e)),
    }
}

/// The JSON at `path`, or none with what is wrong with it: for files whose loss is made good.
pub fn read_or_absent<T: DeserializeOwned>(path: &Path) -> Result<(Option<T>, Option<String>), LocalError> {
    Ok(match parsed(path)? {
        None => (None, None),
        Some(Ok(value)) => (Some(value), None),
        Some(Err(e)) => (None, Some(format!("{} is damaged ({e})", path.display()))),
    })
}

/// A name beside `path` that no other write of this process uses; what a killed process leaves under it is overwritten or
/// removed by [`sweep`].
fn beside(path: &Path) -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let n = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().map(|f| f.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.{}.{n}.new", std::process::id()))
}

/// Removes what killed writers left in `folder`.
pub fn sweep(folder: &Path) -> Result<(), LocalError> {
    let entries = match fs::read_dir(folder) {
        Ok(e) => e,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(LocalError::read(folder, &e)),
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(".new") {
            fs::remove_file(entry.path()).map_err(|e| LocalError::write(&entry.path(), &e))?;
        }
    }
    Ok(())
}

fn write_new(path: &Path, bytes: &[u8], mode: Mode) -> std::io::Result<()> {
    let mode = if mode == Mode::Secret { 0o600 } else { 0o644 };
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_parent(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(p) => File::open(p)?.sync_all(),
        None => Ok(()),
    }
}
