//! A BLAKE3 digest that reads and writes as 64 lowercase hexadecimal characters.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// 32 bytes of BLAKE3 output.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// A string that is not 64 lowercase hexadecimal characters.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a digest: expected 64 hexadecimal characters")]
pub struct NotADigest(pub String);

impl Digest {
    /// The parent of a chain's first record.
    pub const ZERO: Self = Self([0; 32]);

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The digest over a list of digests, in order (D3: a vector's digest is taken over its chunks').
    pub fn over(parts: &[Self]) -> Self {
        let mut h = blake3::Hasher::new();
        for p in parts {
            h.update(&p.0);
        }
        Self(*h.finalize().as_bytes())
    }

    /// The first 12 hexadecimal characters, for people.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl From<blake3::Hash> for Digest {
    fn from(h: blake3::Hash) -> Self {
        Self(*h.as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl FromStr for Digest {
    type Err = NotADigest;
    fn from_str(s: &str) -> Result<Self, NotADigest> {
        let mut out = [0; 32];
        if s.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(NotADigest(s.chars().take(80).collect()));
        }
        hex::decode_to_slice(s, &mut out).map_err(|_| NotADigest(s.chars().take(80).collect()))?;
        Ok(Self(out))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}
