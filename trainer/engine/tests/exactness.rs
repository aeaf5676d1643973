//! Same calls, same bits; other ways of computing the same step, the same step.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_wrap)] // tests: a failure here is the finding
mod common;

use coalition_engine::{
    Alone, Batch, Error, IGNORE, ModelOptions, Options, Over, Past, Real, Reduce, Sampling, Trainer,
};
use coalition_spec::model::Architecture;
use common::{adam, batch, bits, distance, options, small, trainer, windows};
use rstest::rstest;

fn train<R: Real>(t: &mut Trainer<R>, steps: std::ops::Range<u64>) -> Vec<f64> {
    steps.map(|n| t.step(&batch(4, 16, n as u32), 1e-2, n, &mut Alone).unwrap().loss).collect()
}

fn state<R: Real>(t: &Trainer<R>) -> [Vec<u64>; 3] {
    [bits(t.params()), bits(t.moments().0), bits(t.moments().1)]
}

#[rstest]
#[case(Architecture::Llama, false)]
#[case(Architecture::Nemotron, true)]
fn same_calls_same_bits(#[case] architecture: Architecture, #[case] tied: bool) {
    let config = small(architecture, tied);
    let mut a = trainer::<f32>(&config, options());
    let mut b = trainer::<f32>(&config, options());
    let losses = train(&mut a, 0..6);
    assert_eq!(losses, train(&mut b, 0..6));
    assert_eq!(state(&a), state(&b));
    // Recomputation runs the same operations again.
    let mut c = trainer::<f32>(&config, Options { recompute: true, ..options() });
    assert_eq!(losses, train(&mut c, 0..6));
    assert_eq!(state(&a), state(&c));
    let again: Vec<f64> = (0..8).map(|n| a.step(&batch(4, 16, 0), 1e-2, n, &mut Alone).unwrap().loss).collect();
    assert!(again[7] < 0.8 * again[0], "it learns one batch by heart: {again:?}");
}

#[test]
fn a_restored_state_goes_on_with_the_same_bits() {
    let config = small(Architecture::Llama, true);
    let mut whole = trainer::<f32>(&config, options());
    train(&mut whole, 0..4);
    let (x, m, v, count) =
        (whole.params().to_vec(), whole.moments().0.to_vec(), whole.moments().1.to_vec(), whole.adam_count());
    let rest = train(&mut whole, 4..8);
    let mut restored = Trainer::<f32>::new(&config, adam(), options()).unwrap();
    restored.set_params(&x).unwrap();
    restored.set_moments(&m, &v, count).unwrap();
    assert_eq!(rest, train(&mut restored, 4..8));
    assert_eq!(state(&whole), state(&restored));
    // Without the Adam count it is another run: the check above sees what it claims to see.
    restored.set_params(&x).unwrap();
    restored.set_moments(&m, &v, 0).unwrap();
    train(&mut restored, 4..8);
    assert_ne!(state(&whole), state(&restored));
    assert!(matches!(restored.set_params(&x[1..]), Err(Error::Length { .. })));
}

#[test]
fn first_values_are_the_same_everywhere() {
    let config = small(Architecture::Nemotron, true);
    let t = trainer::<f32>(&config, options());
    let one = trainer::<f32>(&config, Options { threads: common::THREADS, recompute: true, ..options() });
    assert_eq!(bits(t.params()), bits(one.params()));
    assert_eq!(bits(&one.initial(5)), bits(t.params()));
    assert_ne!(bits(&one.initial(6)), bits(t.params()));
    // Bits written down once (x86-64): another machine or build must draw the same.
    let e = &t.layout().entries()[t.layout().find("model.layers.1.mlp.up_proj.weight").unwrap()];
    let first: Vec<u32> = t.params()[e.offset..e.offset + 3].iter().map(|x| x.to_bits()).collect();
    assert_eq!(first, FIRST);
    // Spread as configured; projections back into the residual stream divided by √(2·layers).
    let spread = |name: &str| {
        let e = &t.layout().entries()[t.layout().find(name).unwrap()];
        let part = &t.params()[e.offset..e.offset + e.len];
        (part.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / e.len as f64).sqrt()
    };
    assert!((spread("model.layers.1.mlp.up_proj.weight") / 0.2 - 1.0).abs() < 0.1);
    assert!((spread("model.layers.1.mlp.down_proj.weight") / (0.2 / 6.0f64.sqrt()) - 1.0).abs() < 0.1);
    assert_eq!(spread("model.norm.weight"), 0.0);
}

/// The first draws of that tensor, as this code made them on x86-64 when the definition (D2) was fixed.
const FIRST: [u32; 3] = [1_032_541_670, 1_033_122_752, 3_184_946_257];

/// Ranks, each with its part of the batch, as threads.
fn ranks<R: Real>(world: usize, rows: &[usize], steps: u64) -> Vec<(Vec<f64>, Vec<R>, Vec<R>)>
where
    for<'a> Over<'a>: Reduce<R>,
{
    let config = small(Architecture::Llama, true);
    let group = coalition_comm::local::gang(world, std::time::Duration::from_mins(1));
    let threads: Vec<_> = group
        .into_iter()
        .enumerate()
        .map(|(rank, mut comm)| {
            let (config, from, n) = (config.clone(), rows[..rank].iter().sum::<usize>(), rows[rank]);
            std::thread::spawn(move || {
                let mut t = trainer::<R>(&config, options());
                let mut losses = Vec::new();
                let mut gradient = Vec::new();
                for s in 0..steps {
                    let all = windows(6, 16, 50, s as u32);
                    let part = Batch::from_windows(16, &all[from..from + n]).unwrap();
                    losses.push(t.step(&part, 1e-2, s, &mut Over(comm.as_mut())).unwrap().loss);
                    gradient = t.gradient().to_vec();
                }
                (losses, gradient, t.params().to_vec())
            })
        })
        .collect();
    threads.into_iter().map(|t| t.join().unwrap()).collect()
}

#[test]
fn every_mesh_is_one_process() {
    let one = &ranks::<f64>(1, &[6], 10)[0];
    for rows in [&[3usize, 3][..], &[5, 1], &[2, 2, 2], &[4, 2, 0]] {
        let all = ranks::<f64>(rows.len(), rows, 10);
        for r in &all {
            // f64: a norm counted twice or a loss divided by the wrong count would show at once.
            assert!(distance(&r.0, &one.0) <= 1e-9, "losses of {rows:?}");
            assert!(distance(&r.1, &one.1) <= 1e-9, "gradients of {rows:?}");
            assert!(distance(&r.2, &one.2) <= 1e-9, "parameters of {rows:?}");
            assert_eq!(bits(&r.2), bits(&all[0].2), "ranks of {rows:?} differ");
        }
    }
}

#[test]
fn same_mesh_same_bits() {
    let (a, b) = (ranks::<f32>(2, &[4, 2], 5), ranks::<f32>(2, &[4, 2], 5));
    assert_eq!(bits(&a[0].2), bits(&b[0].2));
    assert_eq!(a[1].0, b[1].0);
}

#[rstest]
#[case(Architecture::Llama)]
#[case(Architecture::Nemotron)]
fn documents_apart_are_rows_apart(#[case] architecture: Architecture) {
    // The token that begins a document: the last of the small vocabulary of 50, which the texts below do not draw.
    const FIRST: u32 = 49;
    let config = small(architecture, false);
    // One row packs three documents; the same documents as rows of their own, padded, are the oracle.
    let lengths = [5usize, 3, 8];
    let (mut packed, mut inputs, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    for (d, n) in lengths.into_iter().enumerate() {
        let mut document = vec![FIRST];
        document.extend(windows(1, n - 2, 49, d as u32)[0].iter());
        packed.extend(&document);
        let mut row: Vec<i64> = document.iter().map(|t| i64::from(*t)).collect();
        let mut next: Vec<i64> = row[1..].to_vec();
        row.resize(8, 0);
        next.resize(8, IGNORE);
        inputs.extend(row);
        targets.extend(next);
    }
    packed.push(FIRST);
    let mut a = trainer::<f64>(&config, options());
    let mut b = trainer::<f64>(&config, options());
    let apart = Batch::from_windows(16, &[packed.clone()]).unwrap().keep_documents_apart(FIRST);
    assert_eq!(apart.loss_tokens(), 4 + 2 + 7);
    let ra = a.step(&apart, 1e-2, 0, &mut Alone).unwrap();
    let rb = b.step(&Batch::new(3, 8, inputs, targets).unwrap(), 1e-2, 0, &mut Alone).unwrap();
    assert!((ra.loss - rb.loss).abs() < 1e-12);
    assert!(distance(a.gradient(), b.gradient()) < 1e-12);
    // Without the mask it is another loss: the check above sees what it claims to see.
    let together = Batch::from_windows(16, &[packed]).unwrap();
    assert!((trainer::<f64>(&config, options()).evaluate(&together).unwrap().loss().unwrap() - ra.loss).abs() > 1e-4);
}

#[test]
fn a_model_that_cannot_look_back_sees_one_token() {
    let config = small(Architecture::Llama, false);
    let blind = Options { model: ModelOptions { zero_attention: true }, ..options() };
    let mut t = trainer::<f64>(&config, blind);
    let one = |tokens: &[i64]| Batch::new(1, tokens.len(), tokens.to_vec(), vec![IGNORE; tokens.len()]).unwrap();
    let last =
        |t: &mut Trainer<f64>, tokens: &[i64]| t.logits(&one(tokens)).unwrap()[50 * (tokens.len() - 1)..].to_vec();
    assert!(distance(&last(&mut t, &[1, 2, 3]), &last(&mut t, &[7, 8, 3])) < 1e-13);
    let mut seeing = trainer::<f64>(&config, options());
    assert!(distance(&last(&mut seeing, &[1, 2, 3]), &last(&mut seeing, &[7, 8, 3])) > 1e-3);
    // It still trains: parameters that nothing depends on get no gradient and no error.
    assert!(t.step(&batch(2, 8, 1), 1e-2, 0, &mut Alone).unwrap().applied);
    let q = t.layout().entries()[t.layout().find("model.layers.0.self_attn.q_proj.weight").unwrap()].clone();
    assert!(t.gradient()[q.offset..q.offset + q.len].iter().all(|g| *g == 0.0));
}

/// The distance between the logits of every position, computed at once, and those of the same text written token by token
/// after a beginning of `first` tokens. As a share of the largest.
fn token_by_token<R: Real>(architecture: Architecture, first: usize) -> f64 {
    let config = small(architecture, architecture == Architecture::Nemotron);
    let mut t = trainer::<R>(&config, options());
    let text: Vec<u32> = windows(1, 39, 50, 3).remove(0);
    let inputs = text.iter().map(|t| i64::from(*t)).collect();
    let whole = t.logits(&Batch::new(1, text.len(), inputs, vec![IGNORE; text.len()]).unwrap()).unwrap();
    let rows: Vec<&[f64]> = whole.chunks(config.vocab_size).collect();
    let most = whole.iter().map(|x| x.abs()).fold(0.0, f64::max);
    let mut past = Past::default();
    let mut worst = 0.0_f64;
    let mut done = 0;
    for until in first..=text.len() {
        let logits = t.next_logits(&text[done..until], &mut past).unwrap();
        done = until;
        assert_eq!((past.positions(), logits.len()), (until, config.vocab_size));
        worst = logits.iter().zip(rows[until - 1]).map(|(a, b)| (a - b).abs()).fold(worst, f64::max);
    }
    worst / most
}

#[rstest]
fn a_text_written_token_by_token_has_the_logits_of_the_whole(
    #[values(Architecture::Llama, Architecture::Nemotron)] architecture: Architecture,
    #[values(1, 2, 17)] first: usize,
) {
    // Sums in another order: some hundred roundings of 2^-53 and 2^-24.
    let (double, single) = (token_by_token::<f64>(architecture, first), token_by_token::<f32>(architecture, first));
    assert!(double < 1e-13, "{double:e}");
    assert!(single < 1e-5, "{single:e}");
}

#[test]
fn what_cannot_follow_is_refused() {
    let config = small(Architecture::Llama, false);
    let mut t = trainer::<f32>(&config, options());
    let mut past = Past::default();
    t.next_logits(&[1; 63], &mut past).unwrap();
    for tokens in [&[][..], &[1, 2]] {
        let e = t.next_logits(tokens, &mut past).unwrap_err();
        assert!(matches!(&e, Error::Batch(m) if m.contains("one at a time")), "{e}");
    }
    t.next_logits(&[1], &mut past).unwrap();
    let e = t.next_logits(&[1], &mut past).unwrap_err();
    assert!(matches!(&e, Error::Batch(m) if m.contains("max_position_embeddings 64")), "{e}");
    assert!(matches!(t.next_logits(&[99], &mut Past::default()), Err(Error::Vocabulary { .. })));
}

/// Beyond the model's longest sequence only the end counts: the text goes on as if it began there.
#[test]
fn a_text_longer_than_the_context_goes_on_from_its_end() {
    let config = small(Architecture::Llama, false);
    let mut t = trainer::<f64>(&config, options());
    let how = Sampling { tokens: 10, temperature: 0.0, top_k: 0, seed: 1, stop: None };
    let prompt: Vec<u32> = windows(1, 59, 50, 9).remove(0);
    let mut text = prompt.clone();
    text.extend(t.generate(&prompt, &how, |_| true).unwrap());
    assert_eq!(text.len(), 70);
    for n in prompt.len()..text.len() {
        let context = &text[n.saturating_sub(64)..n];
        let logits = t.next_logits(context, &mut Past::default()).unwrap();
        let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
        assert_eq!(best as u32, text[n], "token {n}");
    }
}
