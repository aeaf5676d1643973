//! Text to train on that is the same on every machine: sentences of a small made-up grammar, drawn from a seed.
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use coalition_data::{PrepareOptions, Silent, prepare};
use coalition_protocol::philox::{Draws, Purpose};

/// Who acts. Eight words of each kind, so that a draw of 32 bits picks one without a bias.
const SUBJECTS: [&str; 8] =
    ["the hub", "a site", "the courier", "every rank", "one worker", "the planner", "a store", "the gang"];
/// What is done.
const VERBS: [&str; 8] = ["holds", "offers", "commits", "restarts", "replays", "verifies", "leases", "returns"];
/// To what. The sentence forms 512 sentences, few enough for a tiny model to learn in seconds.
const OBJECTS: [&str; 8] =
    ["a round", "the shard", "its contribution", "two records", "the epoch", "a checkpoint", "the range", "its lease"];

/// Bytes of a document: many documents even of a little text, so that some are held out.
const DOCUMENT: usize = 4096;

/// About `bytes` bytes of text in documents of 4 KiB below `folder`.
pub fn write(folder: &Path, bytes: usize, seed: u64) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let draws = Draws::new(seed, Purpose::Test, 0, 0);
    let mut n = 0;
    for document in 0..bytes.div_ceil(DOCUMENT) {
        let mut text = String::new();
        while text.len() < DOCUMENT {
            let [a, b, c, _] = draws.block(n);
            n += 1;
            let pick = |words: &[&'static str; 8], x: u32| words[x as usize % 8];
            writeln!(text, "{} {} {}.", pick(&SUBJECTS, a), pick(&VERBS, b), pick(&OBJECTS, c))?;
        }
        std::fs::write(folder.join(format!("{document:04}.txt")), text)?;
    }
    Ok(())
}

/// A data set of such text below `folder`; its folder is returned.
pub fn dataset(folder: &Path, bytes: usize, seed: u64) -> Result<PathBuf> {
    let text = folder.join("text");
    write(&text, bytes, seed)?;
    let out = folder.join("data");
    let mut options = PrepareOptions::new(vec![text], out.clone());
    options.held_out_share = 0.05;
    prepare(&options, &Silent).context("prepare the text")?;
    Ok(out)
}
