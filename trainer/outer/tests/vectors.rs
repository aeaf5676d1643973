//! Layout, chunks, contributions and the norm gate (D3, D12, D13, D14).
#![allow(clippy::unwrap_used)]
use coalition_outer::layout::{CHUNK, PADDING};
use coalition_outer::{ContributionManifest, OuterError, VectorLayout, chunks, contribution, norm};
use coalition_protocol::bits::BatchHash;
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::record::LeaseUse;
use coalition_protocol::{Digest, Epoch, Incarnation, IntervalSet, Real, Seq};
use rstest::rstest;

fn layout() -> VectorLayout {
    let list = [("z", vec![5000]), ("a.weight", vec![3, 4]), ("m", vec![])];
    VectorLayout::new(list).unwrap()
}

#[test]
fn tensors_are_sorted_and_padded() {
    let l = layout();
    let at: Vec<_> = l.tensors().iter().map(|t| (t.name.as_str(), t.offset, t.len)).collect();
    assert_eq!(at, [("a.weight", 0, 12), ("m", PADDING, 1), ("z", 2 * PADDING, 5000)]);
    assert_eq!(l.elements(), 4 * PADDING);
    let mut v = l.zeros();
    l.put(&mut v, "a.weight", &[1.5; 12]).unwrap();
    assert_eq!(l.get(&v, "a.weight").unwrap(), [1.5; 12]);
    assert!(l.check_vector("θ", &v).is_ok());
    v[12] = -0.0;
    assert!(l.check_vector("θ", &v).is_err(), "padding is +0, bit by bit");
}

#[rstest]
#[case::twice(vec![("a", vec![1]), ("a", vec![2])])]
#[case::empty_tensor(vec![("a", vec![3, 0])])]
#[case::too_large(vec![("a", vec![usize::MAX, 2])])]
#[case::none(vec![])]
fn impossible_lists_are_refused(#[case] list: Vec<(&str, Vec<usize>)>) {
    assert!(matches!(VectorLayout::new(list), Err(OuterError::Layout(_))));
}

#[test]
fn digests_are_blake3_over_little_endian_chunks() {
    let v: Vec<f32> = (0..CHUNK + 10).map(|n| n as f32).collect();
    let bytes: Vec<u8> = v.iter().flat_map(|x| x.to_le_bytes()).collect();
    let (a, b) = bytes.split_at(CHUNK * 4);
    let parts = [blake3::hash(a), blake3::hash(b)];
    assert_eq!(chunks::digests(&v), parts.map(Digest::from));
    let joined: Vec<u8> = parts.iter().flat_map(|p| *p.as_bytes()).collect();
    assert_eq!(chunks::digest(&v), Digest::of(&joined));
    assert_eq!((chunks::count(v.len()), chunks::range(v.len(), 1)), (2, CHUNK..CHUNK + 10));
    assert_eq!(chunks::elements(&bytes).unwrap(), v);
    assert_eq!(chunks::elements(&bytes[1..]), None);
}

#[test]
fn the_norm_is_the_root_of_the_squares_and_refuses_what_is_not_finite() {
    assert_eq!(norm::norm("Δ", &[3.0, 0.0, -4.0]).unwrap().get(), 5.0);
    assert!(norm::norm("Δ", &[f32::MAX; 100]).is_ok(), "large is not infinite");
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut v = vec![1.0; 50];
        v[37] = bad;
        assert_eq!(norm::norm("Δ", &v), Err(OuterError::NotFinite { what: "Δ".into(), index: 37 }));
    }
}

fn made() -> (ContributionManifest, Vec<u8>) {
    let key = ContributionKey {
        site: "north".parse().unwrap(),
        epoch: Epoch(1),
        incarnation: Incarnation(1),
        plan: Seq(2),
        fragment: 0,
        entry: 7,
    };
    let delta: Vec<f32> = (0..CHUNK + 4096).map(|n| (n % 91) as f32 - 45.0).collect();
    let used = vec![LeaseUse { plan: Seq(2), used: IntervalSet::span(0, 4) }];
    let m = ContributionManifest::describe(key, &delta, 1024, used, BatchHash(9)).unwrap();
    (m, contribution::encode(&delta))
}

#[test]
fn a_contribution_survives_the_way_and_nothing_else_does() {
    let (m, data) = made();
    let offer = m.offer().unwrap();
    assert_eq!(offer.bytes, data.len() as u64);
    m.check(&offer, m.elements).unwrap();
    let again: ContributionManifest = serde_json::from_slice(&m.bytes().unwrap()).unwrap();
    assert_eq!((again.digest().unwrap(), &again), (offer.digest, &m));
    assert_eq!(contribution::encode(&m.decode(&data).unwrap()), data);

    let mut flipped = data.clone();
    flipped[CHUNK * 4 + 5] ^= 1;
    assert!(matches!(m.decode(&flipped), Err(OuterError::Damaged { chunk: 1, .. })));
    assert!(matches!(m.decode(&data[..data.len() - 4]), Err(OuterError::Manifest { .. })));
    assert!(m.check(&offer, m.elements + 4096).is_err(), "another model");
    let other = ContributionManifest { tokens: 2048, ..m.clone() };
    assert!(other.check(&offer, m.elements).is_err(), "not what was offered");
    let lying = ContributionManifest { norm: Real::ZERO, ..m };
    assert!(matches!(lying.decode(&data), Err(OuterError::Manifest { .. })), "the norm is recomputed");
}

#[test]
fn data_that_is_not_finite_is_refused_even_with_right_digests() {
    let (m, _) = made();
    let mut delta = vec![1.0f32; m.elements as usize];
    delta[3] = f32::NAN;
    assert!(ContributionManifest::describe(m.key.clone(), &delta, 1, vec![], BatchHash(0)).is_err());
    let forged = ContributionManifest { chunks: chunks::digests(&delta), ..m };
    assert!(matches!(forged.decode(&contribution::encode(&delta)), Err(OuterError::NotFinite { index: 3, .. })));
}
