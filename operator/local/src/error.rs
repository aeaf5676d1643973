//! What can stop a local run from starting or going on, each with the way out and the exit code of the tool.
use std::path::{Path, PathBuf};

use coalition_protocol::Digest;

use crate::paste;

/// Exit codes of `kubectl-coalition`, from sysexits.h, so that scripts can tell one cause from another.
pub mod exit_code {
    /// Done.
    pub const OK: u8 = 0;
    /// The run ended, and not as complete.
    pub const RUN_FAILED: u8 = 1;
    /// The command line is wrong (clap's own, and arguments that do not fit the run).
    pub const USAGE: u8 = 2;
    /// The manifest is wrong, or does not fit the state folder.
    pub const MANIFEST: u8 = 64;
    /// A data set is missing, damaged, or does not fit the model.
    pub const DATA: u8 = 65;
    /// A file or folder that should be there is not.
    pub const NO_INPUT: u8 = 66;
    /// Another runner is at work in the folder, or none is where one is needed.
    pub const UNAVAILABLE: u8 = 69;
    /// A bug.
    pub const BUG: u8 = 70;
    /// A program that is needed cannot be started.
    pub const NO_PROGRAM: u8 = 71;
    /// The disk is full, read-only, or does not let us write.
    pub const CANNOT_WRITE: u8 = 73;
    /// The API server does not let us.
    pub const NO_PERMISSION: u8 = 77;
    /// Interrupted at once, or stopped before every site had saved; `resume` goes on.
    pub const INTERRUPTED: u8 = 130;
}

/// Why a local run cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The manifest is wrong; one line a problem.
    #[error("{path} cannot be run:\n{problems}", path = path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong, one line each.
        problems: String,
    },
    /// The folder holds another run.
    #[error(
        "{dir} holds a run with another {what}: that cannot change in a run. To go on with it, give the manifest it was started \
         with; a new run needs another metadata.name, and another --dir if you name one",
        dir = dir.display()
    )]
    OtherRun {
        /// The state folder.
        dir: PathBuf,
        /// What differs.
        what: String,
    },
    /// The folder holds a run that trains on another data set.
    #[error(
        "data set {name} in {what}; a run on other data needs another metadata.name, and another --dir if you name one"
    )]
    OtherData {
        /// The data set's name in the mixture.
        name: String,
        /// Where it was looked for, what lies there, what the run trains on, and where that is to be found.
        what: String,
    },
    /// The budget of a run that has ended was raised.
    #[error(
        "spec.training.tokens: {budget} here, {before} in {dir}: the run there has ended with that budget and does not go on \
         to a larger one. Start a new run: give the manifest another metadata.name, and another --dir if you name one. This version \
         cannot extend a run that has ended",
        dir = dir.display()
    )]
    Ended {
        /// The state folder.
        dir: PathBuf,
        /// The budget that it ended with.
        before: u64,
        /// Tokens that the manifest asks for now.
        budget: u64,
    },
    /// An argument that does not fit the run.
    #[error("{argument}: {what}")]
    Argument {
        /// The argument with its value.
        argument: String,
        /// What is wrong and what to do.
        what: String,
    },
    /// A data set.
    #[error("data set {name}: {what}")]
    Data {
        /// Its name in the mixture.
        name: String,
        /// What is wrong and what to do.
        what: String,
    },
    /// Something to read is not there or not readable.
    #[error("{path}: {what}", path = path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
    /// Writing failed.
    #[error("{path} cannot be written: {what}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
    /// State that contradicts itself.
    #[error("{path} is damaged: {what}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
    /// Another runner holds the folder.
    #[error(
        "{dir} is in use by another runner (process {pid}): `{stop}` stops it; a second run needs another metadata.name, and \
         another --dir if you name one",
        dir = dir.display(),
        stop = paste::command("stop", dir)
    )]
    Busy {
        /// The state folder.
        dir: PathBuf,
        /// Its process.
        pid: String,
    },
    /// Another runner works in the folder although this one has its lock.
    #[error(
        "record {seq} stands in {path} already: another runner appended it. This one gives way and has written nothing over it; \
         what its sites did since the last round that counts is done again",
        path = path.display()
    )]
    Rival {
        /// The record's number.
        seq: u64,
        /// Its file.
        path: PathBuf,
    },
    /// The state folder is no longer where it was.
    #[error(
        "{dir} was moved or removed while a run was at work in it: this runner ends. Where it lies now, \
         `kubectl-coalition resume` goes on from the last round that counts",
        dir = dir.display()
    )]
    Moved {
        /// Where it was.
        dir: PathBuf,
    },
    /// No runner is at work there.
    #[error("no runner is at work in {dir}: `{resume}` starts one", dir = dir.display(), resume = paste::command("resume", dir))]
    NotRunning {
        /// The state folder.
        dir: PathBuf,
    },
    /// The run there is over: nobody is at work, and nobody will be.
    #[error(
        "the run in {dir} {how}: no runner is at work in it, and there is nothing to stop or to break. `{status}` shows how it ended",
        dir = dir.display(),
        how = if *complete { "is complete" } else { "has failed" },
        status = paste::command("status", dir)
    )]
    Over {
        /// The state folder.
        dir: PathBuf,
        /// Whether it ended as complete.
        complete: bool,
    },
    /// A request was still under way when the site was killed.
    #[error("{site} was killed on request: nothing that it still does counts")]
    NoPower {
        /// The site.
        site: String,
    },
    /// A runner was asked to stop, and was gone before it took the order.
    #[error(
        "the runner of {dir} was gone before it took the order to stop, so nothing was saved by it: {known}. \
         `{resume}` goes on from there",
        dir = dir.display(),
        resume = paste::command("resume", dir)
    )]
    NotTaken {
        /// The state folder.
        dir: PathBuf,
        /// What is known of the run.
        known: String,
    },
    /// A runner took the order to stop, and ended before every site had saved.
    #[error(
        "{dir} is stopped, and not all of it is saved: {known}. `{resume}` goes on",
        dir = dir.display(),
        resume = paste::command("resume", dir)
    )]
    NotSaved {
        /// The state folder.
        dir: PathBuf,
        /// Which sites did not save, as far as it is known, and what they start from.
        known: String,
    },
    /// A program cannot be started.
    #[error("{program} cannot be started: {what}", program = program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
    /// No such site.
    #[error("there is no site {site:?}: this run has {sites}")]
    NoSite {
        /// What was asked for.
        site: String,
        /// What there is.
        sites: String,
    },
    /// A mistake of ours.
    #[error("bug: {0}; please report it with hub/history of the state folder")]
    Bug(String),
}

impl LocalError {
    /// The exit code of a tool that stops with this.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Manifest { .. } | Self::OtherRun { .. } | Self::OtherData { .. } | Self::Ended { .. } => {
                exit_code::MANIFEST
            }
            Self::Argument { .. } => exit_code::USAGE,
            Self::Data { .. } => exit_code::DATA,
            Self::Input { .. } | Self::Damaged { .. } | Self::NoSite { .. } => exit_code::NO_INPUT,
            Self::Busy { .. }
            | Self::Rival { .. }
            | Self::Moved { .. }
            | Self::NotRunning { .. }
            | Self::Over { .. }
            | Self::NotTaken { .. } => exit_code::UNAVAILABLE,
            Self::NotSaved { .. } => exit_code::INTERRUPTED,
            Self::Bug(_) | Self::NoPower { .. } => exit_code::BUG,
            Self::Program { .. } => exit_code::NO_PROGRAM,
            Self::Write { .. } => exit_code::CANNOT_WRITE,
        }
    }

    /// Another data set than the run trains on. `folder` is where it was looked for now, `before` where it lay when the run was
    /// last at work, if that is known; the digests are those of what lies there and of what the run began with.
    pub fn other_data(
        dir: &Path,
        name: &str,
        (folder, here): (&Path, Digest),
        (before, there): (Option<&Path>, Digest),
    ) -> Self {
        let way_out = match before {
            Some(before) if before == folder => format!(
                "it was this folder when the run was last at work, so what lies in it was made anew: bring the former one back, or say \
                 where it lies with `--data {name}=DIR`"
            ),
            Some(before) => format!("give the one it was started with: `--data {name}={}`", paste::path(before)),
            None => format!("say where the one lies that it was started with: `--data {name}=DIR`"),
        };
        let what = format!(
            "{} has the digest {}, and the run in {} trains on one with the digest {}, which cannot change in a run: {way_out}",
            folder.display(),
            here.short(),
            dir.display(),
            there.short()
        );
        Self::OtherData { name: name.to_owned(), what }
    }

    /// A failed write, with what can be done about it.
    pub fn write(path: &Path, e: &std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        let what = match e.kind() {
            K::StorageFull | K::QuotaExceeded => {
                format!("the disk is full ({e}): free some space; what ended goes on with `resume`")
            }
            K::ReadOnlyFilesystem => format!("the file system is read-only ({e}): give a --dir on another one"),
            K::PermissionDenied => format!("permission denied ({e}): give a --dir that this user may write"),
            _ => e.to_string(),
        };
        Self::Write { path: path.to_owned(), what }
    }

    /// A failed read.
    pub fn read(path: &Path, e: &std::io::Error) -> Self {
        Self::Input { path: path.to_owned(), what: e.to_string() }
    }
}
