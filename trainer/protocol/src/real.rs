//! A finite f64 that travels as its shortest exact decimal string, so that no JSON writer on the way can change its bits.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A finite f64. `-0` is kept apart from `0`.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub struct Real(f64);

/// A value that is not a finite number.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a finite number")]
pub struct NotFinite(pub String);

impl Real {
    /// Zero.
    pub const ZERO: Self = Self(0.0);
    /// Wraps a finite number.
    pub fn new(x: f64) -> Result<Self, NotFinite> {
        if x.is_finite() { Ok(Self(x)) } else { Err(NotFinite(x.to_string())) }
    }
    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

// Never NaN, so equality is total.
impl Eq for Real {}

impl fmt::Display for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Debug of f64 is the shortest string that reads back to the same bits.
        write!(f, "{:?}", self.0)
    }
}
impl fmt::Debug for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Real {
    type Err = NotFinite;
    fn from_str(s: &str) -> Result<Self, NotFinite> {
        s.parse::<f64>().ok().and_then(|x| Self::new(x).ok()).ok_or_else(|| NotFinite(s.chars().take(80).collect()))
    }
}
impl Serialize for Real {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Real {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}
