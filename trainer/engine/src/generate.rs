//! Text from a model, token by token. Must not know tokenizers.
//!
//! Keys and values of earlier positions are kept, so a token costs one position, until the text is as long as the model's
//! longest sequence. From there on only the end counts, every position moves by one with each token, and what was kept is
//! worth nothing: the whole context runs again for each. Right for looking at what a small model has learnt, not for serving.
use coalition_protocol::philox::{Draws, Purpose};

use crate::{Error, Past, Real, Trainer};

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Most tokens to write.
    pub tokens: usize,
    /// Divides the logits; 0 takes the likeliest token every time.
    pub temperature: f64,
    /// Chooses among so many likeliest tokens; 0 among all.
    pub top_k: usize,
    /// Seed of the draws: same seed, same text (within a class, D1).
    pub seed: u64,
    /// Writing ends before this token.
    pub stop: Option<u32>,
}

impl<R: Real> Trainer<R> {
    /// Continues `prompt`; `each` sees every token as it comes and may end the writing by returning false. Of a context
    /// beyond the model's longest sequence only the end counts.
    pub fn generate(
        &mut self,
        prompt: &[u32],
        how: &Sampling,
        mut each: impl FnMut(u32) -> bool,
    ) -> Result<Vec<u32>, Error> {
        if prompt.is_empty() {
            return Err(Error::Batch("the prompt has no token: begin with the tokenizer's first token".into()));
        }
        if !(how.temperature.is_finite() && how.temperature >= 0.0) {
            let value = how.temperature.to_string();
            return Err(Error::Option { name: "temperature", value, bound: "finite, >= 0" });
        }
        let mut text = prompt.to_vec();
        let draws = Draws::new(how.seed, Purpose::Sample, 0, 0);
        let longest = self.config().max_position_embeddings;
        let mut past = Past::default();
        for n in 0..how.tokens {
            let logits = if text.len() > longest {
                self.next_logits(&text[text.len() - longest..], &mut Past::default())?
            } else {
                self.next_logits(&text[past.positions()..], &mut past)?
            };
            let token = choose(&logits, how, draws.uniform(n as u64));
            if how.stop == Some(token) {
                break;
            }
            text.push(token);
            if !each(token) {
                break;
            }
        }
        Ok(text.split_off(prompt.len()))
    }
}

/// Inverts the distribution function at `u` in (0, 1), likeliest token first; ties go to the smaller id.
fn choose(logits: &[f64], how: &Sampling, u: f64) -> u32 {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
    let best = order.first().copied().unwrap_or(0);
    if how.temperature == 0.0 {
        return best as u32;
    }
    if how.top_k > 0 {
        order.truncate(how.top_k);
    }
    let top = logits.get(best).copied().unwrap_or(0.0);
    let weights: Vec<f64> = order.iter().map(|n| ((logits[*n] - top) / how.temperature).exp()).collect();
    let mut left = u * weights.iter().sum::<f64>();
    for (n, w) in order.iter().zip(&weights) {
        left -= w;
        if left <= 0.0 {
            return *n as u32;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choice_follows_the_distribution() {
        let how = Sampling { tokens: 1, temperature: 1.0, top_k: 0, seed: 1, stop: None };
        let logits = [0.0, 3.0f64.ln(), f64::NEG_INFINITY, 0.0];
        let mut counts = [0; 4];
        for n in 0..1000 {
            counts[choose(&logits, &how, (f64::from(n) + 0.5) / 1000.0) as usize] += 1;
        }
        assert_eq!(counts, [200, 600, 0, 200]);
        assert_eq!(choose(&logits, &Sampling { temperature: 0.0, ..how }, 0.99), 1);
        assert_eq!(choose(&logits, &Sampling { top_k: 1, ..how }, 0.99), 1);
    }
}
