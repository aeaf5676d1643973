//! What can go wrong with data, said so that a person can act on it. Knows nothing of how the data is used.
use std::io;
use std::path::{Path, PathBuf};

use coalition_protocol::{Digest, exit};

use crate::shell;

/// An error of preparing or reading a dataset. Each message names the object, the bound and the way out.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// An option that cannot be used, whatever the files hold.
    #[error("{field}: {value} is not usable: {bound}")]
    Option {
        /// Which option.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        bound: String,
    },
    /// Nothing to prepare.
    #[error(
        "no document found under {sources}: looked at {seen} files, {empty} of them empty, {left_out} left out by the filter \
         or as not UTF-8, {binary} binary; name other files or folders, widen --include, or take binary files with --binary"
    )]
    NoDocuments {
        /// The files and folders that were named.
        sources: String,
        /// Files seen.
        seen: u64,
        /// Empty ones.
        empty: u64,
        /// Those that a filter or a lenient UTF-8 rule left out.
        left_out: u64,
        /// Those with a NUL byte near their start.
        binary: u64,
    },
    /// A source that a preparation wrote.
    #[error(
        "{file} belongs to a prepared data set, which is no text to train on: name the sources it was made from, or leave \
         its folder out with --exclude '{pattern}'"
    )]
    Prepared {
        /// A file that would have been taken.
        file: PathBuf,
        /// What keeps its folder out.
        pattern: String,
    },
    /// A file or folder that could not be read.
    #[error("cannot read {path}: {source}; check that it exists and that this user may read it")]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file or folder that could not be written.
    #[error(
        "cannot write {path}: {source}; nothing was left behind; check that the folder exists and may be written to"
    )]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The disk is full.
    #[error("the disk is full at {path}; what was written so far was removed; free some space or name another folder")]
    Full {
        /// The file that did not fit.
        path: PathBuf,
    },
    /// A text tokenizer was given bytes that are not text.
    #[error(
        "{path} is not UTF-8 (first at byte {at}), and a BPE tokenizer needs text: leave it out with --include or \
         --exclude, skip such files with --skip-not-utf8, or use the byte level"
    )]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Offset of the first wrong byte.
        at: u64,
    },
    /// A file that changed between the first and the second reading.
    #[error("{path} changed while it was being prepared; run it again when nothing writes to the sources")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Every document fell on one side of the split, or there is only one.
    #[error(
        "cannot hold out {share} of {documents} document(s): a document is never split, so at least two are needed. Cut the \
         file into parts and name those (`split -C 64k FILE PART-` cuts between lines), add documents, or hold out nothing \
         with --held-out 0: the run then measures no bits per byte"
    )]
    CannotHoldOut {
        /// The share asked for.
        share: f64,
        /// How many distinct documents there are.
        documents: u64,
    },
    /// The place for the result is taken.
    #[error("{path} already exists and is not an empty folder: remove it, or name another place")]
    Taken {
        /// The place.
        path: PathBuf,
    },
    /// Somebody else is writing the same dataset.
    #[error("another preparation is writing {path} now (it holds {lock}); wait for it, or name another place")]
    Busy {
        /// The place.
        path: PathBuf,
        /// The folder that is locked.
        lock: PathBuf,
    },
    /// The tokenizer could not be trained, loaded or used.
    #[error("tokenizer {what}: {reason}")]
    Tokenizer {
        /// Which tokenizer, and for which file.
        what: String,
        /// Why, and what to do.
        reason: String,
    },
    /// Not a data set, or one of another version.
    #[error("{path} is not a data set that this program can read: {reason}")]
    NotADataset {
        /// The index file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No data set there, and nothing else either.
    #[error("{folder}: there is no such folder, or nothing in it: `{command}` makes a data set there")]
    NoDataset {
        /// The folder.
        folder: PathBuf,
        /// What makes one.
        command: String,
    },
    /// Files that are no data set, such as the text one is made of.
    #[error(
        "{path} is no data set, as it has no dataset.json: if it is the text to train on, `{command}` makes a data set of it; then \
         name that folder"
    )]
    Sources {
        /// The file or folder.
        path: PathBuf,
        /// What makes a data set of it.
        command: String,
    },
    /// A file of a data set does not hold what the index says.
    #[error(
        "{path} is damaged: expected {expected}, found {found}; restore it from a copy or prepare the data set again, then \
         `coalition-trainer data verify {folder}` checks every file",
        folder = shell::path(path.parent().unwrap_or(path))
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the index says.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The data set is too small for what is asked of it.
    #[error(
        "the {split} split of {path} holds {tokens} tokens, fewer than one sample of {needed} (sequence length + 1): \
         prepare more text or shorten the sequence"
    )]
    TooSmall {
        /// The data set's folder.
        path: PathBuf,
        /// `train` or `held-out`.
        split: &'static str,
        /// Tokens there.
        tokens: u64,
        /// Tokens of one sample.
        needed: u64,
    },
    /// A position or window that is not in the dataset.
    #[error("{what} {value} is out of range: it must be below {bound}")]
    OutOfRange {
        /// What was asked for.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The first value that is too large.
        bound: u64,
    },
}

impl DataError {
    /// The exit code of a program that stops on this error: 64 for a wrong option, 65 for bad data.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Option { .. } => exit::CONFIG,
            _ => exit::DATA,
        }
    }

    /// What stands where a data set was expected, and how to make one.
    pub(crate) fn no_dataset(folder: &Path) -> Self {
        let empty = folder.read_dir().map_or(!folder.exists(), |mut entries| entries.next().is_none());
        if empty {
            let command = format!("coalition-trainer data prepare --out {} FILES…", shell::path(folder));
            return Self::NoDataset { folder: folder.to_owned(), command };
        }
        let shard = |e: std::fs::DirEntry| e.path().extension().is_some_and(|x| x == "tokens");
        if folder.read_dir().is_ok_and(|entries| entries.flatten().any(shard)) {
            let reason = "the shards of a data set are there, and their index is not: restore it from a copy, or prepare the data \
                          set again with `coalition-trainer data prepare`";
            return Self::NotADataset { path: folder.join("dataset.json"), reason: reason.to_owned() };
        }
        let mut out = folder.as_os_str().to_owned();
        out.push("-data");
        let command =
            format!("coalition-trainer data prepare --out {} {}", shell::path(Path::new(&out)), shell::path(folder));
        Self::Sources { path: folder.to_owned(), command }
    }

    /// Sorts a failed read by its cause.
    pub(crate) fn reading(path: &Path, source: io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), source }
    }

    /// Sorts a failed write by its cause.
    pub(crate) fn writing(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path: path.to_owned() },
            _ => Self::Unwritable { path: path.to_owned(), source },
        }
    }

    /// A file whose digest is wrong.
    pub(crate) fn digest(path: &Path, expected: Digest, found: Digest) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            expected: format!("BLAKE3 {expected}"),
            found: format!("BLAKE3 {found}"),
        }
    }
}
