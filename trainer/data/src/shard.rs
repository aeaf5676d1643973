//! Shards on disk: files that hold nothing but token ids, 2 or 4 bytes each, little-endian. Knows nothing of samples.
//!
//! They are read with positioned reads rather than a memory map: both come from the page cache, but a disk that fails or a
//! file cut short under a reader is then an error with a name instead of a SIGBUS.
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use coalition_protocol::Digest;

use crate::error::DataError;
use crate::index::{Shard, Split};
use crate::tokenizer::Tokenizer;

/// Bytes read at a time for a digest: what BLAKE3 needs to use its widest vector code, and some.
const BUFFER: usize = 1 << 16;

/// Writes one split, shard after shard.
pub struct ShardWriter<'a> {
    folder: &'a Path,
    split: &'static str,
    tokenizer: &'a Tokenizer,
    token_bytes: u32,
    tokens_per_shard: u64,
    open: Option<Open>,
    done: Split,
    buffer: Vec<u8>,
}

struct Open {
    file: File,
    path: PathBuf,
    hasher: blake3::Hasher,
    shard: Shard,
}

impl<'a> ShardWriter<'a> {
    /// Shards of `split` in `folder`, of at most `tokens_per_shard` tokens each.
    pub fn new(
        folder: &'a Path,
        split: &'static str,
        tokenizer: &'a Tokenizer,
        token_bytes: u32,
        tokens_per_shard: u64,
    ) -> Self {
        let done = Split::default();
        Self { folder, split, tokenizer, token_bytes, tokens_per_shard, open: None, done, buffer: Vec::new() }
    }

    /// Appends tokens; every BOS among them begins a document.
    pub fn push(&mut self, mut tokens: &[u32]) -> Result<(), DataError> {
        while !tokens.is_empty() {
            let open = match &mut self.open {
                Some(o) => o,
                None => self.open.insert(Open::begin(self.folder, self.split, self.done.shards.len())?),
            };
            let room = self.tokens_per_shard - open.shard.tokens;
            let (now, later) = tokens.split_at((tokens.len() as u64).min(room) as usize);
            self.buffer.clear();
            for t in now {
                if self.token_bytes == 2 {
                    self.buffer.extend((*t as u16).to_le_bytes());
                } else {
                    self.buffer.extend(t.to_le_bytes());
                }
            }
            open.hasher.update(&self.buffer);
            open.file.write_all(&self.buffer).map_err(|e| DataError::writing(&open.path, e))?;
            open.shard.tokens += now.len() as u64;
            open.shard.bytes += self.tokenizer.bytes_of(now);
            open.shard.documents += now.iter().filter(|t| **t == self.tokenizer.bos()).count() as u64;
            if open.shard.tokens == self.tokens_per_shard {
                self.close()?;
            }
            tokens = later;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), DataError> {
        if let Some(open) = self.open.take() {
            open.file.sync_all().map_err(|e| DataError::writing(&open.path, e))?;
            let shard = Shard { blake3: open.hasher.finalize().into(), ..open.shard };
            self.done.documents += shard.documents;
            self.done.tokens += shard.tokens;
            self.done.bytes += shard.bytes;
            self.done.shards.push(shard);
        }
        Ok(())
    }

    /// Syncs the last shard and returns what was written.
    pub fn finish(mut self) -> Result<Split, DataError> {
        self.close()?;
        Ok(self.done)
    }
}

impl Open {
    fn begin(folder: &Path, split: &str, number: usize) -> Result<Self, DataError> {
        let name = format!("{split}-{number:05}.tokens");
        let path = folder.join(&name);
        let file = File::create_new(&path).map_err(|e| DataError::writing(&path, e))?;
        let shard = Shard { file: name, tokens: 0, documents: 0, bytes: 0, blake3: Digest::ZERO };
        Ok(Self { file, path, hasher: blake3::Hasher::new(), shard })
    }
}

/// An open shard.
#[derive(Debug)]
pub struct ShardReader {
    file: File,
    path: PathBuf,
    shard: Shard,
    token_bytes: usize,
}

impl ShardReader {
    /// Opens a shard and checks its length.
    pub fn open(folder: &Path, shard: &Shard, token_bytes: u32) -> Result<Self, DataError> {
        let path = folder.join(&shard.file);
        let file = File::open(&path).map_err(|e| DataError::reading(&path, e))?;
        let found = file.metadata().map_err(|e| DataError::reading(&path, e))?.len();
        let expected = shard.tokens * u64::from(token_bytes);
        if found != expected {
            let (expected, found) = (format!("{expected} bytes"), format!("{found}"));
            return Err(DataError::Damaged { path, expected, found });
        }
        Ok(Self { file, path, shard: shard.clone(), token_bytes: token_bytes as usize })
    }

    /// Appends tokens `[start, start + count)` of this shard to `out`; all must be below `vocab_size`.
    pub fn read(&self, start: u64, count: usize, vocab_size: u32, out: &mut Vec<u32>) -> Result<(), DataError> {
        let mut bytes = vec![0; count * self.token_bytes];
        self.file.read_exact_at(&mut bytes, start * self.token_bytes as u64).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                self.damaged(format!("{} tokens", self.shard.tokens), "an earlier end of the file".to_owned())
            }
            _ => DataError::reading(&self.path, e),
        })?;
        let before = out.len();
        if self.token_bytes == 2 {
            out.extend(bytes.as_chunks().0.iter().map(|b| u32::from(u16::from_le_bytes(*b))));
        } else {
            out.extend(bytes.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)));
        }
        match out[before..].iter().position(|t| *t >= vocab_size) {
            None => Ok(()),
            Some(n) => {
                let found = format!("{} at token {}", out[before + n], start + n as u64);
                Err(self.damaged(format!("token ids below {vocab_size}"), found))
            }
        }
    }

    /// What was met while reading, with both digests of the whole file, so that a good copy can be told from another bad one.
    fn damaged(&self, expected: String, found: String) -> DataError {
        let there = self.digest().map_or_else(|e| e.to_string(), |d| format!("BLAKE3 {d}"));
        DataError::Damaged {
            path: self.path.clone(),
            expected: format!("{expected} (BLAKE3 {})", self.shard.blake3),
            found: format!("{found} ({there})"),
        }
    }

    /// The digest of what the file holds now. Positioned reads, as readers of other threads share the open file.
    fn digest(&self) -> Result<Digest, DataError> {
        let (mut hasher, mut buffer, mut at) = (blake3::Hasher::new(), vec![0; BUFFER], 0);
        loop {
            match self.file.read_at(&mut buffer, at) {
                Ok(0) => return Ok(hasher.finalize().into()),
                Ok(n) => {
                    hasher.update(&buffer[..n]);
                    at += n as u64;
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(DataError::reading(&self.path, e)),
            }
        }
    }

    /// Reads the whole file and compares it with its digest.
    pub fn verify(&self) -> Result<(), DataError> {
        let found = self.digest()?;
        if found == self.shard.blake3 { Ok(()) } else { Err(DataError::digest(&self.path, self.shard.blake3, found)) }
    }
}
