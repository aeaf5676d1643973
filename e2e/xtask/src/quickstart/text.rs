//! Text to train on without a network: the Rust sources cargo has already fetched for the build.
//!
//! The choice depends on the lock file alone, so every machine with the same lock trains on the same bytes: every package of
//! this platform gives its own sources, in the order of names, each up to the same limit, so that no single large package
//! makes up the text. Of a package in several versions only the newest counts: files that hardly differ, one trained on and
//! one held out, would make the figures of every model better than they are.

use crate::build::root;
use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};

/// Files above this are mostly generated tables, from which there is little to learn.
const LARGEST_FILE: u64 = 200_000;

/// A file to train on.
struct Source {
    /// `package-version/path/in/it.rs`
    name: String,
    from: PathBuf,
    bytes: u64,
}

/// What was copied.
pub struct Text {
    /// Where it lies.
    pub folder: PathBuf,
    /// Files.
    pub files: usize,
    /// Bytes.
    pub bytes: u64,
    /// SHA-256 over names and contents, 12 digits.
    pub key: String,
}

/// Copies at most `limit` bytes of Rust sources below `into`, which is replaced.
pub fn collect(into: &Path, limit: u64) -> Result<Text> {
    let packages = packages()?;
    let chosen = choose(&packages, limit);
    if chosen.is_empty() {
        bail!("cargo has fetched no Rust sources to train on; `cargo fetch` gets them");
    }
    if into.exists() {
        fs::remove_dir_all(into).with_context(|| format!("cannot replace {}", into.display()))?;
    }
    let mut hash = Sha256::new();
    let mut bytes = 0;
    for source in &chosen {
        let content = fs::read(&source.from).with_context(|| format!("cannot read {}", source.from.display()))?;
        hash.update(source.name.as_bytes());
        hash.update((content.len() as u64).to_le_bytes());
        hash.update(&content);
        bytes += content.len() as u64;
        let to = into.join(&source.name);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::write(&to, content).with_context(|| format!("cannot write {}", to.display()))?;
    }
    let key = hex::encode(hash.finalize()).chars().take(12).collect();
    Ok(Text { folder: into.to_owned(), files: chosen.len(), bytes, key })
}

/// The registry packages of this platform with their source files, both in the order of names.
fn packages() -> Result<Vec<Vec<Source>>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--locked", "--filter-platform", "x86_64-unknown-linux-gnu"].map(str::to_owned))
        .exec()
        .context("cargo could not list the packages of the build")?;
    // Packages with a source come from a registry; ours have none.
    let found = metadata.packages.iter().filter(|package| package.source.is_some());
    let found =
        found.filter_map(|p| Some((p.name.to_string(), (p.version.clone(), p.manifest_path.parent()?.as_std_path()))));
    newest(found)
        .into_iter()
        .map(|(name, (version, folder))| {
            let mut sources = Vec::new();
            walk(&folder.join("src"), &format!("{name}-{version}/src"), &mut sources)?;
            Ok(sources)
        })
        .collect()
}

/// The highest version of each name, in the order of names.
fn newest<V: Ord>(all: impl Iterator<Item = (String, V)>) -> BTreeMap<String, V> {
    let mut kept = BTreeMap::new();
    for (name, version) in all {
        match kept.entry(name) {
            Entry::Vacant(none) => {
                none.insert(version);
            }
            Entry::Occupied(mut known) if *known.get() < version => {
                known.insert(version);
            }
            Entry::Occupied(_) => {}
        }
    }
    kept
}

fn walk(folder: &Path, name: &str, sources: &mut Vec<Source>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    let mut entries: Vec<_> = entries.filter_map(Result::ok).map(|e| (e.file_name(), e.path())).collect();
    entries.sort();
    for (file, path) in entries {
        let file = file.to_string_lossy();
        let meta = fs::symlink_metadata(&path).with_context(|| format!("cannot look at {}", path.display()))?;
        let name = format!("{name}/{file}");
        if meta.is_dir() {
            walk(&path, &name, sources)?;
        } else if meta.is_file() && file.ends_with(".rs") && (1..=LARGEST_FILE).contains(&meta.len()) {
            sources.push(Source { name, from: path, bytes: meta.len() });
        }
    }
    Ok(())
}

/// Whole files, package by package, with the largest equal share for each package that stays within `limit`.
fn choose(packages: &[Vec<Source>], limit: u64) -> Vec<&Source> {
    let take = |share: u64| -> Vec<&Source> {
        let mut chosen = Vec::new();
        for package in packages {
            let mut left = share;
            for source in package {
                // Whole files only; the first that does not fit ends the package.
                let Some(rest) = left.checked_sub(source.bytes) else { break };
                left = rest;
                chosen.push(source);
            }
        }
        chosen
    };
    let total = |share: u64| take(share).iter().map(|s| s.bytes).sum::<u64>();
    let (mut fits, mut bound) = (0, limit + 1);
    while bound - fits > 1 {
        let middle = fits + (bound - fits) / 2;
        if total(middle) <= limit { fits = middle } else { bound = middle }
    }
    take(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(sizes: &[u64]) -> Vec<Source> {
        sizes.iter().map(|&bytes| Source { name: String::new(), from: PathBuf::new(), bytes }).collect()
    }

    #[test]
    fn small_packages_give_all_and_large_ones_a_share() {
        let packages = [package(&[10, 10]), package(&[100; 50]), package(&[100; 50])];
        let chosen = choose(&packages, 1020);
        let bytes: u64 = chosen.iter().map(|s| s.bytes).sum();
        assert_eq!((chosen.len(), bytes), (12, 1020), "20 of the small one, five files of each large one");
        assert_eq!(choose(&packages, 1_000_000).len(), 102, "everything fits");
        assert!(choose(&packages, 5).is_empty());
    }

    #[test]
    fn of_several_versions_the_newest_counts() {
        let all = [("syn", 2), ("syn", 3), ("rand", 9), ("syn", 1)].map(|(name, v)| (name.to_owned(), v));
        let kept: Vec<_> = newest(all.into_iter()).into_iter().collect();
        assert_eq!(kept, [("rand".to_owned(), 9), ("syn".to_owned(), 3)]);
    }

    #[test]
    fn the_text_is_the_same_each_time_and_within_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let a = collect(&dir.path().join("a"), 300_000).unwrap();
        let b = collect(&dir.path().join("b"), 300_000).unwrap();
        assert_eq!(a.key, b.key);
        assert!(a.bytes <= 300_000 && a.bytes > 150_000, "{} bytes", a.bytes);
    }
}
