//! D15 and D18 against an independent slow twin: every operation in f64, rounded to f32 once. For +, −, × of two f32 this
//! is the correctly rounded result (f64 has more than 2·24 + 2 bits), whatever the compiler did to the fast version.
#![allow(clippy::unwrap_used)]
use coalition_outer::layout::CHUNK;
use coalition_outer::{
    OuterError, OuterState, Rule, Vector, Weighted, apply, arithmetic, chunks, difference, rebase, shift,
};
use proptest::prelude::*;
use rstest::rstest;

/// Every contribution stands for a whole round.
const WHOLE: Rule = Rule { lr: 0.7, momentum: 0.9, round: 1 };

fn mul(a: f32, b: f32) -> f32 {
    (f64::from(a) * f64::from(b)) as f32
}
fn add(a: f32, b: f32) -> f32 {
    (f64::from(a) + f64::from(b)) as f32
}

fn twin(theta: &[f32], u: &[f32], c: &[(Vec<f32>, u64)], rule: &Rule) -> (Vec<f32>, Vec<f32>) {
    let total: u64 = c.iter().map(|c| c.1).sum();
    let share = (total as f64 / (rule.round as f64 * c.len() as f64)).min(1.0);
    let (stays, pushes) = if share == 1.0 {
        (rule.momentum as f32, rule.momentum as f32)
    } else {
        ((1.0 - share * (1.0 - rule.momentum)) as f32, (share * rule.momentum) as f32)
    };
    let (mut t, mut v) = (Vec::new(), Vec::new());
    for k in 0..theta.len() {
        let mut g = 0.0f32;
        for (d, n) in c {
            g = add(g, mul((*n as f64 / total as f64) as f32, d[k]));
        }
        let un = add(mul(stays, u[k]), g);
        t.push(add(theta[k], -mul(rule.lr as f32, add(g, mul(pushes, un)))));
        v.push(un);
    }
    (t, v)
}

fn bits(v: &[f32]) -> Vec<u32> {
    v.iter().map(|x| x.to_bits()).collect()
}

// Values of every size, subnormals and both zeros among them, so small that no sum overflows.
fn value() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -2.0f32..2.0,
        1 => -1e30f32..1e30,
        1 => (0u32..0x0080_0000).prop_map(f32::from_bits),
        1 => (0u32..0x0080_0000).prop_map(|b| -f32::from_bits(b)),
        1 => Just(-0.0f32),
    ]
}

proptest! {
    #[test]
    fn equals_the_twin(
        rows in prop::collection::vec(prop::collection::vec(value(), 6), 1..90),
        tokens in prop::collection::vec(1u64..1_000_000, 4),
        lr in 0.0f64..1.5,
        momentum in 0.0f64..1.0,
        round in 1u64..2_000_000,
    ) {
        let rule = Rule { lr, momentum, round };
        let column = |n: usize| rows.iter().map(|r| r[n]).collect::<Vec<_>>();
        let (theta, u) = (column(0), column(1));
        let c: Vec<(Vec<f32>, u64)> = (0..4).map(|n| (column(2 + n), tokens[n])).collect();
        let w: Vec<Weighted> = c.iter().map(|(d, n)| Weighted { delta: d, tokens: *n }).collect();
        let fast = apply(&theta, &u, &w, &rule).unwrap();
        let slow = twin(&theta, &u, &c, &rule);
        prop_assert_eq!(bits(&fast.0), bits(&slow.0));
        prop_assert_eq!(bits(&fast.1), bits(&slow.1));
    }

    #[test]
    fn any_piece_can_be_recomputed(cut in 1usize..9000) {
        let v = |k: u32| (0..9000u32).map(|n| ((n * 37 + k * 101) % 997) as f32 / 997.0 - 0.5).collect::<Vec<f32>>();
        let (theta, u, a, b) = (v(1), v(2), v(3), v(4));
        let part = |r: std::ops::Range<usize>| {
            let w = [Weighted { delta: &a[r.clone()], tokens: 7 }, Weighted { delta: &b[r.clone()], tokens: 9 }];
            apply(&theta[r.clone()], &u[r], &w, &WHOLE).unwrap()
        };
        let whole = part(0..9000);
        let (mut left, right) = (part(0..cut), part(cut..9000));
        left.0.extend(right.0);
        left.1.extend(right.1);
        prop_assert_eq!(bits(&whole.0), bits(&left.0));
        prop_assert_eq!(bits(&whole.1), bits(&left.1));
    }
}

// Computed by a separate Python program that rounds each operation with struct.pack('<f').
#[rstest]
#[case::whole_rounds(WHOLE, GOLDEN_THETA, GOLDEN_U)]
// The three stand for 0.45 of a round: 8100 of 3 × 6000 tokens.
#[case::a_part_of_a_round(Rule { round: 6000, ..WHOLE }, PART_THETA, PART_U)]
fn golden(#[case] rule: Rule, #[case] next_theta: [u32; 5], #[case] next_u: [u32; 5]) {
    let f = f32::from_bits;
    let theta = [1.0, -0.5, f(3), f(0x4049_0fdb), 1e-38];
    let u = [0.25, 0.0, f(5), -2.718_281_7, -1e-38];
    let a = [0.1, -0.2, f(1), 1e-3, 1.175_494_4e-38];
    let b = [0.3, 0.7, f(7), -5e-4, -1.175_494_4e-38];
    let c = [-0.0, 1e-7, 0.0, 12345.678, 3e-39];
    let w = [(&a, 3000), (&b, 5000), (&c, 100)].map(|(d, tokens)| Weighted { delta: d, tokens });
    let (t, v) = apply(&theta, &u, &w, &rule).unwrap();
    assert_eq!(bits(&t), next_theta, "θ'");
    assert_eq!(bits(&v), next_u, "u'");
}
/// θ' of that program.
const PART_THETA: [u32; 5] = [0x3f36_b8e6, 0xbf5a_245b, 0x8000_0003, 0xc312_05ff, 0x00a9_0ef3];
/// u' of that program.
const PART_U: [u32; 5] = [0x3eec_048e, 0x3eb7_4f02, 0x0000_0009, 0x4315_d1e3, 0x8087_3121];

/// θ' of that program.
const GOLDEN_THETA: [u32; 5] = [0x3f10_0cbe, 0xbf79_e676, 0x8000_0005, 0xc346_07ba, 0x00d4_211c];
/// u' of that program.
const GOLDEN_U: [u32; 5] = [0x3ee4_fa50, 0x3eb7_4f02, 0x0000_0008, 0x4315_f829, 0x8081_33f4];

// A steady push of 1 a round, its momentum settled at 1 / (1 − 0.9) = 10: whole rounds, halves and tenths of rounds carry θ as
// far, and what stands for next to nothing carries it next to nowhere, though the momentum is there.
#[test]
fn parts_of_a_round_do_what_the_round_does() {
    let round = 1000;
    let rule = Rule { lr: 0.7, momentum: 0.9, round };
    let moved = |parts: u64, times: u64| {
        let delta = [1.0 / parts as f32];
        let (mut theta, mut u) = (vec![0.0f32], vec![10.0f32]);
        for _ in 0..times {
            let c = [Weighted { delta: &delta, tokens: round / parts }];
            (theta, u) = apply(&theta, &u, &c, &rule).unwrap();
        }
        (f64::from(-theta[0]), f64::from(u[0]))
    };
    let whole = moved(1, 20);
    assert!((whole.0 - 20.0 * 7.0).abs() < 1e-3, "{whole:?}");
    for parts in [2, 10] {
        let split = moved(parts, 20 * parts);
        assert!((split.0 / whole.0 - 1.0).abs() < 1e-3 && (split.1 - 10.0).abs() < 1e-3, "{parts}: {split:?}");
    }
    let crumb = moved(1000, 1);
    assert!(crumb.0 < 0.01 && crumb.1 > 9.98, "{crumb:?}: a whole round's momentum would be 5.67");
    // Late work may stand for more than a round: it pushes no more than one.
    let more = apply(&[0.0], &[10.0], &[Weighted { delta: &[1.0], tokens: 3 * round }], &rule).unwrap();
    assert_eq!(more, apply(&[0.0], &[10.0], &[Weighted { delta: &[1.0], tokens: round }], &rule).unwrap());
}

#[test]
fn refuses_what_does_not_fit() {
    let v = [0.0f32; 3];
    let short = [Weighted { delta: &v[..2], tokens: 1 }];
    assert!(matches!(apply(&v, &v, &short, &WHOLE), Err(OuterError::Length { expected: 3, got: 2, .. })));
    assert!(matches!(apply(&v, &v[..1], &[], &WHOLE), Err(OuterError::Length { .. })));
    let none = [Weighted { delta: &v, tokens: 0 }];
    assert_eq!(apply(&v, &v, &none, &WHOLE), Err(OuterError::NoTokens { contributions: 1 }));
    assert!(difference(&v, &v[..2]).is_err() && shift(&mut [0.0; 3], &v, &v[..2]).is_err());
}

#[test]
fn this_machine_computes_as_d15_needs() {
    assert_eq!(arithmetic::check(), Ok(()));
}

#[test]
fn late_work_is_shifted_by_what_the_state_moved() {
    let mut x = [1.0f32, 2.0, 3.0];
    shift(&mut x, &[1.0, 1.0, 1.0], &[1.5, 0.5, 1.0]).unwrap();
    assert_eq!(x, [1.5, 1.5, 3.0]);
    assert_eq!(difference(&[1.0, 2.0], &[0.25, 3.0]).unwrap(), [0.75, -1.0]);
}

// Two chunks and a bit: one chunk computed alone is that chunk of the whole step, also over two steps in a row, and only a
// changed chunk differs and is exchanged.
#[test]
fn chunks_of_a_step_can_be_computed_one_by_one() {
    let n = 2 * CHUNK + 4096;
    let v = |k: u64| (0..n as u64).map(|i| ((i * 31 + k * 7) % 1009) as f32 / 1009.0 - 0.5).collect::<Vec<f32>>();
    let before = OuterState::new(v(1), v(2)).unwrap();
    let (a, b) = (v(3), v(4));
    let part = |r: std::ops::Range<usize>| {
        let [a, b] = [(&a, 5), (&b, 11)].map(|(d, tokens)| Weighted { delta: &d[r.clone()], tokens });
        [a, b]
    };
    let once = before.after(&part(0..n), &WHOLE).unwrap();
    let after = once.after(&part(0..n), &WHOLE).unwrap();
    let list = after.chunks();
    assert_eq!(list.len(), 6);
    for k in 0..3 {
        let w = part(chunks::range(n, k));
        let piece = before.piece(k).after(&w, &WHOLE).unwrap();
        assert_eq!(piece, once.piece(k));
        let piece = piece.after(&w, &WHOLE).unwrap();
        assert_eq!(piece.chunks(), [list[k], list[3 + k]], "chunk {k}");
    }
    assert!(before.piece(3).theta().is_empty());
    let (theta, mut u) = after.clone().into_parts();
    u[n - 1] += 1.0;
    let mut other = OuterState::new(theta, u).unwrap();
    assert_eq!(chunks::differing(&list, &other.chunks()), [5]);
    assert_ne!(after.digest(), other.digest());
    assert_eq!((other.place(1), other.place(5)), (Some((Vector::Theta, 1)), Some((Vector::Momentum, 2))));
    assert_eq!(other.place(6), None);
    assert!(other.replace_chunk(6, &after).is_err() && other.replace_chunk(5, &after.piece(1)).is_err());
    other.replace_chunk(4, &after.piece(1)).unwrap();
    assert_ne!(other.digest(), after.digest(), "that chunk was right before");
    other.replace_chunk(5, &after.piece(2)).unwrap();
    assert_eq!(other.digest(), after.digest());
}

#[test]
fn what_was_trained_on_a_wrong_parameter_moves_to_the_right_one() {
    let wrong = [1e38f32, f32::NAN, f32::INFINITY, 2.0, 0.5];
    let right = [0.1f32, -3.0, 0.25, 1.0, 0.5];
    // Nothing trained yet: to the bit.
    let mut x = wrong;
    rebase(&mut x, &wrong, &right).unwrap();
    assert_eq!(bits(&x), bits(&right));
    let mut x = [1e38f32, 0.0, f32::INFINITY, 2.25, 7.0];
    rebase(&mut x, &wrong, &right).unwrap();
    assert_eq!(x, [0.1, -3.0, 0.25, 1.25, 7.0], "work stays, and where θ was right nothing is touched");
    assert!(rebase(&mut x, &wrong[..1], &right).is_err() && rebase(&mut x, &wrong, &right[..1]).is_err());
}
