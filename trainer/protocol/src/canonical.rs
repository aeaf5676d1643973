//! Canonical bytes: RFC 8785 (JSON Canonicalization Scheme). What is signed and hashed is these bytes and nothing else.
use serde::Serialize;

use crate::Digest;

/// A value that has no canonical form (a map with keys that are not strings, a number that is not finite).
#[derive(Debug, thiserror::Error)]
#[error("no canonical form: {0}")]
pub struct NotCanonical(#[from] serde_json::Error);

/// The canonical bytes of `value`.
///
/// Integers above 2^53 have no exact form in RFC 8785; types that are hashed carry such values as strings.
pub fn bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, NotCanonical> {
    Ok(serde_json_canonicalizer::to_vec(value)?)
}

/// The value as its canonical bytes read back: numbers that are whole carry no fraction. Any JSON writer on the way, an API
/// server's too, gives it back equal.
pub fn value<T: Serialize>(value: &T) -> Result<serde_json::Value, NotCanonical> {
    Ok(serde_json::from_slice(&bytes(value)?)?)
}

/// The digest of the canonical bytes of `value`.
pub fn digest<T: Serialize>(value: &T) -> Result<Digest, NotCanonical> {
    Ok(Digest::of(&bytes(value)?))
}
