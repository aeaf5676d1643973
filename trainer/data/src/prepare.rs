//! Files and folders into a dataset: parallel, in bounded memory, the same bytes whatever the thread count, the names and
//! the folder order. Knows nothing of command lines.
//!
//! Every file is read twice: once for its digest (which fixes order, duplicates and the split), once for its tokens. In
//! flight are a few pieces of 1 MiB a thread.
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use coalition_protocol::{Digest, Real};
use rayon::prelude::*;

use crate::documents::{self, Document, Gathered, Rules};
use crate::error::DataError;
use crate::index::{self, Index, PassedBy, Split, TokenizerRef};
use crate::partial::Partial;
use crate::pattern::Pattern;
use crate::piece::{PIECE, Piece};
use crate::progress::{Progress, Stage};
use crate::shard::ShardWriter;
use crate::sources::{self, Filter};
use crate::tokenizer::{self, Tokenizer};
use crate::train_bpe;

/// Pieces encoded at a time by each thread, before they are written.
const PIECES_A_THREAD: usize = 4;
/// More threads than this are refused: the largest machines have fewer cores.
const MOST_THREADS: usize = 1024;
/// Largest seed: counts in the index must be exact in JSON.
const LARGEST_SEED: u64 = (1 << 53) - 1;

/// Which tokenizer to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenizerChoice {
    /// Bytes.
    Bytes,
    /// A byte-level BPE of at most so many tokens, trained on the train split.
    TrainBpe(u32),
    /// A byte-level tokenizer that exists: its file and its special tokens at the beginning and end of a document.
    File {
        /// `tokenizer.json`.
        path: PathBuf,
        /// Text of the token that begins a document.
        bos: String,
        /// Text of the token that ends a document.
        eos: String,
    },
}

/// What to prepare and how.
#[derive(Clone, Debug)]
pub struct PrepareOptions {
    /// Files and folders to read.
    pub sources: Vec<PathBuf>,
    /// Patterns of files to take below a folder (`*.rs`, `src/**/*.md`); empty takes all.
    pub include: Vec<String>,
    /// Patterns of files to leave out.
    pub exclude: Vec<String>,
    /// The folder to make. It must not exist yet.
    pub out: PathBuf,
    /// The tokenizer.
    pub tokenizer: TokenizerChoice,
    /// Share of documents held out for evaluation, in [0, 1).
    pub held_out_share: f64,
    /// Seed of the split, below 2^53.
    pub seed: u64,
    /// Tokens of a shard, at least 1024. The default, 2^27, makes files of 256 MiB.
    pub tokens_per_shard: u64,
    /// Take documents, in order of digest, only until they hold so many bytes.
    pub limit_bytes: Option<u64>,
    /// Pass by files that are not UTF-8 where text is needed, instead of failing.
    pub skip_not_utf8: bool,
    /// Take binary files too (a NUL byte in their first 8 KiB), which are passed by otherwise.
    pub binary: bool,
    /// Threads; 0 means one a core.
    pub threads: usize,
}

impl PrepareOptions {
    /// Bytes, 1 % held out, seed 1, every file.
    pub fn new(sources: Vec<PathBuf>, out: PathBuf) -> Self {
        Self {
            sources,
            include: Vec::new(),
            exclude: Vec::new(),
            out,
            tokenizer: TokenizerChoice::Bytes,
            held_out_share: 0.01,
            seed: 1,
            tokens_per_shard: 1 << 27,
            limit_bytes: None,
            skip_not_utf8: false,
            binary: false,
            threads: 0,
        }
    }

    fn check(&self) -> Result<(), DataError> {
        let wrong =
            |field, value: String, bound: &str| Err(DataError::Option { field, value, bound: bound.to_owned() });
        if self.sources.is_empty() {
            return wrong("sources", "an empty list".to_owned(), "name at least one file or folder");
        }
        if !(0.0..1.0).contains(&self.held_out_share) {
            return wrong("held-out share", self.held_out_share.to_string(), "it must be at least 0 and below 1");
        }
        if self.tokens_per_shard < 1024 || self.tokens_per_shard > index::MOST_TOKENS {
            return wrong("tokens per shard", self.tokens_per_shard.to_string(), "it must be from 1024 to 2^48");
        }
        if self.seed > LARGEST_SEED {
            return wrong("seed", self.seed.to_string(), "it must be below 2^53");
        }
        if self.threads > MOST_THREADS {
            return wrong("threads", self.threads.to_string(), "it must be at most 1024; 0 means one a core");
        }
        if let TokenizerChoice::TrainBpe(n) = self.tokenizer
            && !(train_bpe::SMALLEST..=train_bpe::LARGEST).contains(&n)
        {
            let bound = "a byte-level BPE has at least 258 tokens (256 bytes, BOS, EOS) and at most 262144";
            return wrong("vocabulary size", n.to_string(), bound);
        }
        Ok(())
    }
}

/// Makes a dataset. On any error, and on a kill at any instant, `out` does not exist.
pub fn prepare(options: &PrepareOptions, progress: &dyn Progress) -> Result<Index, DataError> {
    options.check()?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build().map_err(|e| DataError::Option {
        field: "threads",
        value: options.threads.to_string(),
        bound: e.to_string(),
    })?;
    let partial = Partial::begin(&options.out)?;
    let done = pool.install(|| fill(partial.folder(), options, progress));
    progress.end();
    let index = done?;
    partial.finish()?;
    Ok(index)
}

fn fill(folder: &Path, options: &PrepareOptions, progress: &dyn Progress) -> Result<Index, DataError> {
    let patterns = |list: &[String]| list.iter().map(|p| Pattern::new(p)).collect();
    let filter = Filter { include: patterns(&options.include), exclude: patterns(&options.exclude) };
    let found = sources::find(&options.sources, &filter)?;
    let seen = found.files.len() as u64 + found.left_out;
    let rules = Rules {
        text: options.tokenizer != TokenizerChoice::Bytes,
        skip_not_utf8: options.skip_not_utf8,
        held_out: options.held_out_share,
        seed: options.seed,
        binary: options.binary,
        limit_bytes: options.limit_bytes,
    };
    let gathered = documents::gather(found.files, rules, progress)?;
    progress.binary(&gathered.binary);
    if gathered.train.is_empty() {
        return Err(DataError::NoDocuments {
            sources: options.sources.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "),
            seen,
            empty: gathered.empty,
            left_out: found.left_out + gathered.not_utf8,
            binary: gathered.binary.len() as u64,
        });
    }
    let (tokenizer, names) = match &options.tokenizer {
        TokenizerChoice::Bytes => (Tokenizer::bytes(), None),
        TokenizerChoice::TrainBpe(n) => {
            let t = train_bpe::train(&gathered.train, *n, progress)?;
            (t, Some((tokenizer::BOS.to_owned(), tokenizer::EOS.to_owned())))
        }
        TokenizerChoice::File { path, bos, eos } => {
            (Tokenizer::load(path, bos, eos, None)?, Some((bos.clone(), eos.clone())))
        }
    };
    let token_bytes = if tokenizer.vocab_size() <= 1 << 16 { 2 } else { 4 };
    let bytes = gathered.train.iter().chain(&gathered.held_out).map(|d| d.bytes).sum();
    progress.begin(Stage::Write, bytes);
    let write = |split, documents: &[Document]| {
        let writer = ShardWriter::new(folder, split, &tokenizer, token_bytes, options.tokens_per_shard);
        encode(writer, &tokenizer, documents, progress)
    };
    let train = write("train", &gathered.train)?;
    let held_out = write("heldout", &gathered.held_out)?;
    let passed_by = passed_by(&gathered, found.left_out);
    finish(folder, options, &tokenizer, names, token_bytes, passed_by, train, held_out)
}

const fn passed_by(g: &Gathered, filtered: u64) -> PassedBy {
    PassedBy { duplicates: g.duplicates, empty: g.empty, filtered, not_utf8: g.not_utf8, binary: g.binary.len() as u64 }
}

/// Writes the tokenizer and, last, the index.
#[allow(clippy::too_many_arguments, reason = "the parts of one index, in its order")]
fn finish(
    folder: &Path,
    options: &PrepareOptions,
    tokenizer: &Tokenizer,
    names: Option<(String, String)>,
    token_bytes: u32,
    passed_by: PassedBy,
    train: Split,
    held_out: Split,
) -> Result<Index, DataError> {
    let odd = |reason: String| DataError::Tokenizer { what: "writing".to_owned(), reason };
    let reference = match (tokenizer.to_json().map_err(odd)?, names) {
        (Some(json), Some((bos, eos))) => {
            write_synced(&folder.join(tokenizer::FILE), json.as_bytes())?;
            TokenizerRef::Bpe { file: tokenizer::FILE.to_owned(), blake3: Digest::of(json.as_bytes()), bos, eos }
        }
        _ => TokenizerRef::Bytes,
    };
    let path = folder.join(index::FILE);
    let bad = |reason: String| DataError::NotADataset { path: path.clone(), reason };
    let mut index = Index {
        format: index::FORMAT.to_owned(),
        version: index::VERSION,
        tokenizer: reference,
        vocab_size: tokenizer.vocab_size(),
        bos: tokenizer.bos(),
        eos: tokenizer.eos(),
        document_rule: "bos-document-eos".to_owned(),
        token_bytes,
        held_out_share: Real::new(options.held_out_share).map_err(|e| bad(e.to_string()))?,
        seed: options.seed,
        passed_by,
        train,
        held_out,
        digest: Digest::ZERO,
    };
    index.digest = index.digest_of_fields().map_err(bad)?;
    let mut json = serde_json::to_vec_pretty(&index).map_err(|e| bad(e.to_string()))?;
    json.push(b'\n');
    write_synced(&path, &json)?;
    Ok(index)
}

/// Encodes batches of pieces in parallel and writes them in order.
fn encode(
    mut writer: ShardWriter<'_>,
    tokenizer: &Tokenizer,
    documents: &[Document],
    progress: &dyn Progress,
) -> Result<Split, DataError> {
    let mut pieces = Piece::of(documents);
    // Small documents are read many at a time: by bytes, not by number, up to a bound on open work.
    let budget = PIECE * (PIECES_A_THREAD * rayon::current_num_threads()) as u64;
    let mut hasher = blake3::Hasher::new();
    loop {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < budget {
            let Some(piece) = pieces.next() else { break };
            bytes += piece.document.bytes.min(PIECE);
            batch.push(piece);
        }
        if batch.is_empty() {
            return writer.finish();
        }
        let encoded: Vec<(Vec<u8>, Vec<u32>)> =
            batch.par_iter().map(|p| encode_one(*p, tokenizer)).collect::<Result<_, _>>()?;
        for (piece, (text, tokens)) in batch.iter().zip(encoded) {
            if piece.is_first() {
                hasher.reset();
                writer.push(&[tokenizer.bos()])?;
            }
            writer.push(&tokens)?;
            hasher.update(&text);
            if piece.is_last() {
                if Digest::from(hasher.finalize()) != piece.document.digest {
                    return Err(DataError::Changed { path: piece.document.path.clone() });
                }
                writer.push(&[tokenizer.eos()])?;
            }
            progress.advance(text.len() as u64);
        }
    }
}

fn encode_one(piece: Piece<'_>, tokenizer: &Tokenizer) -> Result<(Vec<u8>, Vec<u32>), DataError> {
    let text = piece.read(tokenizer.needs_text())?;
    let tokens = tokenizer
        .encode(&text)
        .map_err(|reason| DataError::Tokenizer { what: format!("for {}", piece.document.path.display()), reason })?;
    Ok((text, tokens))
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let write = || {
        let mut file = File::create_new(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|e| DataError::writing(path, e))
}
