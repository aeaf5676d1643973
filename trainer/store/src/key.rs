//! Which names objects may have: the same on every kind of store, none hidden, none leading out. Knows no layout.
use object_store::path::Path;

use crate::error::StoreError;

/// Longest key in bytes: the limit of S3.
const LONGEST: usize = 1024;
/// Longest segment in bytes: that of Linux file systems, less room for the suffix of a file being written.
const LONGEST_SEGMENT: usize = 240;

/// Checks a key (or a prefix of whole segments) and hands it to the store.
pub fn path(key: &str) -> Result<Path, StoreError> {
    let bad = |reason| Err(StoreError::BadKey { key: key.chars().take(120).collect(), reason });
    if key.is_empty() || key.len() > LONGEST {
        return bad("it must have 1 to 1024 bytes");
    }
    for segment in key.split('/') {
        if segment.is_empty() || segment.len() > LONGEST_SEGMENT {
            return bad("each part between two '/' must have 1 to 240 bytes");
        }
        if segment.starts_with('.') {
            return bad("no part may begin with '.': such names are hidden or lead elsewhere");
        }
        if !segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')) {
            return bad("use letters, digits, '.', '-', '_' and '/'");
        }
    }
    Path::parse(key).or_else(|_| bad("the object store refuses it"))
}
