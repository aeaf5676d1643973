//! What a run learns, on text whose next byte hangs on words before it; and that the check can fail.
//!
//! A model whose attention gives nothing sees one byte and guesses the next: however long it trains, it cannot need fewer bits
//! than the statistics of pairs of bytes, which the counting model of order 1 has. So the same bar, held against a run with
//! attention zeroed, must not pass. The bars on real text, at equal bytes beside PyTorch, are `cargo xtask bench learning`.
use std::time::Duration;

use coalition_e2e::learnt::{self, Learnt};
use coalition_e2e::manifest::Small;
use coalition_e2e::run::Run;

/// Some seconds of training; far more on a busy machine.
const BOUND: Duration = Duration::from_mins(4);

/// Trains the small model at one site.
fn learn(options: &[&str]) -> anyhow::Result<Learnt> {
    let folder = tempfile::tempdir()?;
    let small = Small { sites: 1, rounds: 60, checkpoint_steps: 64, ..Small::default() };
    let mut run = Run::prepare(folder.path(), &small)?.with(options);
    run.start()?;
    run.finish(BOUND)?;
    let samples = run.folder().samples(run.data())?;
    let found = learnt::read(&run.folder(), &samples)?;
    println!(
        "{options:?}: {:.3} to {:.3} bits a byte; counting: {:.3?}",
        found.before, found.after, found.counted.orders
    );
    Ok(found)
}

#[test]
fn a_run_needs_fewer_bits_than_counting_with_three_bytes_of_context() {
    let found = learn(&[]).unwrap();
    assert!(found.after < found.counted.orders[3], "{} is not below {}", found.after, found.counted.orders[3]);
}

#[test]
fn without_attention_it_cannot_even_beat_pairs_of_bytes() {
    let found = learn(&["--zero-attention"]).unwrap();
    assert!(found.after < found.before, "it learns what single bytes say, from {} to {}", found.before, found.after);
    // A hundredth: the counting model has seen as few bytes as the trained one, so it may be a little off the truth.
    let pairs = found.counted.orders[1] * 0.99;
    assert!(found.after > pairs, "{} is below {pairs}: the model saw more than it can", found.after);
}
