//! Chunks of a vector: their bytes, digests, and which of two lists differ (D3, D17).
use std::ops::Range;

use coalition_protocol::Digest;

use crate::layout::CHUNK;

/// How many chunks a vector of `elements` has.
pub const fn count(elements: usize) -> usize {
    elements.div_ceil(CHUNK)
}

/// The elements of chunk `n` of a vector of `elements`; empty beyond its end.
pub fn range(elements: usize, n: usize) -> Range<usize> {
    let start = n.saturating_mul(CHUNK).min(elements);
    start..start.saturating_add(CHUNK).min(elements)
}

/// The bytes of elements: f32, little-endian.
pub fn bytes(elements: &[f32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(elements.len() * 4);
    for x in elements {
        out.extend_from_slice(&x.to_le_bytes());
    }
    out
}

/// The elements in bytes; none if the length is not a multiple of four.
pub fn elements(bytes: &[u8]) -> Option<Vec<f32>> {
    let (whole, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| whole.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

/// The digest of one chunk: BLAKE3 over its bytes.
pub fn digest_of_chunk(chunk: &[f32]) -> Digest {
    // Hashed in pieces, so that no copy of the whole chunk is made.
    let mut hasher = blake3::Hasher::new();
    let mut piece = [0u8; 4 * 4096];
    for part in chunk.chunks(4096) {
        for (to, x) in piece.chunks_exact_mut(4).zip(part) {
            to.copy_from_slice(&x.to_le_bytes());
        }
        hasher.update(&piece[..part.len() * 4]);
    }
    hasher.finalize().into()
}

/// The digests of all chunks of a vector, in order.
pub fn digests(vector: &[f32]) -> Vec<Digest> {
    vector.chunks(CHUNK).map(digest_of_chunk).collect()
}

/// D(x): BLAKE3 over the chunk digests.
pub fn digest(vector: &[f32]) -> Digest {
    Digest::over(&digests(vector))
}

/// Indices at which two lists of chunk digests differ; what one list has beyond the other differs.
pub fn differing(a: &[Digest], b: &[Digest]) -> Vec<usize> {
    (0..a.len().max(b.len())).filter(|n| a.get(*n) != b.get(*n)).collect()
}
