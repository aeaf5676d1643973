//! The cache folder: downloads and built tools, outside the clone, shared by all clones.
//!
//! An entry is named by what it is made from (a hash of pins or lock files), filled in a temporary folder, and appears by
//! one rename: it is complete or it is not there. A lock file per entry keeps two runs from filling the same one.

use crate::say;
use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// File that marks an entry as complete; its content says what the entry was made from.
const COMPLETE: &str = ".complete";

/// The cache folder.
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$COALITION_CACHE`, else `$XDG_CACHE_HOME/coalition`, else `~/.cache/coalition`; made if missing.
    pub fn open() -> Result<Self> {
        let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let root = var("COALITION_CACHE")
            .or_else(|| var("XDG_CACHE_HOME").map(|d| d.join("coalition")))
            .or_else(|| var("HOME").map(|d| d.join(".cache/coalition")))
            .context(
                "no place for the cache: neither COALITION_CACHE nor HOME is set; set COALITION_CACHE to a folder",
            )?;
        Self::at(&root)
    }

    /// The cache at `root`, made if missing.
    pub fn at(root: &Path) -> Result<Self> {
        let root = std::path::absolute(root).context("the cache folder has no absolute path")?;
        fs::create_dir_all(&root).with_context(|| {
            format!("cannot make the cache folder {}: set COALITION_CACHE to one you can write to", root.display())
        })?;
        Ok(Self { root })
    }

    /// Path of the entry called `name`, there or not.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Whether the entry called `name` is complete.
    pub fn has(&self, name: &str) -> bool {
        self.path(name).join(COMPLETE).is_file()
    }

    /// Holds the lock called `name` until the returned file is dropped; says so when somebody else has it.
    pub fn lock(&self, name: &str) -> Result<File> {
        let path = self.root.join(format!("{name}.lock"));
        let file = File::create(&path).with_context(|| format!("cannot make the lock file {}", path.display()))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            say::line(&format!("waiting for another run that is busy with {name} (lock {})", path.display()));
            flock(&file, FlockOperation::LockExclusive).with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(file)
    }

    /// The entry called `name`, filled by `fill` if it is not complete. `fill` gets an empty temporary folder; `made_from`
    /// is kept beside the result for people who wonder.
    pub fn install(&self, name: &str, made_from: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let entry = self.path(name);
        if self.has(name) {
            return Ok(entry);
        }
        let _lock = self.lock(name)?;
        if self.has(name) {
            return Ok(entry);
        }
        // We hold the lock, so whatever lies here is what a killed run left.
        let tmp = self.root.join(format!(".filling-{name}"));
        remove(&tmp)?;
        remove(&entry)?;
        fs::create_dir_all(&tmp).with_context(|| format!("cannot make {}", tmp.display()))?;
        let filled = fill(&tmp)
            .and_then(|()| fs::write(tmp.join(COMPLETE), made_from).context("cannot write the completion mark"))
            .and_then(|()| {
                fs::rename(&tmp, &entry).with_context(|| format!("cannot move the entry to {}", entry.display()))
            });
        if let Err(error) = filled {
            remove(&tmp)?;
            return Err(error);
        }
        Ok(entry)
    }
}

fn remove(path: &Path) -> Result<()> {
    let gone = if path.is_symlink() || path.is_file() { fs::remove_file(path) } else { fs::remove_dir_all(path) };
    match gone {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            bail!("cannot remove what an interrupted run left at {}: {error}", path.display())
        }
        _ => Ok(()),
    }
}

/// Twelve hexadecimal digits of the SHA-256 over `parts`, each preceded by its length.
pub fn key<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize()).chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_complete_or_absent() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path()).unwrap();
        let failed = cache.install("thing", "pins", |at| {
            fs::write(at.join("half"), "written").unwrap();
            bail!("the download broke")
        });
        assert!(failed.unwrap_err().to_string().contains("the download broke"));
        assert!(!cache.has("thing") && !cache.path("thing").exists(), "a failed fill leaves nothing");

        let at = cache.install("thing", "pins", |at| Ok(fs::write(at.join("file"), "whole")?)).unwrap();
        assert_eq!(fs::read_to_string(at.join("file")).unwrap(), "whole");
        cache.install("thing", "pins", |_| bail!("must not fill again")).unwrap();
    }

    #[test]
    fn what_a_killed_run_left_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path()).unwrap();
        for left in [".filling-thing", "thing"] {
            fs::create_dir_all(dir.path().join(left)).unwrap();
            fs::write(dir.path().join(left).join("half"), "old").unwrap();
        }
        let at = cache.install("thing", "pins", |at| Ok(fs::write(at.join("file"), "new")?)).unwrap();
        assert!(at.join("file").is_file() && !at.join("half").exists());
    }

    #[test]
    fn two_runs_fill_an_entry_once() {
        let dir = tempfile::tempdir().unwrap();
        let fills = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let cache = Cache::at(dir.path()).unwrap();
                    cache
                        .install("thing", "pins", |_| {
                            fills.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                            Ok(())
                        })
                        .unwrap();
                });
            }
        });
        assert_eq!(fills.into_inner(), 1);
    }

    #[test]
    fn keys_differ_where_the_parts_differ() {
        assert_eq!(key([b"a".as_slice(), b"b"]).len(), 12);
        assert_ne!(key([b"ab".as_slice()]), key([b"a".as_slice(), b"b"]));
    }
}
