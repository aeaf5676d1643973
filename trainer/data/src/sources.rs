//! Finds the files to prepare: walks folders and applies the name filters. Reads no contents.
//!
//! Files named directly are always taken; below a folder, hidden entries and symbolic links are passed by (a link can lead
//! out of the folder or in a circle), and so is everything that is neither a file nor a folder (opening a pipe would hang).
//! A file of a prepared data set is refused: whoever prepares a folder twice, with the result in it, did not mean that. Only
//! the beginning of an index is read for that.
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::index;
use crate::pattern::Pattern;

/// More files than this are refused: their list would no longer be small. 16 Mi paths are about 2 GiB.
const MOST_FILES: usize = 1 << 24;
/// Deeper folders than this are refused: Linux cannot name them by a path of 4096 bytes anyway.
const DEEPEST: usize = 1024;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Files to read, in no particular order.
    pub files: Vec<PathBuf>,
    /// Files that the filter left out.
    pub left_out: u64,
}

/// Which files below a folder are meant.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// A file must match one of these; an empty list takes all.
    pub include: Vec<Pattern>,
    /// A file must match none of these.
    pub exclude: Vec<Pattern>,
}

impl Filter {
    fn takes(&self, relative: &str) -> bool {
        (self.include.is_empty() || self.include.iter().any(|p| p.matches(relative)))
            && !self.exclude.iter().any(|p| p.matches(relative))
    }
}

/// All files under `sources`.
pub fn find(sources: &[PathBuf], filter: &Filter) -> Result<Found, DataError> {
    let mut found = Found::default();
    for source in sources {
        let meta = fs::metadata(source).map_err(|e| DataError::reading(source, e))?;
        if meta.is_dir() {
            walk(source, filter, &mut found)?;
        } else if meta.is_file() {
            if source.parent().is_some_and(is_prepared) {
                return Err(prepared(source, "*"));
            }
            found.files.push(source.clone());
        } else {
            return Err(DataError::Option {
                field: "source",
                value: source.display().to_string(),
                bound: "it must be a file or a folder".to_owned(),
            });
        }
    }
    Ok(found)
}

fn walk(root: &Path, filter: &Filter, found: &mut Found) -> Result<(), DataError> {
    let mut open = vec![(root.to_owned(), String::new(), 0)];
    while let Some((folder, relative, depth)) = open.pop() {
        let entries = fs::read_dir(&folder).map_err(|e| DataError::reading(&folder, e))?;
        let ours = is_prepared(&folder);
        for entry in entries {
            let entry = entry.map_err(|e| DataError::reading(&folder, e))?;
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            let kind = entry.file_type().map_err(|e| DataError::reading(&path, e))?;
            let below = if relative.is_empty() { name.into_owned() } else { format!("{relative}/{name}") };
            if kind.is_dir() {
                if depth >= DEEPEST {
                    return Err(too_much("depth of folders", DEEPEST));
                }
                open.push((path, below, depth + 1));
            } else if kind.is_file() {
                if filter.takes(&below) {
                    if ours {
                        let pattern = if relative.is_empty() { "*".to_owned() } else { format!("{relative}/*") };
                        return Err(prepared(&path, &pattern));
                    }
                    if found.files.len() >= MOST_FILES {
                        return Err(too_much("number of files", MOST_FILES));
                    }
                    found.files.push(path);
                } else {
                    found.left_out += 1;
                }
            }
        }
    }
    Ok(())
}

/// True if a preparation wrote this folder. One that cannot be read is none: whoever reads its files will say so.
fn is_prepared(folder: &Path) -> bool {
    let mut start = Vec::new();
    // The index begins with its format; people may have files of that name, too.
    let read = File::open(folder.join(index::FILE)).and_then(|f| f.take(256).read_to_end(&mut start));
    read.is_ok() && String::from_utf8_lossy(&start).contains(&format!("\"{}\"", index::FORMAT))
}

fn prepared(file: &Path, pattern: &str) -> DataError {
    DataError::Prepared { file: file.to_owned(), pattern: pattern.to_owned() }
}

fn too_much(what: &'static str, bound: usize) -> DataError {
    DataError::Option {
        field: what,
        value: format!("more than {bound}"),
        bound: format!("at most {bound}; prepare the folders one by one"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_by_what_is_hidden_linked_or_filtered() {
        let dir = tempfile::tempdir().unwrap();
        let at = |p: &str| dir.path().join(p);
        fs::create_dir_all(at("a/.git")).unwrap();
        fs::create_dir_all(at("a/b")).unwrap();
        for f in ["a/x.rs", "a/b/y.rs", "a/b/z.txt", "a/.git/h.rs", "a/.hidden.rs"] {
            fs::write(at(f), f).unwrap();
        }
        std::os::unix::fs::symlink(at("a"), at("a/b/loop")).unwrap();
        std::os::unix::fs::symlink(at("a/x.rs"), at("a/b/link.rs")).unwrap();
        let filter = Filter { include: vec![Pattern::new("*.rs")], exclude: vec![Pattern::new("b/y*")] };
        let found = find(&[at("a"), at("a/b/z.txt")], &filter).unwrap();
        let mut names: Vec<_> = found.files.iter().map(|p| p.strip_prefix(dir.path()).unwrap().to_owned()).collect();
        names.sort();
        assert_eq!(names, ["a/b/z.txt", "a/x.rs"].map(PathBuf::from));
        assert_eq!(found.left_out, 2, "y.rs and z.txt");
    }

    #[test]
    fn a_prepared_data_set_is_no_source() {
        let dir = tempfile::tempdir().unwrap();
        let at = |p: &str| dir.path().join(p);
        fs::create_dir_all(at("a/b/set")).unwrap();
        fs::write(at("a/x.rs"), "x").unwrap();
        fs::write(at("a/b/set/train-00000.bin"), "x").unwrap();
        fs::write(at("a/b/set/dataset.json"), "{\"mine\": 1}").unwrap();
        assert_eq!(find(&[at("a")], &Filter::default()).unwrap().files.len(), 3, "somebody's own file of that name");
        fs::write(at("a/b/set/dataset.json"), "{\n  \"format\": \"coalition-dataset\",").unwrap();
        for source in ["a", "a/b/set", "a/b/set/train-00000.bin"] {
            let e = find(&[at(source)], &Filter::default()).unwrap_err();
            assert!(matches!(&e, DataError::Prepared { file, .. } if file.starts_with(at("a/b/set"))), "{e}");
            assert_eq!(e.exit_code(), 65);
        }
        let e = find(&[at("a")], &Filter::default()).unwrap_err().to_string();
        assert!(e.contains("--exclude 'b/set/*'"), "{e}");
        // What the message says works, and so does a filter that takes nothing of it.
        for (include, exclude) in [(vec![], vec![Pattern::new("b/set/*")]), (vec![Pattern::new("*.rs")], vec![])] {
            assert_eq!(find(&[at("a")], &Filter { include, exclude }).unwrap().files, [at("a/x.rs")]);
        }
    }

    #[test]
    fn a_missing_source_is_named() {
        let e = find(&[PathBuf::from("/no/such/thing")], &Filter::default()).unwrap_err();
        assert!(e.to_string().contains("/no/such/thing"), "{e}");
        assert_eq!(e.exit_code(), 65);
    }
}
