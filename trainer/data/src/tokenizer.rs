//! Text to tokens and back, and how many bytes each token stands for. Knows nothing of files of a data set but the
//! tokenizer's own.
//!
//! Both kinds are lossless: a token stands for a fixed run of bytes, and the runs of a text's tokens join to that text.
//! That is checked for every piece that is encoded, so losses in bits per byte are exact.
use std::collections::HashMap;
use std::path::Path;

use coalition_protocol::Digest;

use crate::error::DataError;

/// Name of the file in which a trained tokenizer lies beside the shards (the format of the `tokenizers` library).
pub const FILE: &str = "tokenizer.json";
/// Text of the token that begins a document, in tokenizers trained here.
pub const BOS: &str = "<|bos|>";
/// Text of the token that ends a document, in tokenizers trained here.
pub const EOS: &str = "<|eos|>";
/// A larger tokenizer file is refused. The largest in use are below 40 MB (about 260 thousand entries).
pub(crate) const LARGEST_FILE: u64 = 256 << 20;
/// Ids above this are refused: a vocabulary of a million entries is four times the largest in use.
const LARGEST_VOCABULARY: u32 = 1 << 20;

/// A tokenizer.
#[derive(Clone)]
pub struct Tokenizer {
    kind: Kind,
    bos: u32,
    eos: u32,
    runs: Vec<Box<[u8]>>,
}

#[derive(Clone)]
enum Kind {
    Bytes,
    Bpe(Box<tokenizers::Tokenizer>),
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({}, {} tokens)", self.kind_name(), self.runs.len())
    }
}

impl Tokenizer {
    /// The byte level: token n is byte n for n below 256, then BOS = 256 and EOS = 257.
    pub fn bytes() -> Self {
        let mut runs: Vec<Box<[u8]>> = (0..=255_u8).map(|b| Box::from([b])).collect();
        runs.extend([Box::default(), Box::default()]);
        Self { kind: Kind::Bytes, bos: 256, eos: 257, runs }
    }

    /// A tokenizer file, whose special tokens `bos` and `eos` mark documents. If `expected` is given, the file must have that
    /// digest.
    pub fn load(path: &Path, bos: &str, eos: &str, expected: Option<Digest>) -> Result<Self, DataError> {
        let size = std::fs::metadata(path).map_err(|e| DataError::reading(path, e))?.len();
        if size > LARGEST_FILE {
            return Err(wrong(path, format!("the file has {size} bytes, more than {LARGEST_FILE}")));
        }
        let bytes = std::fs::read(path).map_err(|e| DataError::reading(path, e))?;
        let found = Digest::of(&bytes);
        if let Some(expected) = expected.filter(|d| *d != found) {
            return Err(DataError::digest(path, expected, found));
        }
        let inner = tokenizers::Tokenizer::from_bytes(&bytes).map_err(|e| wrong(path, e.to_string()))?;
        Self::from_inner(inner, bos, eos).map_err(|reason| wrong(path, reason))
    }

    /// Wraps a byte-level tokenizer of the `tokenizers` library, after checking that it is one.
    pub(crate) fn from_inner(mut inner: tokenizers::Tokenizer, bos: &str, eos: &str) -> Result<Self, String> {
        // A document that spells "<|eos|>" must not end there.
        inner.set_encode_special_tokens(true);
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| e.to_string())?;
        let vocabulary = inner.get_vocab(true);
        let added = inner.get_added_tokens_decoder();
        let highest = vocabulary.values().copied().max().ok_or("it has no tokens")?;
        if highest >= LARGEST_VOCABULARY {
            return Err(format!("token id {highest} is too high, it must be below {LARGEST_VOCABULARY}"));
        }
        let mut runs: Vec<Box<[u8]>> = vec![Box::default(); highest as usize + 1];
        let bytes_of = characters();
        for (text, id) in &vocabulary {
            runs[*id as usize] = match added.get(id) {
                Some(a) if a.special => Box::default(),
                Some(_) => Box::from(text.as_bytes()),
                None => text.chars().map(|c| bytes_of.get(&c).copied()).collect::<Option<_>>().ok_or_else(|| {
                    format!(
                        "token {id} ({text:?}) is not made of byte-level characters; only byte-level BPE is supported"
                    )
                })?,
            };
        }
        let find = |name: &str| {
            vocabulary.get(name).copied().filter(|id| added.get(id).is_some_and(|a| a.special)).ok_or_else(|| {
                format!(
                    "it has no special token {name:?}; name those that begin and end a document with --bos and --eos"
                )
            })
        };
        let (bos, eos) = (find(bos)?, find(eos)?);
        Ok(Self { kind: Kind::Bpe(Box::new(inner)), bos, eos, runs })
    }

    /// `bytes` or `bpe`.
    pub const fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Bytes => "bytes",
            Kind::Bpe(_) => "bpe",
        }
    }

    /// True if documents must be UTF-8.
    pub const fn needs_text(&self) -> bool {
        matches!(self.kind, Kind::Bpe(_))
    }

    /// Number of tokens: all ids are below it.
    pub fn vocab_size(&self) -> u32 {
        self.runs.len() as u32
    }

    /// The token that begins a document.
    pub const fn bos(&self) -> u32 {
        self.bos
    }

    /// The token that ends a document.
    pub const fn eos(&self) -> u32 {
        self.eos
    }

    /// The text under which a BPE token stands in its vocabulary.
    pub(crate) fn name(&self, token: u32) -> Result<String, String> {
        match &self.kind {
            Kind::Bpe(inner) => inner.id_to_token(token).ok_or_else(|| format!("there is no token {token}")),
            Kind::Bytes => Err("tokens of the byte level have no names".to_owned()),
        }
    }

    /// The bytes a token stands for: none for BOS, EOS, other special tokens and ids that do not exist.
    pub fn run(&self, token: u32) -> &[u8] {
        self.runs.get(token as usize).map_or(&[], |r| r)
    }

    /// How many bytes of text `tokens` stand for: the divisor of bits per byte.
    pub fn bytes_of(&self, tokens: &[u32]) -> u64 {
        tokens.iter().map(|t| self.run(*t).len() as u64).sum()
    }

    /// The tokens of `text`, without BOS and EOS. An error says why, without naming where `text` came from.
    pub fn encode(&self, text: &[u8]) -> Result<Vec<u32>, String> {
        match &self.kind {
            Kind::Bytes => Ok(text.iter().map(|b| u32::from(*b)).collect()),
            Kind::Bpe(inner) => {
                let s = std::str::from_utf8(text).map_err(|e| format!("not UTF-8: {e}"))?;
                let tokens = inner.encode_fast(s, false).map_err(|e| e.to_string())?.get_ids().to_vec();
                let covered = self.bytes_of(&tokens);
                if covered == text.len() as u64 {
                    Ok(tokens)
                } else {
                    Err(format!(
                        "its tokens stand for {covered} of {} bytes: this tokenizer changes text, and bits per byte could \
                         not be counted; use one without normaliser and prefix space",
                        text.len()
                    ))
                }
            }
        }
    }

    /// The bytes that `tokens` stand for; special tokens vanish.
    pub fn decode(&self, tokens: &[u32]) -> Vec<u8> {
        tokens.iter().flat_map(|t| self.run(*t)).copied().collect()
    }

    /// The tokenizer's file. `None` at the byte level, which needs none.
    pub fn to_json(&self) -> Result<Option<String>, String> {
        match &self.kind {
            Kind::Bytes => Ok(None),
            Kind::Bpe(inner) => inner.to_string(false).map(Some).map_err(|e| e.to_string()),
        }
    }
}

fn wrong(path: &Path, reason: String) -> DataError {
    DataError::Tokenizer { what: path.display().to_string(), reason }
}

/// The byte that each character of a byte-level vocabulary stands for (Radford et al. 2019, GPT-2): printable ASCII and
/// Latin-1 stand for themselves, the others, in order, for the characters from U+0100 on.
pub(crate) fn characters() -> HashMap<char, u8> {
    let mut next = 0x100_u32;
    (0..=255_u8)
        .filter_map(|b| {
            let itself = matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
            let code = if itself {
                u32::from(b)
            } else {
                next += 1;
                next - 1
            };
            char::from_u32(code).map(|c| (c, b))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_level_keeps_every_byte() {
        let t = Tokenizer::bytes();
        let all: Vec<u8> = (0..=255).collect();
        let tokens = t.encode(&all).unwrap();
        assert_eq!(t.decode(&tokens), all);
        assert_eq!(t.bytes_of(&tokens), 256);
        assert_eq!((t.vocab_size(), t.bos(), t.eos()), (258, 256, 257));
        assert_eq!(t.decode(&[t.bos(), 65, t.eos(), 9999]), b"A");
    }

    #[test]
    fn byte_characters_are_those_of_the_library() {
        let ours: std::collections::HashSet<char> = characters().into_keys().collect();
        let theirs: std::collections::HashSet<char> =
            tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().collect();
        assert_eq!(ours, theirs);
        assert_eq!(characters().len(), 256);
    }
}
