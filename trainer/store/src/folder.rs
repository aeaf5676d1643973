//! What a folder store does on the file system beside `object_store`. Knows nothing of keys.
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use coalition_protocol::Digest;

/// Read and hashed at a time.
const STEP: usize = 1 << 20;

/// Reads a file that had `size` bytes when it was opened, and hashes it on the way.
pub fn read(file: std::fs::File, size: u64) -> std::io::Result<(Bytes, Digest)> {
    let mut bytes = Vec::with_capacity(size as usize);
    let mut hasher = blake3::Hasher::new();
    // One byte more than announced, so that a file that grew is seen.
    let mut file = file.take(size + 1);
    loop {
        let before = bytes.len();
        let n = Read::by_ref(&mut file).take(STEP as u64).read_to_end(&mut bytes)?;
        if n == 0 {
            return Ok((Bytes::from(bytes), hasher.finalize().into()));
        }
        hasher.update(&bytes[before..]);
    }
}

/// Removes staged files (`NAME#NUMBER`) not modified since `before`.
pub fn sweep(root: &Path, before: SystemTime) -> std::io::Result<u64> {
    let mut gone = 0;
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
                continue;
            }
            let name = entry.file_name();
            let number = name.to_str().and_then(|n| n.rsplit_once('#')).map(|(_, n)| n);
            let staged = number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
            if kind.is_file() && staged && entry.metadata()?.modified()? < before {
                std::fs::remove_file(entry.path())?;
                gone += 1;
            }
        }
    }
    Ok(gone)
}
