//! `data prepare` and `data verify`: the command line of `coalition-data`. Must not know formats.
use std::path::Path;

use coalition_data::{Bar, Dataset, PrepareOptions, TokenizerChoice, Verify, prepare as run};

use crate::cli::Prepare;
use crate::failure::Failure;

/// Prepares a data set and says what it holds.
pub fn prepare(args: Prepare) -> Result<u8, Failure> {
    let mut options = PrepareOptions::new(args.sources, args.out);
    options.include = args.include;
    options.exclude = args.exclude;
    options.tokenizer = args.bpe.map_or(TokenizerChoice::Bytes, TokenizerChoice::TrainBpe);
    options.held_out_share = args.held_out;
    options.seed = args.seed;
    options.limit_bytes = args.limit_bytes;
    options.skip_not_utf8 = args.skip_not_utf8;
    options.threads = args.threads;
    let index = run(&options, &Bar::new())?;
    println!("data set    {}", options.out.display());
    println!("digest      {}", index.digest);
    println!("vocabulary  {} tokens", index.vocab_size);
    for (name, split) in [("train", &index.train), ("held out", &index.held_out)] {
        println!("{name:<11} {} documents, {} bytes, {} tokens", split.documents, split.bytes, split.tokens);
    }
    let p = index.passed_by;
    if p.duplicates + p.empty + p.filtered + p.not_utf8 > 0 {
        println!(
            "passed by   {} duplicates, {} empty, {} by name, {} not UTF-8",
            p.duplicates, p.empty, p.filtered, p.not_utf8
        );
    }
    Ok(0)
}

/// Compares a data set with its digests.
pub fn verify(folder: &Path) -> Result<u8, Failure> {
    let dataset = Dataset::open(folder, Verify::All)?;
    println!("{}: {} is whole", folder.display(), dataset.index().digest);
    Ok(0)
}
