//! Steps that must not count, input that must be refused, and what a stage may put out beside its carry.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_wrap)] // tests: a failure here is the finding
mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use coalition_engine::{Alone, Batch, Error, IGNORE, Sampling, Trainer};
use coalition_model::{
    Aux, Buffer, BufferRule, Carry, Ctx, Error as ModelError, Options as ModelOptions, Params, Stage,
};
use coalition_spec::model::Architecture;
use common::{adam, batch, bits, options, small, trainer};

#[test]
fn a_step_that_is_not_finite_changes_nothing() {
    let config = small(Architecture::Llama, false);
    let mut t = trainer::<f32>(&config, options());
    t.step(&batch(2, 8, 0), 1e-2, 0, &mut Alone).unwrap();
    let at = t.layout().entries()[t.layout().find("model.norm.weight").unwrap()].offset;
    let good = t.params()[at];
    for bad in [f32::NAN, f32::INFINITY] {
        t.params_mut()[at] = bad;
        let before = (bits(t.params()), bits(t.moments().0), bits(t.moments().1), t.adam_count());
        let report = t.step(&batch(2, 8, 1), 1e-2, 1, &mut Alone).unwrap();
        assert!(!report.applied, "{bad}: {report:?}");
        assert_eq!(before, (bits(t.params()), bits(t.moments().0), bits(t.moments().1), t.adam_count()));
    }
    t.params_mut()[at] = good;
    assert!(t.step(&batch(2, 8, 1), 1e-2, 1, &mut Alone).unwrap().applied);
}

#[test]
fn bad_batches_are_named() {
    let config = small(Architecture::Llama, false);
    let mut t = trainer::<f32>(&config, options());
    let wrong = Batch::new(1, 2, vec![1, 50], vec![1, 1]).unwrap();
    assert!(matches!(t.step(&wrong, 1e-2, 0, &mut Alone), Err(Error::Vocabulary { token: 50, vocab_size: 50 })));
    let nothing = Batch::new(1, 2, vec![1, 2], vec![IGNORE; 2]).unwrap();
    assert!(matches!(t.step(&nothing, 1e-2, 0, &mut Alone), Err(Error::NoLossTokens)));
    assert!(matches!(t.step(&batch(1, 65, 0), 1e-2, 0, &mut Alone), Err(Error::Batch(_))));
    assert!(Batch::new(2, 2, vec![0; 4], vec![0; 3]).is_err());
    assert!(Batch::new(usize::MAX, 2, vec![], vec![]).is_err());
    assert!(Batch::from_windows(3, &[vec![1u32, 2, 3]]).is_err());
    for (o, name) in [(0, "cpuThreads"), (5000, "cpuThreads")] {
        let o = coalition_engine::Options { threads: o, ..options() };
        assert!(matches!(Trainer::<f32>::new(&config, adam(), o), Err(Error::Option { name: n, .. }) if n == name));
    }
    let mut odd = config;
    odd.num_key_value_heads = 3;
    let e = Trainer::<f32>::new(&odd, adam(), options()).err().unwrap().to_string();
    assert_eq!(e, "model configuration: num_key_value_heads = 3, but it must be a divisor of num_attention_heads = 4");
}

#[test]
fn micro_batches_of_ragged_rows_weigh_tokens_not_rows() {
    let config = small(Architecture::Llama, false);
    let mut targets = vec![3i64; 4 * 8];
    targets[8..24].fill(IGNORE);
    targets[30..].fill(IGNORE);
    let ragged = Batch::new(4, 8, (0..32).collect(), targets).unwrap();
    let grad = |micro_rows| {
        let mut t = trainer::<f64>(&config, coalition_engine::Options { micro_rows, ..options() });
        let r = t.step(&ragged, 1e-2, 0, &mut Alone).unwrap();
        assert_eq!(r.loss_tokens, 14);
        (r.loss, t.gradient().to_vec())
    };
    let (whole, parts) = (grad(0), grad(1));
    assert!((whole.0 - parts.0).abs() < 1e-13);
    assert!(common::distance(&whole.1, &parts.1) < 1e-13);
    // Evaluation is the same sum without gradients.
    let e = trainer::<f64>(&config, options()).evaluate(&ragged).unwrap();
    assert!((e.loss().unwrap() - whole.0).abs() < 1e-13);
    assert!((e.bits_per_byte(14).unwrap() - whole.0 / std::f64::consts::LN_2).abs() < 1e-12);
}

#[test]
fn greedy_text_follows_the_logits() {
    let config = small(Architecture::Nemotron, true);
    let mut t = trainer::<f64>(&config, options());
    let how = Sampling { tokens: 5, temperature: 0.0, top_k: 0, seed: 1, stop: None };
    let text = t.generate(&[1, 2, 3], &how, |_| true).unwrap();
    let mut all = vec![1u32, 2, 3];
    for token in &text {
        let ids: Vec<i64> = all.iter().map(|t| i64::from(*t)).collect();
        let logits = t.logits(&Batch::new(1, ids.len(), ids.clone(), vec![IGNORE; ids.len()]).unwrap()).unwrap();
        let last = &logits[50 * (ids.len() - 1)..];
        let best = (0..50).max_by(|a, b| last[*a].total_cmp(&last[*b])).unwrap();
        assert_eq!(*token, best as u32);
        all.push(*token);
    }
    let hot = Sampling { temperature: 2.0, tokens: 100, ..how };
    let a = t.generate(&[1], &hot, |_| true).unwrap();
    assert_eq!(a, t.generate(&[1], &hot, |_| true).unwrap());
    assert_ne!(a, t.generate(&[1], &Sampling { seed: 2, ..hot }, |_| true).unwrap());
    assert_eq!(a.len(), 100, "longer than the model's 64 positions: the context slides");
    let stop = Sampling { stop: Some(text[2]), ..how };
    assert!(t.generate(&[1, 2, 3], &stop, |_| true).unwrap().len() <= 2);
    assert!(t.generate(&[], &how, |_| true).is_err());
}

/// Adds a loss, a metric, a buffer and a saved choice to what the embedding does; recomputation must get its choice back.
struct Chatty {
    inner: Box<dyn Stage>,
    /// Choices made so far: a second one for the same step would be another one.
    choices: AtomicU32,
}

impl Stage for Chatty {
    fn label(&self) -> String {
        "chatty".into()
    }
    fn parameters(&self) -> &[String] {
        self.inner.parameters()
    }
    fn forward(&self, p: &Params<'_>, carry: Carry, ctx: &Ctx<'_>) -> Result<(Carry, Aux), ModelError> {
        let (carry, _) = self.inner.forward(p, carry, ctx)?;
        let seen = ctx.buffers.get("seen").map_or(0.0, |t| t.double_value(&[]));
        let again = !ctx.saved.is_empty();
        let choice = if again {
            ctx.saved[0].shallow_clone()
        } else {
            tch::Tensor::from(2.0 + f64::from(self.choices.fetch_add(1, Ordering::Relaxed)))
        };
        let loss =
            carry.tensors[0].f_square()?.f_sum(carry.tensors[0].kind())?.f_mul(&choice.to_kind(tch::Kind::Double))?;
        let buffers = vec![Buffer { name: "seen".into(), value: tch::Tensor::from(1.0), rule: BufferRule::Add }];
        Ok((
            carry,
            Aux { losses: vec![loss], metrics: vec![("seen", seen)], buffers, saved: vec![choice], past: Vec::new() },
        ))
    }
}

#[test]
fn extra_losses_metrics_buffers_and_saved_choices() {
    let config = small(Architecture::Llama, true);
    let run = |recompute, chatty| {
        let mut stages = coalition_model::stages(&config, ModelOptions::default()).unwrap();
        if chatty {
            let inner = stages.remove(0);
            stages.insert(0, Box::new(Chatty { inner, choices: AtomicU32::new(0) }));
        }
        let o = coalition_engine::Options { recompute, ..options() };
        let mut t = Trainer::<f64>::with_stages(&config, stages, adam(), o).unwrap();
        t.init(5);
        // The embedding's rows as they were: the extra loss pulls each one that was used by 2·choice·row / tokens.
        let e = t.layout().entries()[t.layout().find("model.embed_tokens.weight").unwrap()].clone();
        let row = t.params()[e.offset + 24 * 7..e.offset + 24 * 8].to_vec();
        let tokens = Batch::new(1, 4, vec![7, 1, 2, 3], vec![1, 2, 3, 4]).unwrap();
        let first = t.step(&tokens, 0.0, 0, &mut Alone).unwrap();
        let gradient = t.gradient()[e.offset + 24 * 7..e.offset + 24 * 8].to_vec();
        let second = t.step(&tokens, 0.0, 1, &mut Alone).unwrap();
        let later = t.gradient()[e.offset + 24 * 7..e.offset + 24 * 8].to_vec();
        (first, second, row, gradient, later)
    };
    let plain = run(false, false);
    for recompute in [false, true] {
        let chatty = run(recompute, true);
        assert_eq!(chatty.0.metrics, BTreeMap::from([("seen", 0.0)]));
        assert_eq!(chatty.1.metrics, BTreeMap::from([("seen", 1.0)]));
        for n in 0..24 {
            assert!((chatty.3[n] - plain.3[n] - 2.0 * 2.0 * chatty.2[n] / 4.0).abs() < 1e-12);
            assert!((chatty.4[n] - plain.4[n] - 2.0 * 3.0 * chatty.2[n] / 4.0).abs() < 1e-12);
        }
    }
}
