//! ‖Δ‖ and finiteness: the gate every contribution passes (D14).
use coalition_protocol::Real;

use crate::OuterError;
use crate::layout::CHUNK;

/// The Euclidean norm of a vector in f64: squares are summed in order within a chunk, then the chunks' sums in order, so
/// that every site gets the same bits. Refuses NaN and infinities, by index.
pub fn norm(what: &str, vector: &[f32]) -> Result<Real, OuterError> {
    let mut total = 0.0f64;
    for (n, chunk) in vector.chunks(CHUNK).enumerate() {
        let mut sum = 0.0f64;
        for x in chunk {
            let wide = f64::from(*x);
            sum += wide * wide;
        }
        // A square of a finite f32 is at most 1.2e77 and a chunk has 2^22 of them: the sum is finite iff all elements are.
        if !sum.is_finite() {
            let at = chunk.iter().position(|x| !x.is_finite()).unwrap_or(0);
            return Err(OuterError::NotFinite { what: what.to_owned(), index: n * CHUNK + at });
        }
        total += sum;
    }
    Real::new(total.sqrt()).map_err(|_| OuterError::NotFinite { what: what.to_owned(), index: 0 })
}
