//! Witten-Bell interpolated byte models: what counting alone learns from the same bytes. The yardstick a trained model must
//! beat, so it is plain, exact and knows nothing of training.
//!
//! A model of order k predicts a byte from the k bytes before it (Witten and Bell 1991, method C, in the interpolated form
//! of Chen and Goodman 1998, section 2.7): with c(h) how often context h was followed by anything, c(h b) by byte b, and
//! t(h) by how many different bytes,
//! `P_k(b | h) = (c(h b) + t(h) * P_(k-1)(b | h')) / (c(h) + t(h))`, h' being h without its first byte, and
//! `P_(-1) = 1/256`. A context never seen leaves the prediction to the shorter one.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Longest context, in bytes: a context and the byte after it must fit into 64 bits.
pub const MAX_ORDER: usize = 7;

/// Counts of all contexts up to an order, from which every order up to it predicts.
pub struct ByteModel {
    /// For each context length: the counts of contexts and of context plus byte.
    orders: Vec<Counts>,
    bytes: u64,
}

#[derive(Default)]
struct Counts {
    contexts: HashMap<u64, Context, Mixing>,
    grams: HashMap<u64, u32, Mixing>,
}

#[derive(Clone, Copy, Default)]
struct Context {
    /// c(h)
    followed: u32,
    /// t(h)
    kinds: u32,
}

impl ByteModel {
    /// An empty model of the orders 0 to `order`; orders above [`MAX_ORDER`] are cut to it.
    pub fn new(order: usize) -> Self {
        let orders = (0..=order.min(MAX_ORDER)).map(|_| Counts::default()).collect();
        Self { orders, bytes: 0 }
    }

    /// The highest order.
    pub fn order(&self) -> usize {
        self.orders.len() - 1
    }

    /// How many bytes were counted.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts one piece of text. Contexts do not reach across pieces.
    pub fn add(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        for (at, &byte) in piece.iter().enumerate() {
            for (k, counts) in self.orders.iter_mut().enumerate().take(at + 1) {
                let context = pack(&piece[at - k..at]);
                let gram = counts.grams.entry(context << 8 | u64::from(byte)).or_default();
                let entry = counts.contexts.entry(context).or_default();
                entry.kinds += u32::from(*gram == 0);
                entry.followed += 1;
                *gram += 1;
            }
        }
    }

    /// Bits needed for `piece` by each order from 0 to [`Self::order`]. At the start of the piece the context is shorter.
    /// Bytes before `from` are context only.
    pub fn bits(&self, piece: &[u8], from: usize) -> Vec<f64> {
        let mut bits = vec![0.0; self.orders.len()];
        for at in from..piece.len() {
            let byte = u64::from(piece[at]);
            let mut p = 1.0 / 256.0;
            for (k, counts) in self.orders.iter().enumerate() {
                if k <= at {
                    let context = pack(&piece[at - k..at]);
                    if let Some(seen) = counts.contexts.get(&context) {
                        let gram = counts.grams.get(&(context << 8 | byte)).copied().unwrap_or(0);
                        let (c, t) = (f64::from(seen.followed), f64::from(seen.kinds));
                        p = (f64::from(gram) + t * p) / (c + t);
                    }
                }
                bits[k] -= p.log2();
            }
        }
        bits
    }

    /// Bits per byte of each order over all `pieces`, or `None` if they hold no byte.
    pub fn bits_per_byte<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<f64>> {
        let mut total = vec![0.0; self.orders.len()];
        let mut bytes = 0;
        for piece in pieces {
            bytes += piece.len();
            for (sum, bits) in total.iter_mut().zip(self.bits(piece, 0)) {
                *sum += bits;
            }
        }
        (bytes > 0).then(|| total.into_iter().map(|bits| bits / bytes as f64).collect())
    }
}

/// Up to seven bytes as one number; every table holds contexts of one length, so leading zeros are not ambiguous.
fn pack(context: &[u8]) -> u64 {
    context.iter().fold(0, |packed, &byte| packed << 8 | u64::from(byte))
}

type Mixing = BuildHasherDefault<MixHasher>;

/// A quick hash for packed contexts: one multiplication by an odd constant (2^64 over the golden ratio) and a fold of the
/// upper half. Text is no adversary here.
#[derive(Default)]
struct MixHasher(u64);

impl Hasher for MixHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, n: u64) {
        let mixed = (self.0 ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, word for word: counts by scanning the text for every question.
    fn slow(pieces: &[&[u8]], context: &[u8], byte: u8) -> f64 {
        let shorter = if context.is_empty() { 1.0 / 256.0 } else { slow(pieces, &context[1..], byte) };
        let mut followers = Vec::new();
        for piece in pieces {
            for window in piece.windows(context.len() + 1) {
                if window[..context.len()] == *context {
                    followers.push(window[context.len()]);
                }
            }
        }
        if followers.is_empty() {
            return shorter;
        }
        let hits = f64::from(followers.iter().map(|&f| u32::from(f == byte)).sum::<u32>());
        let c = followers.len() as f64;
        followers.sort_unstable();
        followers.dedup();
        let t = followers.len() as f64;
        (hits + t * shorter) / (c + t)
    }

    #[test]
    fn agrees_with_a_slow_twin() {
        let pieces: [&[u8]; 3] = [b"fn main() { let a = 1; let b = 2; }", b"fn min(a: u8) -> u8 { a }", b"aab"];
        let mut model = ByteModel::new(4);
        for piece in pieces {
            model.add(piece);
        }
        for text in [&b"fn max(b: u8) { let z = 1; }"[..], b"a", b"\x00\xFF"] {
            let fast = model.bits(text, 0);
            for (k, bits) in fast.iter().enumerate() {
                let expected: f64 =
                    (0..text.len()).map(|at| -slow(&pieces, &text[at - k.min(at)..at], text[at]).log2()).sum();
                assert!((bits - expected).abs() < 1e-9, "order {k} on {text:?}: {bits} against {expected}");
            }
        }
    }

    #[test]
    fn a_case_worked_by_hand() {
        // Text "abab": c = 4, t = 2, so P_0(a) = (2 + 2/256) / 6. After "a" only b, twice: P_1(b|a) = (2 + P_0(b)) / 3.
        let mut model = ByteModel::new(1);
        model.add(b"abab");
        let p0 = (2.0 + 2.0 / 256.0) / 6.0;
        let p1: f64 = (2.0 + p0) / 3.0;
        let bits = model.bits(b"ab", 0);
        assert!((bits[0] + 2.0 * f64::log2(p0)).abs() < 1e-12);
        assert!((bits[1] + p0.log2() + p1.log2()).abs() < 1e-12);
    }

    #[test]
    fn probabilities_sum_to_one() {
        let mut model = ByteModel::new(3);
        model.add(b"the quick brown fox jumps over the lazy dog");
        for context in [&b"the"[..], b"qqq", b"a"] {
            for k in 0..=3 {
                let sum: f64 = (0..=255u8)
                    .map(|byte| {
                        let text = [context, &[byte]].concat();
                        (-model.bits(&text, context.len())[k]).exp2()
                    })
                    .sum();
                assert!((sum - 1.0).abs() < 1e-9, "order {k} after {context:?}: {sum}");
            }
        }
    }

    #[test]
    fn nothing_fed_needs_eight_bits() {
        let model = ByteModel::new(6);
        assert_eq!(model.bits_per_byte([&b"any"[..]]), Some(vec![8.0; 7]));
        assert_eq!(model.bits_per_byte([]), None);
    }
}
