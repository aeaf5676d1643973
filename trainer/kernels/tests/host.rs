//! Host kernels against plain slow twins written straight from the papers, in f64.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_wrap)] // tests: a failure here is the finding
use coalition_kernels::{AdamStep, BLOCK, DecaySpan, Element, Host, KernelError, Kernels};
use proptest::prelude::*;

/// Algorithm 2 of "Decoupled Weight Decay Regularization", one element at a time, in f64.
fn slow(x: &mut [f64], m: &mut [f64], v: &mut [f64], g: &[f64], spans: &[DecaySpan], s: &AdamStep) {
    for span in spans {
        for n in span.start..span.start + span.len {
            let g = g[n] * s.gradient_scale;
            m[n] = s.beta1 * m[n] + (1.0 - s.beta1) * g;
            v[n] = s.beta2 * v[n] + (1.0 - s.beta2) * g.powi(2);
            let m_hat = m[n] / (1.0 - s.beta1.powi(s.count as i32));
            let v_hat = v[n] / (1.0 - s.beta2.powi(s.count as i32));
            let decay = if span.decay { s.weight_decay } else { 0.0 };
            x[n] = x[n] - s.lr * decay * x[n] - s.lr * m_hat / (v_hat.sqrt() + s.eps);
        }
    }
}

fn step(count: u64) -> AdamStep {
    AdamStep { lr: 3e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, count, gradient_scale: 0.37 }
}

/// A cheap fixed sequence in (-1, 1): the golden ratio's fractional parts.
fn numbers(n: usize, salt: f64) -> Vec<f64> {
    (0..n).map(|i| ((i as f64 + salt) * 0.618_033_988_749_894_9).fract() * 2.0 - 1.0).collect()
}

fn run<E: Element>(threads: usize, len: usize, spans: &[DecaySpan], steps: u64) -> [Vec<E>; 3] {
    let host = Host::new(threads).unwrap();
    let cast = |v: Vec<f64>| v.into_iter().map(E::from_f64).collect::<Vec<E>>();
    let (mut x, mut m, mut v) = (cast(numbers(len, 0.1)), vec![E::default(); len], vec![E::default(); len]);
    for n in 1..=steps {
        let g = cast(numbers(len, n as f64 * 17.0));
        host.adamw(&mut x[..], &mut m, &mut v, &g, spans, &step(n)).unwrap();
    }
    [x, m, v]
}

fn spans(len: usize) -> Vec<DecaySpan> {
    let cut = len / 3;
    vec![DecaySpan { start: 0, len: cut, decay: true }, DecaySpan { start: cut + 1, len: len - cut - 2, decay: false }]
}

#[test]
fn adamw_equals_the_slow_twin() {
    let len = 2 * BLOCK + 4097;
    let spans = spans(len);
    let (mut x, mut m, mut v) = (numbers(len, 0.1), vec![0.0; len], vec![0.0; len]);
    for n in 1..=10 {
        slow(&mut x, &mut m, &mut v, &numbers(len, n as f64 * 17.0), &spans, &step(n));
    }
    let near = |a: &[f64], b: f64, i: usize, tol: f64| (a[i] - b).abs() <= tol * (1.0 + a[i].abs());
    let wide = run::<f64>(2, len, &spans, 10);
    let narrow = run::<f32>(2, len, &spans, 10);
    for (n, oracle) in [&x, &m, &v].into_iter().enumerate() {
        for i in 0..len {
            assert!(near(oracle, wide[n][i], i, 1e-13), "f64, buffer {n}, element {i}");
            // Ten updates, each a handful of roundings of 2^-24.
            assert!(near(oracle, f64::from(narrow[n][i]), i, 2e-5), "f32, buffer {n}, element {i}");
        }
    }
    // Outside every span nothing moves.
    let cut = len / 3;
    assert_eq!(wide[0][cut], numbers(len, 0.1)[cut]);
    assert_eq!(wide[2][len - 1], 0.0);
}

#[test]
fn bits_do_not_depend_on_threads() {
    let len = 5 * BLOCK + 77;
    let spans = spans(len);
    let bits = |t: usize| run::<f32>(t, len, &spans, 3).map(|b| b.into_iter().map(f32::to_bits).collect::<Vec<_>>());
    let one = bits(1);
    assert_eq!(one, bits(2));
    assert_eq!(one, bits(5));
    let x: Vec<f32> = numbers(len, 3.0).into_iter().map(|x| x as f32).collect();
    let norm = |t: usize| Kernels::<[f32]>::sum_of_squares(&Host::new(t).unwrap(), &x).to_bits();
    assert_eq!(norm(1), norm(2));
    assert_eq!(norm(1), norm(5));
}

#[test]
fn a_constant_gradient_moves_by_the_rate() {
    // First step, no decay: m_hat = g, v_hat = g², so x moves by lr·sign(g) (up to eps), whatever the size of g.
    let host = Host::new(1).unwrap();
    let (mut x, mut m, mut v) = ([1.0f64; 3], [0.0; 3], [0.0; 3]);
    let s = AdamStep { gradient_scale: 1.0, weight_decay: 0.0, ..step(1) };
    host.adamw(
        &mut x[..],
        &mut m[..],
        &mut v[..],
        &[5.0, -0.02, 0.0][..],
        &[DecaySpan { start: 0, len: 3, decay: true }],
        &s,
    )
    .unwrap();
    assert!((x[0] - (1.0 - 3e-3)).abs() < 1e-10);
    assert!((x[1] - (1.0 + 3e-3)).abs() < 1e-8);
    assert_eq!(x[2], 1.0);
}

#[test]
fn bad_calls_are_errors() {
    let host = Host::new(1).unwrap();
    let (mut x, mut m, mut v) = ([0.0f32; 4], [0.0f32; 4], [0.0f32; 4]);
    let g = [0.0f32; 4];
    let all = [DecaySpan { start: 0, len: 4, decay: true }];
    let short = host.adamw(&mut x[..], &mut m[..3], &mut v[..], &g[..], &all, &step(1));
    assert_eq!(short, Err(KernelError::Length { what: "first moment", got: 3, expected: 4 }));
    let outside = [DecaySpan { start: 2, len: 3, decay: true }];
    let e = host.adamw(&mut x[..], &mut m[..], &mut v[..], &g[..], &outside, &step(1));
    assert_eq!(e, Err(KernelError::Span { start: 2, end: 5, len: 4 }));
    let twice = [all[0], DecaySpan { start: 3, len: 1, decay: false }];
    assert!(host.adamw(&mut x[..], &mut m[..], &mut v[..], &g[..], &twice, &step(1)).is_err());
    for bad in [
        AdamStep { lr: f64::NAN, ..step(1) },
        AdamStep { beta2: 1.0, ..step(1) },
        AdamStep { eps: 0.0, ..step(1) },
        step(0),
    ] {
        let e = host.adamw(&mut x[..], &mut m[..], &mut v[..], &g[..], &all, &bad);
        assert!(matches!(e, Err(KernelError::Hyperparameter { .. })), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn squares_and_scale(x in prop::collection::vec(-1e3f32..1e3, 0..3000), by in -4.0f64..4.0) {
        let host = Host::new(2).unwrap();
        let plain: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
        let ours = Kernels::<[f32]>::sum_of_squares(&host, &x);
        prop_assert!((ours - plain).abs() <= 1e-12 * (1.0 + plain));
        let mut y = x.clone();
        Kernels::<[f32]>::scale(&host, &mut y, by);
        prop_assert!(x.iter().zip(&y).all(|(x, y)| x * by as f32 == *y));
    }

    #[test]
    fn one_bad_element_is_seen(at in 0usize..70_000, kind in 0usize..3) {
        let mut x = vec![1.0f32; 70_000];
        x[at] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][kind];
        prop_assert!(!Kernels::<[f32]>::sum_of_squares(&Host::new(2).unwrap(), &x).is_finite());
    }
}
