//! Trains a byte-level BPE tokenizer on the train split. Knows nothing of shards.
//!
//! All 256 bytes are in the alphabet, so any text can be encoded; there is no normaliser and no prefix space, so encoding
//! loses nothing.
use std::sync::Mutex;

use rayon::prelude::*;
use tokenizers::AddedToken;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::documents::Document;
use crate::error::DataError;
use crate::piece::Piece;
use crate::progress::{Progress, Stage};
use crate::tokenizer::{BOS, EOS, Tokenizer};

/// Smallest vocabulary: 256 bytes, BOS, EOS.
pub const SMALLEST: u32 = 258;
/// Largest vocabulary that is trained here: the largest in use are about 256 thousand.
pub const LARGEST: u32 = 1 << 18;
/// Text a tokenizer is trained on at most, in bytes: documents are in random order (by digest), and merges hardly change
/// beyond some hundred MB, while the table of distinct words keeps growing.
pub const TEXT_BYTES: u64 = 256 << 20;
/// Pieces read ahead of the trainer.
const AHEAD: usize = 16;

/// A tokenizer of at most `vocab_size` tokens (fewer if the text has no more pairs that repeat).
pub fn train(documents: &[Document], vocab_size: u32, progress: &dyn Progress) -> Result<Tokenizer, DataError> {
    let failed = |reason: String| DataError::Tokenizer { what: "training".to_owned(), reason };
    let mut inner = tokenizers::Tokenizer::new(BPE::default());
    inner.with_pre_tokenizer(Some(ByteLevel::default().add_prefix_space(false)));
    inner.with_decoder(Some(ByteLevel::default().add_prefix_space(false)));
    let mut trainer: tokenizers::models::TrainerWrapper = BpeTrainer::builder()
        .vocab_size(vocab_size as usize)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(vec![AddedToken::from(BOS, true), AddedToken::from(EOS, true)])
        // A sorted set is not to be had here, but the trainer sorts the alphabet itself.
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build()
        .into();

    let total: u64 = documents.iter().map(|d| d.bytes).sum();
    progress.begin(Stage::Train, total.min(TEXT_BYTES));
    // The trainer takes an iterator that cannot fail, so an error ends the iterator and is kept here.
    let error = Mutex::new(None);
    let text = Text { pieces: Piece::of(documents), ready: Vec::new(), given: 0, error: &error, progress };
    inner.train(&mut trainer, text).map_err(|e| failed(e.to_string()))?;
    if let Some(e) = error.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(e);
    }
    Tokenizer::from_inner(inner, BOS, EOS).map_err(failed)
}

/// Pieces of text, read in parallel some at a time.
struct Text<'a, I> {
    pieces: I,
    ready: Vec<String>,
    given: u64,
    error: &'a Mutex<Option<DataError>>,
    progress: &'a dyn Progress,
}

impl<'a, I: Iterator<Item = Piece<'a>>> Iterator for Text<'a, I> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.ready.is_empty() && self.given < TEXT_BYTES {
            let batch: Vec<Piece<'a>> = self.pieces.by_ref().take(AHEAD).collect();
            let read: Result<Vec<String>, DataError> = batch
                .par_iter()
                .map(|p| {
                    String::from_utf8(p.read(true)?).map_err(|e| DataError::NotUtf8 {
                        path: p.document.path.clone(),
                        at: e.utf8_error().valid_up_to() as u64,
                    })
                })
                .collect();
            match read {
                Ok(texts) => self.ready.extend(texts.into_iter().rev()),
                Err(e) => {
                    *self.error.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(e);
                    return None;
                }
            }
        }
        let text = self.ready.pop()?;
        self.given += text.len() as u64;
        self.progress.advance(text.len() as u64);
        Some(text)
    }
}
