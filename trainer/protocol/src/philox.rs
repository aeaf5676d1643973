//! Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011): the only source of draws (D2).
//!
//! A draw is a function of (seed, purpose, step, tensor, element): there is no generator state to save or to lose.

/// What a draw is for. Numbers are part of the definition and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// Initial parameters.
    Init = 1,
    /// Order of samples.
    Order = 2,
    /// Seeds given to libtorch's generators before a stage.
    Stage = 3,
    /// Faults in tests.
    Test = 4,
    /// Choice of tokens when a model writes text.
    Sample = 5,
}

/// Multiplier of the first word: PHILOX_M4x32_0 of the paper.
const M0: u32 = 0xD251_1F53;
/// Multiplier of the third word: PHILOX_M4x32_1.
const M1: u32 = 0xCD9E_8D57;
/// Added to the first half of the key each round: PHILOX_W32_0, the golden ratio's fraction.
const W0: u32 = 0x9E37_79B9;
/// Added to the second half: PHILOX_W32_1, the fraction of √3.
const W1: u32 = 0xBB67_AE85;

/// One block of four words for a counter and a key.
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let (mut c, mut k) = (counter, key);
    for round in 0..10 {
        if round > 0 {
            k = [k[0].wrapping_add(W0), k[1].wrapping_add(W1)];
        }
        let a = u64::from(M0) * u64::from(c[0]);
        let b = u64::from(M1) * u64::from(c[2]);
        c = [(b >> 32) as u32 ^ c[1] ^ k[0], b as u32, (a >> 32) as u32 ^ c[3] ^ k[1], a as u32];
    }
    c
}

/// Draws for one (seed, purpose, step, tensor).
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    key: [u32; 2],
    hi: [u32; 2],
}

impl Draws {
    /// `step` below 2^24 and `tensor` below 2^32; `step` is cut to 24 bits beside the purpose.
    pub fn new(seed: u64, purpose: Purpose, step: u64, tensor: u32) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], hi: [tensor, (step as u32) << 8 | purpose as u32] }
    }

    /// The block of four words that belongs to element block `n`.
    pub fn block(&self, n: u64) -> [u32; 4] {
        philox4x32([n as u32, (n >> 32) as u32, self.hi[0], self.hi[1]], self.key)
    }

    /// 64 bits for element `n`.
    pub fn u64(&self, n: u64) -> u64 {
        let b = self.block(n);
        u64::from(b[0]) | u64::from(b[1]) << 32
    }

    /// Uniform in (0, 1), 53 bits, for element `n`.
    pub fn uniform(&self, n: u64) -> f64 {
        ((self.u64(n) >> 11) as f64 + 0.5) * (1.0 / 9_007_199_254_740_992.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Known-answer vectors published with the reference implementation (Random123, kat_vectors, philox4x32 10).
    #[test]
    fn known_answers() {
        assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox4x32([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox4x32([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }
}
