//! The yardstick of learning: counting models fitted on exactly the bytes a run was fed, judged on the same held-out windows
//! as the trained model, with the same context.

use crate::ngram::ByteModel;
use anyhow::{Context, Result};
use coalition_data::dataset::Dataset;
use coalition_data::samples::{HeldOut, Samples};
use coalition_data::tokenizer::Tokenizer;
use coalition_protocol::IntervalSet;
use std::sync::Arc;

/// Highest order fitted.
pub const ORDERS: usize = 6;

/// Bits per byte of the counting models.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Yardstick {
    /// Bytes the models were fitted on.
    pub bytes_fed: u64,
    /// Held-out bytes they were judged on.
    pub bytes_judged: u64,
    /// Bits per byte of the orders 0 to [`ORDERS`].
    pub orders: Vec<f64>,
}

/// Fits on the samples at `fed` and judges on at most `windows` held-out windows.
pub fn measure(samples: &Samples, fed: &IntervalSet, windows: usize) -> Result<Yardstick> {
    let dataset: &Arc<Dataset> = samples.dataset();
    let tokenizer = dataset.tokenizer().context("the data's tokenizer cannot be read")?;
    let mut model = ByteModel::new(ORDERS);
    let mut tokens = Vec::new();
    for position in fed.iter() {
        samples.read(position, &mut tokens).with_context(|| format!("position {position} cannot be read"))?;
        for piece in pieces(&tokenizer, &tokens) {
            model.add(&piece);
        }
    }
    let held_out =
        HeldOut::new(Arc::clone(dataset), samples.sequence_length(), windows).context("no held-out windows")?;
    let mut bits = vec![0.0; ORDERS + 1];
    let mut judged = 0;
    for n in 0..held_out.len() {
        let (tokens, _) = held_out.get(n).with_context(|| format!("held-out window {n} cannot be read"))?;
        // The first token of a window is context for both kinds of model and target of neither.
        let given = tokenizer.run(*tokens.first().unwrap_or(&0)).len();
        for (at, piece) in pieces(&tokenizer, &tokens).iter().enumerate() {
            let from = if at == 0 { given.min(piece.len()) } else { 0 };
            judged += (piece.len() - from) as u64;
            for (sum, piece_bits) in bits.iter_mut().zip(model.bits(piece, from)) {
                *sum += piece_bits;
            }
        }
    }
    let orders = bits.into_iter().map(|b| b / judged.max(1) as f64).collect();
    Ok(Yardstick { bytes_fed: model.bytes(), bytes_judged: judged, orders })
}

/// The text of a window as bytes, parted where a document ends: no counting model sees across that.
fn pieces(tokenizer: &Tokenizer, tokens: &[u32]) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new()];
    for &token in tokens {
        let bytes = tokenizer.run(token);
        match all.last_mut() {
            // A token that stands for no byte is BOS or EOS.
            Some(last) if !bytes.is_empty() => last.extend_from_slice(bytes),
            Some(last) if last.is_empty() => {}
            _ => all.push(Vec::new()),
        }
    }
    all.retain(|piece| !piece.is_empty());
    all
}
