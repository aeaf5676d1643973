//! Hugging Face is the oracle: logits, gradients and ten clipped AdamW steps against `transformers`, tied and untied, with
//! and without biases, rows of different length (golden files: e2e/bench/peers/golden.py).
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_wrap)] // tests: a failure here is the finding
mod common;

use coalition_engine::{Alone, Options, Real, Trainer};
use common::{Golden, options};
use rstest::rstest;

const STEPS: u64 = 10;

struct Run<R> {
    logits: Vec<f64>,
    gradient: Vec<f64>,
    losses: Vec<f64>,
    trainer: Trainer<R>,
    clipped: usize,
}

fn run<R: Real>(golden: &Golden, options: Options) -> Run<R> {
    let mut trainer = golden.trainer::<R>(options);
    let batch = golden.batch();
    let all = trainer.logits(&batch).unwrap();
    let rows = all.chunks(golden.config.vocab_size).zip(golden.list("targets"));
    let logits: Vec<f64> = rows.filter(|(_, t)| **t >= 0.0).flat_map(|(row, _)| row.to_vec()).collect();
    let (mut gradient, mut losses, mut clipped) = (Vec::new(), Vec::new(), 0);
    for n in 0..STEPS {
        let report = trainer.step(&batch, golden.adam.lr, n, &mut Alone).unwrap();
        assert!(report.applied);
        losses.push(report.loss);
        clipped += usize::from(report.clipped);
        if n == 0 {
            gradient = trainer.gradient().iter().map(|g| g.to_f64()).collect();
            // Clipping at half the first gradient's norm, so the norm itself is checked too.
            assert!((report.gradient_norm / (2.0 * golden.adam.clip) - 1.0).abs() < 1e-5);
        }
    }
    Run { logits, gradient, losses, trainer, clipped }
}

fn most(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn spread(a: &[f64], b: &[f64], n: usize) -> f64 {
    (a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / n as f64).sqrt()
}

#[rstest]
#[case("llama")]
#[case("llama-tied")]
#[case("nemotron")]
#[case("nemotron-tied")]
fn f64_equals_transformers(#[case] name: &str, #[values(false, true)] recompute: bool, #[values(0, 2)] micro: usize) {
    let golden = Golden::read(name);
    let ours = run::<f64>(&golden, Options { recompute, micro_rows: micro, ..options() });
    let exact = golden.vector("g", &ours.trainer);
    let losses: Vec<f64> = ours.losses.iter().zip(golden.list("losses")).map(|(a, b)| (a / b - 1.0).abs()).collect();
    let (logits, gradient) = (most(&ours.logits, golden.list("logits")), most(&ours.gradient, &exact));
    println!(
        "{name}: logits {logits:e}, gradients {gradient:e}, losses {:e}",
        losses.iter().copied().fold(0.0, f64::max)
    );
    assert!(logits <= 1e-12, "logits are off by {logits:e}");
    assert!(gradient <= 1e-10, "gradients are off by {gradient:e}");
    assert!(losses.iter().all(|e| *e <= 1e-9), "losses are off by {losses:?}");
    assert_eq!(ours.clipped, golden.clipped, "clipped steps");
    // Updated parameters, by the norm of each tensor.
    for (name, norm) in golden.last_names.iter().zip(golden.list("norms")) {
        let e = &ours.trainer.layout().entries()[ours.trainer.layout().find(name).unwrap()];
        let mine = ours.trainer.params()[e.offset..e.offset + e.len].iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!((mine - norm).abs() <= 1e-9 * (1.0 + norm), "{name}: {mine} against {norm}");
    }
    // Padding is still zero: it would end up in digests.
    let used: usize = ours.trainer.layout().entries().iter().map(|e| e.len).sum();
    assert!(ours.trainer.params().iter().filter(|x| x.to_bits() == 0).count() >= ours.trainer.params().len() - used);
}

#[rstest]
#[case("llama")]
#[case("llama-tied")]
#[case("nemotron")]
#[case("nemotron-tied")]
fn f32_is_as_close_as_transformers(#[case] name: &str) {
    let golden = Golden::read(name);
    let ours = run::<f32>(&golden, options());
    let exact = golden.vector("g", &ours.trainer);
    let count: usize = ours.trainer.layout().entries().iter().map(|e| e.len).sum();
    for (what, mine) in [
        ("logits", spread(&ours.logits, golden.list("logits"), ours.logits.len())),
        ("gradients", spread(&ours.gradient, &exact, count)),
        ("losses", spread(&ours.losses, golden.list("losses"), ours.losses.len())),
    ] {
        let theirs = golden.f32_errors[what];
        println!("{name}: {what} {mine:e}, transformers {theirs:e}, ratio {:.2}", mine / theirs);
        assert!(mine <= 2.0 * theirs, "{what}: {mine:e} is more than twice {theirs:e}");
    }
}
