//! Progress of a long preparation, as a callback: a bar for a person, nothing for a machine. Knows no work of its own.
use std::path::PathBuf;
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A stage of [`prepare`](crate::prepare::prepare), or of what is done with its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading every file once: digests, duplicates, what is held out.
    Read,
    /// Training the tokenizer.
    Train,
    /// Writing token shards.
    Write,
    /// Copying a prepared data set to a store.
    Push,
}

impl Stage {
    const fn says(self) -> &'static str {
        match self {
            Self::Read => "reading documents",
            Self::Train => "training the tokenizer",
            Self::Write => "writing tokens",
            Self::Push => "copying the data set",
        }
    }
}

/// Told how far a preparation is. Called from several threads.
pub trait Progress: Sync {
    /// A stage begins that will go through `bytes` bytes (0: not known).
    fn begin(&self, stage: Stage, bytes: u64);
    /// `bytes` more of the stage are done.
    fn advance(&self, bytes: u64);
    /// These files were passed by as binary.
    fn binary(&self, _: &[PathBuf]) {}
    /// All is done, or failed.
    fn end(&self) {}
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: Stage, _: u64) {}
    fn advance(&self, _: u64) {}
}

/// A bar on standard error when that is a terminal, else nothing.
#[derive(Debug, Default)]
pub struct Bar(Mutex<Option<ProgressBar>>);

impl Bar {
    /// A bar that shows itself with the first stage.
    pub fn new() -> Self {
        Self::default()
    }

    fn with(&self, f: impl FnOnce(&mut Option<ProgressBar>)) {
        // A poisoned lock guards only what is drawn.
        let mut bar = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        f(&mut bar);
    }
}

impl Progress for Bar {
    fn begin(&self, stage: Stage, bytes: u64) {
        self.with(|slot| {
            if let Some(old) = slot.take() {
                old.finish_and_clear();
            }
            // indicatif hides this target by itself when standard error is no terminal.
            let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
            let shape = if bytes == 0 {
                "{msg} {bytes} {elapsed}"
            } else {
                "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}"
            };
            if let Ok(style) = ProgressStyle::with_template(shape) {
                bar.set_style(style);
            }
            bar.set_message(stage.says());
            *slot = Some(bar);
        });
    }

    fn advance(&self, bytes: u64) {
        self.with(|slot| {
            if let Some(bar) = slot {
                bar.inc(bytes);
            }
        });
    }

    fn end(&self) {
        self.with(|slot| {
            if let Some(bar) = slot.take() {
                bar.finish_and_clear();
            }
        });
    }
}
