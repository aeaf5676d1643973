//! One layer of an image: a tar archive, compressed. The same entries give the same bytes: sorted, owned by root, without
//! times. Must not know what the files are for.

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder, read::GzDecoder};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

/// Named in the key of kept layers: raise it when what is written for the same entries changes.
pub const FORMAT: u32 = 1;

/// Level 6 is gzip's own default; libtorch shrinks by three quarters with it.
const LEVEL: u32 = 6;

/// Something in a layer, with its path from the root.
pub struct Entry {
    path: String,
    what: What,
    mode: u32,
}

enum What {
    Copy(PathBuf),
    Text(String),
    Link(PathBuf),
    Folder,
}

impl Entry {
    /// A copy of a file, with these permissions.
    pub fn file(path: String, from: &Path, mode: u32) -> Self {
        Self { path, what: What::Copy(from.to_owned()), mode }
    }
    /// A copy of a file that everybody may read.
    pub fn copy(path: String, from: PathBuf) -> Self {
        Self { path, what: What::Copy(from), mode: 0o644 }
    }
    /// A file with this text that everybody may read.
    pub fn text(path: String, text: String) -> Self {
        Self { path, what: What::Text(text), mode: 0o644 }
    }
    /// A symbolic link.
    pub fn link(path: String, to: PathBuf) -> Self {
        Self { path, what: What::Link(to), mode: 0o777 }
    }
    /// An empty folder.
    pub fn folder(path: String, mode: u32) -> Self {
        Self { path, what: What::Folder, mode }
    }
}

/// A layer on disk.
pub struct Layer {
    /// The compressed archive.
    pub path: PathBuf,
    /// SHA-256 of it.
    pub digest: String,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of the archive before it was compressed, as an image's configuration names it.
    pub diff_id: String,
}

impl Layer {
    /// Writes the layer of these entries, with the folders they lie in.
    pub fn write(entries: &[Entry], path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
        // No name and no time in the header of gzip either.
        let gzip = GzBuilder::new().mtime(0).write(BufWriter::new(file), Compression::new(LEVEL));
        let mut tar = Builder::new(gzip);
        let mut order: Vec<&Entry> = entries.iter().collect();
        order.sort_by(|a, b| a.path.cmp(&b.path));
        let mut folders = BTreeSet::new();
        for entry in order {
            for folder in Path::new(&entry.path).ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
                let name = folder.to_string_lossy().into_owned();
                if !name.is_empty() && folders.insert(name.clone()) {
                    append(&mut tar, &format!("{name}/"), EntryType::Directory, 0o755, 0, io::empty())?;
                }
            }
            add(&mut tar, entry).with_context(|| format!("cannot put {} into a layer", entry.path))?;
        }
        let gzip = tar.into_inner().context("cannot end a layer")?;
        gzip.finish().and_then(|mut f| f.flush()).with_context(|| format!("cannot write {}", path.display()))?;
        Self::read(path)
    }

    /// A layer that was written before.
    pub fn read(path: &Path) -> Result<Self> {
        let open = || File::open(path).map(BufReader::new).with_context(|| format!("cannot read {}", path.display()));
        let (digest, size) = hash(open()?)?;
        let (diff_id, _) = hash(GzDecoder::new(open()?))?;
        Ok(Self { path: path.to_owned(), digest, size, diff_id })
    }

    /// Removes the file.
    pub fn remove(self) -> Result<()> {
        fs::remove_file(&self.path).with_context(|| format!("cannot remove {}", self.path.display()))
    }
}

fn add<W: Write>(tar: &mut Builder<W>, entry: &Entry) -> Result<()> {
    match &entry.what {
        What::Copy(from) => {
            let file = File::open(from).with_context(|| format!("cannot read {}", from.display()))?;
            let size = file.metadata()?.len();
            append(tar, &entry.path, EntryType::Regular, entry.mode, size, file)
        }
        What::Text(text) => {
            append(tar, &entry.path, EntryType::Regular, entry.mode, text.len() as u64, text.as_bytes())
        }
        What::Folder => append(tar, &format!("{}/", entry.path), EntryType::Directory, entry.mode, 0, io::empty()),
        What::Link(to) => {
            let mut header = header(EntryType::Symlink, entry.mode, 0);
            Ok(tar.append_link(&mut header, &entry.path, to)?)
        }
    }
}

fn append<W: Write>(
    tar: &mut Builder<W>,
    path: &str,
    kind: EntryType,
    mode: u32,
    size: u64,
    data: impl Read,
) -> Result<()> {
    let mut header = header(kind, mode, size);
    Ok(tar.append_data(&mut header, path, data)?)
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// SHA-256 in hexadecimal, and how many bytes there were.
pub fn hash(mut from: impl Read) -> Result<(String, u64)> {
    let mut hash = Sha256::new();
    let size = io::copy(&mut from, &mut hash).context("cannot read back what was written")?;
    Ok((hex::encode(hash.finalize()), size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(from: &Path, turned: bool) -> Vec<Entry> {
        let mut all = vec![
            Entry::file("usr/bin/program".to_owned(), from, 0o755),
            Entry::text("etc/passwd".to_owned(), "root\n".to_owned()),
            Entry::link("lib64/ld.so".to_owned(), PathBuf::from("/lib/ld.so")),
            Entry::folder("tmp".to_owned(), 0o1777),
        ];
        if turned {
            all.reverse();
        }
        all
    }

    #[test]
    fn the_same_entries_give_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        fs::write(&program, b"machine code").unwrap();
        let first = Layer::write(&entries(&program, false), &dir.path().join("a")).unwrap();
        fs::write(&program, b"machine code").unwrap();
        let again = Layer::write(&entries(&program, true), &dir.path().join("b")).unwrap();
        assert_eq!((&first.digest, &first.diff_id), (&again.digest, &again.diff_id));
        fs::write(&program, b"other code").unwrap();
        let other = Layer::write(&entries(&program, false), &dir.path().join("c")).unwrap();
        assert_ne!(first.digest, other.digest);
    }

    #[test]
    fn what_was_put_in_comes_out() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        fs::write(&program, b"machine code").unwrap();
        let layer = Layer::write(&entries(&program, false), &dir.path().join("a")).unwrap();
        let mut tar = tar::Archive::new(GzDecoder::new(File::open(&layer.path).unwrap()));
        let mut seen = Vec::new();
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let h = entry.header();
            assert_eq!((h.uid().unwrap(), h.gid().unwrap(), h.mtime().unwrap()), (0, 0, 0));
            seen.push((entry.path().unwrap().display().to_string(), h.mode().unwrap(), text));
        }
        let names: Vec<&str> = seen.iter().map(|(n, ..)| n.as_str()).collect();
        assert_eq!(
            names,
            ["etc/", "etc/passwd", "lib64/", "lib64/ld.so", "tmp/", "usr/", "usr/bin/", "usr/bin/program"]
        );
        assert_eq!((seen[4].1, seen[7].1, seen[7].2.as_str()), (0o1777, 0o755, "machine code"));
    }
}
