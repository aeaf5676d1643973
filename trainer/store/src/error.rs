//! What can go wrong with a store, sorted by cause, said so that a person can act on it. Knows nothing of what is stored.
use std::error::Error as _;
use std::io;

use coalition_protocol::{Attempt, Digest, Incarnation, exit};

/// An error of a store. `store` names the store, `key` the object.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such object.
    #[error("{store} holds no {key}")]
    NotFound {
        /// The store.
        store: String,
        /// The object.
        key: String,
    },
    /// Create-only: the name is taken.
    #[error("{store} already holds {key}, and objects are never overwritten")]
    AlreadyExists {
        /// The store.
        store: String,
        /// The object.
        key: String,
    },
    /// No space left.
    #[error(
        "{store} is full: {key} was not written and nothing of it was left; free some space, then it is tried again"
    )]
    Full {
        /// The store.
        store: String,
        /// The object.
        key: String,
    },
    /// Mounted or configured for reading only.
    #[error("{store} is read-only: {key} was not written; mount it for writing or name another store")]
    ReadOnly {
        /// The store.
        store: String,
        /// The object.
        key: String,
    },
    /// Credentials or file permissions do not allow it.
    #[error("{store} refuses access to {key}: {reason}; check the credentials or the permissions of the folder")]
    Denied {
        /// The store.
        store: String,
        /// The object.
        key: String,
        /// What the store said.
        reason: String,
    },
    /// No answer, or one that says to try again.
    #[error("{store} cannot be reached for {key}: {reason}; it is tried again")]
    Unreachable {
        /// The store.
        store: String,
        /// The object.
        key: String,
        /// What happened.
        reason: String,
    },
    /// The object is there, but it is not what it must be.
    #[error("{key} in {store} is damaged: expected {expected}, got {got}; use another copy or an older checkpoint")]
    Damaged {
        /// The store.
        store: String,
        /// The object.
        key: String,
        /// What it must be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// Larger than the caller allows.
    #[error("{key} in {store} has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// The store.
        store: String,
        /// The object.
        key: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A name that no store here takes.
    #[error("{key:?} is not a key: {reason}")]
    BadKey {
        /// The name, shortened.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The store's location cannot be used.
    #[error("{location:?} is not a store: {reason}")]
    BadLocation {
        /// As given.
        location: String,
        /// Why, and what to write.
        reason: String,
    },
    /// What is to be stored has no valid form.
    #[error("{key} cannot be stored: {reason}")]
    BadValue {
        /// The object.
        key: String,
        /// Why.
        reason: String,
    },
    /// A newer attempt has written its fence: this one no longer exists (D8, D19).
    #[error(
        "attempt {ours} of {log} is over: attempt {theirs} has taken the log; this process must stop and join again"
    )]
    Fenced {
        /// The log.
        log: String,
        /// The attempt that tried.
        ours: Attempt,
        /// The attempt found.
        theirs: Attempt,
    },
    /// The opening entry is not there: this is not the store that the incarnation was opened in (D8).
    #[error(
        "{store} holds no opening entry of incarnation {incarnation} ({key}): the store was lost or exchanged; nothing is \
         offered from it, and the site is assigned anew"
    )]
    StoreLost {
        /// The store.
        store: String,
        /// The missing entry.
        key: String,
        /// The incarnation.
        incarnation: Incarnation,
    },
    /// Anything else.
    #[error("{store} failed for {key}: {reason}")]
    Other {
        /// The store.
        store: String,
        /// The object.
        key: String,
        /// What happened.
        reason: String,
    },
}

impl StoreError {
    /// The exit code of a program that stops on this error: 66 for damage, 64 for a wrong location or missing rights, 70 for
    /// what is a mistake of the caller, else 75, try again.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Damaged { .. } | Self::TooLarge { .. } => exit::CHECKPOINT,
            Self::BadLocation { .. } => exit::CONFIG,
            Self::BadKey { .. } | Self::BadValue { .. } | Self::AlreadyExists { .. } => exit::BUG,
            _ => exit::TRY_AGAIN,
        }
    }

    /// True if the same call may succeed later without anyone's doing.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Full { .. } | Self::Other { .. })
    }

    /// True if the store as a whole does not take or give anything just now, whatever the object: full, read-only, out of
    /// reach, or with credentials that ended. Someone may mend that while the run goes on.
    pub const fn is_out_of_service(&self) -> bool {
        self.is_transient() || matches!(self, Self::ReadOnly { .. } | Self::Denied { .. })
    }

    /// True if the object is not there.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    pub(crate) fn damaged(store: &str, key: &str, expected: impl ToString, got: impl ToString) -> Self {
        Self::Damaged {
            store: store.to_owned(),
            key: key.to_owned(),
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }

    pub(crate) fn digest(store: &str, key: &str, expected: Digest, got: Digest) -> Self {
        Self::damaged(store, key, format!("BLAKE3 {expected}"), format!("BLAKE3 {got}"))
    }

    /// Sorts an error of `object_store` by its cause.
    pub(crate) fn sort(store: &str, key: &str, error: object_store::Error) -> Self {
        use object_store::Error as E;
        let (store, key) = (store.to_owned(), key.to_owned());
        match error {
            E::NotFound { source, .. } if !chain(source.as_ref()).contains("NoSuchBucket") => {
                Self::NotFound { store, key }
            }
            E::AlreadyExists { .. } | E::Precondition { .. } => Self::AlreadyExists { store, key },
            E::PermissionDenied { source, .. } | E::Unauthenticated { source, .. } => {
                Self::Denied { store, key, reason: chain(source.as_ref()) }
            }
            other => {
                if let Some(reason) = untrusted(&chain(&other)) {
                    return Self::Unreachable { store, key, reason };
                }
                if let Some(kind) = io_kind(&other) {
                    return Self::sort_io(store, key, kind, &other);
                }
                // S3 and its kin answer in words; these are the codes they use.
                let reason = chain(&other);
                let says = |words: &[&str]| words.iter().any(|w| reason.contains(w));
                if says(&["NoSuchBucket"]) {
                    let reason = "there is no such bucket; make it, or name another".to_owned();
                    Self::BadLocation { location: store, reason }
                } else if says(&["403 Forbidden", "401 Unauthorized"]) {
                    Self::Denied { store, key, reason }
                } else if says(&["QuotaExceeded", "Insufficient Storage"]) {
                    Self::Full { store, key }
                } else if matches!(other, E::Generic { store: "S3" | "HTTP", .. }) {
                    Self::Unreachable { store, key, reason }
                } else {
                    Self::Other { store, key, reason }
                }
            }
        }
    }

    fn sort_io(store: String, key: String, kind: io::ErrorKind, error: &object_store::Error) -> Self {
        use io::ErrorKind as K;
        let reason = chain(error);
        match kind {
            K::NotFound => Self::NotFound { store, key },
            K::StorageFull | K::QuotaExceeded => Self::Full { store, key },
            K::ReadOnlyFilesystem => Self::ReadOnly { store, key },
            K::PermissionDenied => Self::Denied { store, key, reason },
            K::ConnectionRefused
            | K::ConnectionReset
            | K::ConnectionAborted
            | K::TimedOut
            | K::BrokenPipe
            | K::HostUnreachable
            | K::NetworkUnreachable
            | K::StaleNetworkFileHandle
            | K::UnexpectedEof => Self::Unreachable { store, key, reason },
            _ => Self::Other { store, key, reason },
        }
    }
}

/// What to say of a server whose certificate is not accepted, if that is what happened. rustls says it in these words.
fn untrusted(reason: &str) -> Option<String> {
    reason.contains("invalid peer certificate").then(|| {
        let env = crate::location::CA_FILE_ENV;
        format!(
            "{reason}; if its authority is one of your own, set {env} to a file with that authority's certificate (PEM)"
        )
    })
}

/// The first I/O error among an error's causes.
fn io_kind(error: &object_store::Error) -> Option<io::ErrorKind> {
    let mut cause = error.source();
    while let Some(e) = cause {
        if let Some(io) = e.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        cause = e.source();
    }
    None
}

/// An error with its causes, each once, at most 500 characters.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let more = e.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = e.source();
    }
    text.chars().take(500).collect()
}
