//! What the engine's tests share: golden files, small models, batches.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::panic)] // each test file uses its part
use std::collections::{BTreeMap, HashMap};

use coalition_engine::{Batch, ModelOptions, Options, Real, Trainer};
use coalition_spec::model::{Activation, Architecture, ModelConfig};
use coalition_spec::training::AdamW;
use safetensors::{Dtype, SafeTensors};

/// One number for the whole test process: the tensor library keeps only one. (tests/threads.rs has two.)
pub const THREADS: usize = 1;

pub fn options() -> Options {
    Options { threads: THREADS, recompute: false, micro_rows: 0, seed: 1, model: ModelOptions::default() }
}

pub fn adam() -> AdamW {
    AdamW { lr: 1e-2, betas: [0.9, 0.95], eps: 1e-8, weight_decay: 0.1, clip: 1.0 }
}

/// A model with everything that is easy to get wrong: grouped heads, a head width that is not hidden / heads, an inner
/// width that is no multiple of anything.
pub fn small(model_type: Architecture, tied: bool) -> ModelConfig {
    ModelConfig {
        model_type,
        vocab_size: 50,
        hidden_size: 24,
        intermediate_size: 36,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 8,
        max_position_embeddings: 64,
        norm_eps: 1e-5,
        rope_theta: 10_000.0,
        partial_rotary_factor: if model_type == Architecture::Llama { 1.0 } else { 0.5 },
        tie_word_embeddings: tied,
        initializer_range: 0.2,
        hidden_act: if model_type == Architecture::Llama { Activation::Silu } else { Activation::Relu2 },
        attention_bias: tied,
        mlp_bias: tied,
    }
}

/// Rows of a fixed sequence without a pattern the model knows: quadratic residues.
pub fn windows(rows: usize, length: usize, vocabulary: u32, salt: u32) -> Vec<Vec<u32>> {
    let token = |n: u32| (n * n + 7 * n + salt) % 10_007 % vocabulary;
    (0..rows).map(|r| (0..=length).map(|i| token((r * (length + 1) + i) as u32)).collect()).collect()
}

pub fn batch(rows: usize, length: usize, salt: u32) -> Batch {
    Batch::from_windows(length, &windows(rows, length, 50, salt)).unwrap()
}

pub fn trainer<R: Real>(config: &ModelConfig, options: Options) -> Trainer<R> {
    let mut t = Trainer::new(config, adam(), options).unwrap();
    t.init(5);
    t
}

pub fn bits<R: Real>(x: &[R]) -> Vec<u64> {
    x.iter().map(|x| x.to_f64().to_bits()).collect()
}

/// Largest difference, relative to the largest value.
pub fn distance<R: Real>(a: &[R], b: &[R]) -> f64 {
    let most = b.iter().map(|b| b.to_f64().abs()).fold(0.0, f64::max);
    a.iter().zip(b).map(|(a, b)| (a.to_f64() - b.to_f64()).abs()).fold(0.0, f64::max) / most.max(1e-300)
}

/// One golden file (written by e2e/bench/peers/golden.py). `COALITION_GOLDEN` names another folder of them: who draws fresh
/// cases with that script runs the same tests on them. Nothing in the gate sets it.
pub struct Golden {
    pub config: ModelConfig,
    pub adam: AdamW,
    pub f32_errors: BTreeMap<String, f64>,
    pub last_names: Vec<String>,
    /// Steps of the ten that were clipped.
    pub clipped: usize,
    pub values: HashMap<String, (Vec<usize>, Vec<f64>)>,
}

impl Golden {
    pub fn read(name: &str) -> Self {
        let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden").to_owned();
        let folder = std::env::var("COALITION_GOLDEN").unwrap_or(committed);
        let path = format!("{folder}/{name}.safetensors");
        let bytes = std::fs::read(path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let case: serde_json::Value = serde_json::from_str(&header.metadata().as_ref().unwrap()["case"]).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let number = |d: Dtype, b: &[u8]| match d {
            Dtype::F64 => f64::from_le_bytes(b.try_into().unwrap()),
            Dtype::F32 => f64::from(f32::from_le_bytes(b.try_into().unwrap())),
            Dtype::I32 => f64::from(i32::from_le_bytes(b.try_into().unwrap())),
            other => panic!("unexpected type {other:?}"),
        };
        let values = file.tensors().into_iter().map(|(name, t)| {
            let width = if t.dtype() == Dtype::F64 { 8 } else { 4 };
            let list = t.data().chunks(width).map(|b| number(t.dtype(), b)).collect();
            (name, (t.shape().to_vec(), list))
        });
        Self {
            config: serde_json::from_value(case["config"].clone()).unwrap(),
            adam: serde_json::from_value(case["adam"].clone()).unwrap(),
            f32_errors: serde_json::from_value(case["f32_errors"].clone()).unwrap(),
            last_names: serde_json::from_value(case["last_names"].clone()).unwrap(),
            clipped: case["clipped"].as_u64().unwrap() as usize,
            values: values.collect(),
        }
    }

    pub fn list(&self, name: &str) -> &[f64] {
        &self.values[name].1
    }

    pub fn batch(&self) -> Batch {
        let (shape, tokens) = &self.values["tokens"];
        let whole = |x: &[f64]| x.iter().map(|x| *x as i64).collect::<Vec<_>>();
        Batch::new(shape[0], shape[1], whole(tokens), whole(self.list("targets"))).unwrap()
    }

    /// The values of `prefix.NAME` in the layout of the trainer.
    pub fn vector(&self, prefix: &str, trainer: &Trainer<impl Real>) -> Vec<f64> {
        let mut out = vec![0.0; trainer.layout().elements()];
        for e in trainer.layout().entries() {
            let (shape, values) = &self.values[&format!("{prefix}.{}", e.info.name)];
            assert_eq!(*shape, e.info.shape, "{}", e.info.name);
            out[e.offset..e.offset + e.len].copy_from_slice(values);
        }
        out
    }

    pub fn trainer<R: Real>(&self, options: Options) -> Trainer<R> {
        let mut t = Trainer::new(&self.config, self.adam, options).unwrap();
        let first: Vec<R> = self.vector("p", &t).into_iter().map(R::from_f64).collect();
        t.set_params(&first).unwrap();
        t
    }
}
