//! A prepared data set, opened for reading: tokens by their place in a split. Knows nothing of the order of samples.
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::index::{Index, Split, TokenizerRef};
use crate::shard::ShardReader;
use crate::tokenizer::Tokenizer;

/// With [`Verify::Small`], data sets up to this size are read whole at open. 64 MiB hash in well under 0.1 s, so a
/// restarted worker hardly notices.
pub const SMALL: u64 = 64 << 20;

/// How much of a data set to check when it is opened. Index, file sizes and token ids are always checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Digests of all shards if they are small together ([`SMALL`]), else none.
    #[default]
    Small,
    /// Digests of all shards.
    All,
    /// No digests.
    Sizes,
}

/// Which side of the split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What is trained on.
    Train,
    /// What is held out.
    HeldOut,
}

impl Side {
    /// Its name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::HeldOut => "held-out",
        }
    }
}

/// An open dataset.
#[derive(Debug)]
pub struct Dataset {
    folder: PathBuf,
    index: Index,
    train: Tokens,
    held_out: Tokens,
}

#[derive(Debug)]
struct Tokens {
    shards: Vec<ShardReader>,
    // Where each shard begins in the split, and one past the last token.
    starts: Vec<u64>,
}

impl Tokens {
    fn open(folder: &Path, split: &Split, token_bytes: u32) -> Result<Self, DataError> {
        let shards =
            split.shards.iter().map(|s| ShardReader::open(folder, s, token_bytes)).collect::<Result<_, _>>()?;
        let mut starts = vec![0];
        let mut sum = 0;
        for s in &split.shards {
            sum += s.tokens;
            starts.push(sum);
        }
        Ok(Self { shards, starts })
    }

    fn len(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }
}

impl Dataset {
    /// Opens the data set in `folder`.
    pub fn open(folder: &Path, verify: Verify) -> Result<Self, DataError> {
        let index = Index::read(folder)?;
        let train = Tokens::open(folder, &index.train, index.token_bytes)?;
        let held_out = Tokens::open(folder, &index.held_out, index.token_bytes)?;
        let dataset = Self { folder: folder.to_owned(), index, train, held_out };
        let size = (dataset.train.len() + dataset.held_out.len()) * u64::from(dataset.index.token_bytes);
        if verify == Verify::All || (verify == Verify::Small && size <= SMALL) {
            dataset.verify()?;
        }
        Ok(dataset)
    }

    /// Compares every shard with its digest.
    pub fn verify(&self) -> Result<(), DataError> {
        self.train.shards.iter().chain(&self.held_out.shards).try_for_each(ShardReader::verify)
    }

    /// The index.
    pub const fn index(&self) -> &Index {
        &self.index
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Loads the tokenizer and compares it with the index.
    pub fn tokenizer(&self) -> Result<Tokenizer, DataError> {
        let tokenizer = match &self.index.tokenizer {
            TokenizerRef::Bytes => Tokenizer::bytes(),
            TokenizerRef::Bpe { file, blake3, bos, eos } => {
                Tokenizer::load(&self.folder.join(file), bos, eos, Some(*blake3))?
            }
        };
        let found = (tokenizer.vocab_size(), tokenizer.bos(), tokenizer.eos());
        let expected = (self.index.vocab_size, self.index.bos, self.index.eos);
        if found == expected {
            Ok(tokenizer)
        } else {
            Err(DataError::Damaged {
                path: self.folder.join(crate::index::FILE),
                expected: format!("(vocabSize, bos, eos) = {expected:?}"),
                found: format!("{found:?} in its tokenizer"),
            })
        }
    }

    /// How many tokens a side holds.
    pub fn tokens(&self, side: Side) -> u64 {
        self.side(side).len()
    }

    const fn side(&self, side: Side) -> &Tokens {
        match side {
            Side::Train => &self.train,
            Side::HeldOut => &self.held_out,
        }
    }

    /// Appends tokens `[start, start + count)` of a side to `out`.
    pub fn read(&self, side: Side, start: u64, count: usize, out: &mut Vec<u32>) -> Result<(), DataError> {
        let tokens = self.side(side);
        let (mut at, end) = (start, start.saturating_add(count as u64));
        if end > tokens.len() {
            return Err(DataError::OutOfRange { what: "end of a window", value: end, bound: tokens.len() + 1 });
        }
        // The shard whose tokens include `at`: the last that begins at or before it.
        let mut n = tokens.starts.partition_point(|s| *s <= at).saturating_sub(1);
        while at < end {
            let (first, past) = (tokens.starts[n], tokens.starts[n + 1]);
            let now = past.min(end) - at;
            tokens.shards[n].read(at - first, now as usize, self.index.vocab_size, out)?;
            at += now;
            n += 1;
        }
        Ok(())
    }
}
