//! `data prepare` and `data verify`: the command line of `coalition-data`. Must not know formats.
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use coalition_data::index::{Split, TokenizerRef};
use coalition_data::progress::Stage;
use coalition_data::samples::MEASURED;
use coalition_data::{Bar, Dataset, PrepareOptions, Progress, TokenizerChoice, Verify, prepare as run};

use crate::cli::Prepare;
use crate::failure::Failure;
use crate::out::{note, say};

/// Fewer held-out tokens than this are worth a warning: all the windows that a measurement reads, of a sequence of 256 as in
/// the shipped examples.
const SMALL_HELD_OUT: u64 = MEASURED as u64 * 256;
/// Binary files named one by one; the rest is counted.
const NAMED: usize = 8;

/// A bar that remembers which files were passed by as binary.
#[derive(Default)]
struct Told {
    bar: Bar,
    binary: Mutex<Vec<PathBuf>>,
}

impl Progress for Told {
    fn begin(&self, stage: Stage, bytes: u64) {
        self.bar.begin(stage, bytes);
    }
    fn advance(&self, bytes: u64) {
        self.bar.advance(bytes);
    }
    fn binary(&self, files: &[PathBuf]) {
        files.clone_into(&mut self.binary.lock().unwrap_or_else(PoisonError::into_inner));
    }
    fn end(&self) {
        self.bar.end();
    }
}

/// Prepares a data set and says what it holds.
pub fn prepare(args: Prepare) -> Result<u8, Failure> {
    let mut options = PrepareOptions::new(args.sources, args.out);
    options.include = args.include;
    options.exclude = args.exclude;
    options.tokenizer = match (args.tokenizer, args.bpe) {
        (Some(path), _) => TokenizerChoice::File { path, bos: args.bos, eos: args.eos },
        (None, Some(tokens)) => TokenizerChoice::TrainBpe(tokens),
        (None, None) => TokenizerChoice::Bytes,
    };
    options.held_out_share = args.held_out;
    options.seed = args.seed;
    options.limit_bytes = args.limit_bytes;
    options.skip_not_utf8 = args.skip_not_utf8;
    options.binary = args.binary;
    options.threads = args.threads;
    let told = Told::default();
    let index = run(&options, &told)?;
    say!("data set    {}", options.out.display());
    say!("digest      {}", index.digest);
    say!("vocabulary  {} tokens", index.vocab_size);
    for (name, split) in [("train", &index.train), ("held out", &index.held_out)] {
        say!("{name:<11} {} documents, {} bytes, {} tokens", split.documents, split.bytes, split.tokens);
    }
    let p = index.passed_by;
    if p.duplicates + p.empty + p.filtered + p.not_utf8 + p.binary > 0 {
        say!(
            "passed by   {} duplicates, {} empty, {} by name, {} not UTF-8, {} binary",
            p.duplicates,
            p.empty,
            p.filtered,
            p.not_utf8,
            p.binary
        );
    }
    if let TokenizerRef::Bpe { file, .. } = &index.tokenizer {
        // NAME is free: what spec.data.mixture and `local --data NAME=DIR` call the data set.
        say!("manifest    spec.data.tokenizer: {{dataset: NAME, file: {file}}} (NAME as in spec.data.mixture)");
        say!("            spec.model.config.vocab_size: {} or more", index.vocab_size);
    }
    let binary = told.binary.into_inner().unwrap_or_else(PoisonError::into_inner);
    for file in binary.iter().take(NAMED) {
        say!("  binary    {}", file.display());
    }
    if binary.len() > NAMED {
        say!("  binary    and {} more", binary.len() - NAMED);
    }
    if !binary.is_empty() {
        note!(
            "warning: {} file(s) with a NUL byte in the first 8 KiB passed by as binary; --binary takes them",
            binary.len()
        );
    }
    if let Some(warning) = small(options.held_out_share, &index.held_out) {
        note!("warning: {warning}");
    }
    Ok(0)
}

/// What to say of a held-out side that measures little.
fn small(share: f64, held_out: &Split) -> Option<String> {
    (held_out.tokens < SMALL_HELD_OUT).then(|| match held_out.tokens {
        0 => "nothing is held out: runs on this data set measure no bits per byte; --held-out 0.02 keeps some back".to_owned(),
        n => format!(
            "only {n} tokens in {} documents are held out: measurements read up to {MEASURED} sequences \
             ({SMALL_HELD_OUT} tokens where a sequence has 256), so they will be few and noisy, or none where one sequence does not fit; raise --held-out \
             (now {share}), add text, or split large files, since a document is held out whole",
            held_out.documents
        ),
    })
}

/// Compares a data set with its digests.
pub fn verify(folder: &Path) -> Result<u8, Failure> {
    let dataset = Dataset::open(folder, Verify::All)?;
    say!("{}: {} is whole", folder.display(), dataset.index().digest);
    Ok(0)
}
