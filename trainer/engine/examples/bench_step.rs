//! Times training steps of the tiny Llama and prints one JSON line; the peer beside it is e2e/bench/peers/train_step.py.
//!
//! `bench_step [--recompute] [--steps N] [--threads N] [--rows N] [--documents N] [--preset NAME] [--write-init FILE]`
//!
//! The line: `{"tokens_per_second": …, "step_seconds": […], "peak_rss_mb": …, "losses": […]}` and a few more;
//! tokens per second from the median step, the first two steps left out.
use std::error::Error;
use std::time::Instant;

use coalition_engine::{Alone, Batch, ModelOptions, Options, Trainer};
use coalition_spec::model::Architecture;
use coalition_spec::preset;
use coalition_spec::training::AdamW;
use safetensors::{Dtype, tensor::TensorView};

/// Tokens of a row: LENGTH of the peer.
const LENGTH: usize = 256;
/// Steps left out at the start: the first ones allocate.
const WARMUP: usize = 2;

/// Token `n` of an endless text: a multiplicative hash (Knuth), cut to the 4096 of the vocabulary. The peer has the same.
fn token(n: u64) -> u32 {
    (n as u32).wrapping_mul(2_654_435_761) >> 20
}

fn text(rows: usize, step: usize, vocabulary: u32) -> Vec<Vec<u32>> {
    let start = (step * rows * (LENGTH + 1)) as u64;
    (0..rows as u64)
        .map(|r| (0..=LENGTH as u64).map(|i| token(start + r * (LENGTH as u64 + 1) + i) % vocabulary).collect())
        .collect()
}

/// The most memory this process has held, from the kernel.
fn peak_rss_mb() -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc/self/status")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

/// Processor time this process has used, in seconds: what a step costs, whoever else is on the machine.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    // Times are in ticks of 10 ms (USER_HZ is 100 on every Linux architecture Rust's standard library runs on).
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').ok_or("no command in /proc/self/stat")?.1;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks / 100.0)
}

fn write_init(trainer: &Trainer<f32>, path: &str) -> Result<(), Box<dyn Error>> {
    let bytes: Vec<u8> = trainer.params().iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut tensors = Vec::new();
    for e in trainer.layout().entries() {
        let data = &bytes[4 * e.offset..4 * (e.offset + e.len)];
        tensors.push((e.info.name.clone(), TensorView::new(Dtype::F32, e.info.shape.clone(), data)?));
    }
    Ok(std::fs::write(path, safetensors::serialize(tensors, None)?)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut recompute, mut steps, mut threads, mut rows, mut documents, mut init) = (false, 20, 2, 8, 0, None);
    let mut name = "llama-tiny".to_owned();
    let mut arguments = std::env::args().skip(1);
    while let Some(a) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{a} needs a value"));
        match a.as_str() {
            "--recompute" => recompute = true,
            "--steps" => steps = value()?.parse()?,
            "--threads" => threads = value()?.parse()?,
            "--rows" => rows = value()?.parse()?,
            "--documents" => documents = value()?.parse()?,
            "--preset" => name = value()?,
            "--write-init" => init = Some(value()?),
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    let config = preset::find(&name, Architecture::Llama).map_err(|p| format!("{p:?}"))?;
    let adam = AdamW { lr: 3e-4, betas: [0.9, 0.95], eps: 1e-8, weight_decay: 0.1, clip: 1.0 };
    let options = Options { threads, recompute, micro_rows: 0, seed: 1, model: ModelOptions::default() };
    let mut trainer = Trainer::<f32>::new(&config, adam, options)?;
    trainer.init(1);
    if let Some(path) = init {
        write_init(&trainer, &path)?;
    }
    let (mut seconds, mut losses, mut phases) = (Vec::new(), Vec::new(), [0.0; 3]);
    let mut cpu = 0.0;
    for n in 0..steps + WARMUP {
        if n == WARMUP {
            cpu = cpu_seconds()?;
        }
        let mut windows = text(rows, n, config.vocab_size as u32);
        if documents > 1 {
            // So many documents a row: the price of keeping them apart.
            for row in &mut windows {
                for (n, t) in row.iter_mut().enumerate() {
                    *t = if n % LENGTH.div_ceil(documents) == 0 { 0 } else { (*t).max(1) };
                }
            }
        }
        let mut batch = Batch::from_windows(LENGTH, &windows)?;
        if documents > 0 {
            batch = batch.keep_documents_apart(0);
        }
        let started = Instant::now();
        let report = trainer.step(&batch, adam.lr, n as u64, &mut Alone)?;
        losses.push(report.loss);
        if n >= WARMUP {
            seconds.push(started.elapsed().as_secs_f64());
            for (sum, p) in phases.iter_mut().zip(report.phases) {
                *sum += p.as_secs_f64() / steps as f64;
            }
        }
    }
    let mut sorted = seconds.clone();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN);
    let line = serde_json::json!({
        "tokens_per_second": (rows * LENGTH) as f64 / median,
        "step_seconds": seconds,
        "peak_rss_mb": peak_rss_mb()?,
        "losses": losses,
        "cpu_seconds_per_step": (cpu_seconds()? - cpu) / steps as f64,
        "phase_seconds": phases,
    });
    println!("{line}");
    Ok(())
}
