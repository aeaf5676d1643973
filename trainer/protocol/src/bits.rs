//! The batch hash (D26): a sum, mod 2^128, of one hash for every sample really fed. Sums of disjoint sets add up, so an
//! audit can recompute it from ranges and data in any order.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Σ H(position, tokens) mod 2^128, written as 32 hexadecimal characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BatchHash(pub u128);

impl BatchHash {
    /// H(position, tokens): the first 16 bytes, little-endian, of BLAKE3(position as u64 LE, then each token as u32 LE).
    pub fn of(position: u64, tokens: &[u32]) -> Self {
        let mut h = blake3::Hasher::new();
        h.update(&position.to_le_bytes());
        for t in tokens {
            h.update(&t.to_le_bytes());
        }
        let mut first = [0; 16];
        first.copy_from_slice(&h.finalize().as_bytes()[..16]);
        Self(u128::from_le_bytes(first))
    }

    /// The sum of two.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

impl fmt::Display for BatchHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
impl FromStr for BatchHash {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        if s.len() == 32 && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            u128::from_str_radix(s, 16).map(Self).map_err(|e| e.to_string())
        } else {
            Err("a batch hash is 32 lowercase hexadecimal characters".to_owned())
        }
    }
}
impl Serialize for BatchHash {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for BatchHash {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}
