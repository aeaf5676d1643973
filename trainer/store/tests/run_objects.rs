//! Run checkpoints, opening entries, garbage: whole or not there, and proved when read.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use coalition_outer::{OuterState, VectorLayout};
use coalition_protocol::{Attempt, Digest, Epoch, Incarnation, Seq};
use coalition_store::garbage::{self, Roots};
use coalition_store::log::CommitLog;
use coalition_store::run_checkpoint::{self, RunCheckpoint};
use coalition_store::{Location, Store, StoreError, contribution, opening};
use common::{Dying, checkpoint, contributed, key, log_name, memory, run};
use object_store::ObjectStoreExt;
use safetensors::SafeTensors;

fn layout() -> VectorLayout {
    VectorLayout::new([("model.norm.weight", vec![17]), ("lm_head.weight", vec![5, 1000])]).unwrap()
}

fn state(layout: &VectorLayout) -> OuterState {
    let mut theta = layout.zeros();
    let mut u = layout.zeros();
    for t in layout.tensors() {
        for (k, i) in t.range().enumerate() {
            theta[i] = (k as f32).sin();
            u[i] = -(k as f32).cos();
        }
    }
    // Bits that a careless path would lose.
    theta[0] = f32::from_bits(1);
    theta[1] = -0.0;
    OuterState::new(theta, u).unwrap()
}

async fn save(store: &Store, layout: &VectorLayout, state: &OuterState, seq: Seq) -> Result<(), StoreError> {
    let config = serde_json::json!({"model_type": "llama", "hidden_size": 5});
    let extra = [("tokenizer.json".to_owned(), Bytes::from_static(b"{}"))];
    let c = RunCheckpoint {
        run: &run(),
        epoch: Epoch(1),
        seq,
        tokens: 99,
        spec: Digest::of(b"spec"),
        layout,
        state,
        config: &config,
        extra: &extra,
    };
    run_checkpoint::save(store, &c).await.map(|_| ())
}

#[tokio::test]
async fn a_base_comes_back_to_the_bit_and_has_the_names_transformers_wants() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Location::Folder(dir.path().to_owned())).unwrap();
    let (layout, s) = (layout(), state(&layout()));
    save(&store, &layout, &s, Seq(8)).await.unwrap();
    save(&store, &layout, &s, Seq(8)).await.unwrap();
    save(&store, &layout, &s, Seq(20)).await.unwrap();
    let (m, back) = run_checkpoint::load(&store, &run(), Seq(8), &layout).await.unwrap();
    assert!(back.theta().iter().zip(s.theta()).all(|(a, b)| a.to_bits() == b.to_bits()));
    assert!(back.u().iter().zip(s.u()).all(|(a, b)| a.to_bits() == b.to_bits()));
    assert_eq!((m.state, m.tokens, m.epoch), (s.digest(), 99, Epoch(1)));
    assert_eq!(run_checkpoint::list(&store, &run()).await.unwrap(), [Seq(8), Seq(20)]);
    for (at, expected) in [(7, None), (8, Some(8)), (19, Some(8)), (99, Some(20))] {
        assert_eq!(run_checkpoint::newest_base(&store, &run(), Seq(at)).await.unwrap(), expected.map(Seq));
    }
    // As a person finds it on disk, read by the library alone.
    let folder = dir.path().join("runs/run/checkpoints/00000008");
    let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
    let model = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(model.tensor("lm_head.weight").unwrap().shape(), [5, 1000]);
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["model_type"], "llama");

    assert_eq!(run_checkpoint::verify(&store, &run(), Seq(8)).await.unwrap(), m);
    std::fs::write(folder.join("tokenizer.json"), "[]").unwrap();
    let e = run_checkpoint::verify(&store, &run(), Seq(8)).await.unwrap_err();
    assert!(matches!(&e, StoreError::Damaged { key, .. } if key.ends_with("tokenizer.json")), "{e}");

    // Another layout is not this run's.
    let other = VectorLayout::new([("model.norm.weight", vec![17]), ("lm_head.weight", vec![1000, 5])]).unwrap();
    let e = run_checkpoint::load(&store, &run(), Seq(8), &other).await.unwrap_err();
    assert!(matches!(&e, StoreError::Damaged { .. }) && e.to_string().contains("lm_head"), "{e}");
    assert!(run_checkpoint::load(&store, &run(), Seq(9), &layout).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_base_is_there_whole_or_not_at_all() {
    let (layout, s) = (layout(), state(&layout()));
    let mut absent = 0;
    for late in [false, true] {
        for calls in 0..8 {
            let (inner, store) = memory();
            let outcome = save(&Dying::store(&inner, calls, late), &layout, &s, Seq(8)).await;
            let listed = run_checkpoint::list(&store, &run()).await.unwrap();
            match run_checkpoint::load(&store, &run(), Seq(8), &layout).await {
                Ok((_, back)) => assert!(back.digest() == s.digest() && listed == [Seq(8)]),
                Err(e) => assert!(e.is_not_found() && outcome.is_err() && listed.is_empty(), "{e}"),
            }
            absent += usize::from(listed.is_empty());
            // Whatever was left, the next save succeeds, even of another state.
            if listed.is_empty() {
                let other = OuterState::initial(layout.zeros());
                save(&store, &layout, &other, Seq(8)).await.unwrap();
                let (_, back) = run_checkpoint::load(&store, &run(), Seq(8), &layout).await.unwrap();
                assert_eq!(back.digest(), other.digest());
            }
        }
    }
    assert!((4..=12).contains(&absent), "{absent} of 16");
}

/// A set whose manifest is damaged stands for nothing: the next save puts it right, whatever else in it is damaged. Another
/// state under the name of a sound set is refused all the same.
#[tokio::test]
async fn a_base_with_a_damaged_manifest_is_written_anew() {
    let (inner, store) = memory();
    let (layout, s) = (layout(), state(&layout()));
    save(&store, &layout, &s, Seq(8)).await.unwrap();
    let other = OuterState::initial(layout.zeros());
    let e = save(&store, &layout, &other, Seq(8)).await.unwrap_err();
    assert!(matches!(e, StoreError::AlreadyExists { .. }), "{e}");
    for name in ["manifest.json", "model.safetensors"] {
        let key = format!("runs/run/checkpoints/00000008/{name}");
        let mut bytes = store.get(&key, 1 << 20).await.unwrap().to_vec();
        bytes[0] ^= 1;
        inner.put(&object_store::path::Path::from(key), bytes.into()).await.unwrap();
    }
    assert!(run_checkpoint::load(&store, &run(), Seq(8), &layout).await.is_err());
    save(&store, &layout, &s, Seq(8)).await.unwrap();
    let (_, back) = run_checkpoint::load(&store, &run(), Seq(8), &layout).await.unwrap();
    assert_eq!(back.digest(), s.digest());
}

#[tokio::test]
async fn one_flipped_bit_in_a_base_is_found() {
    let (inner, store) = memory();
    let (layout, s) = (layout(), state(&layout()));
    save(&store, &layout, &s, Seq(8)).await.unwrap();
    let mut found = 0;
    for o in store.list("runs/run/checkpoints").await.unwrap() {
        // Files for other programs are not read here; their digests stand in the manifest.
        if o.key.ends_with("config.json") || o.key.ends_with("tokenizer.json") {
            continue;
        }
        let good = store.get(&o.key, o.bytes).await.unwrap();
        let mut bad = good.to_vec();
        // In the manifest, a digit of a digest; elsewhere, the last byte of data.
        let at = if o.key.ends_with("manifest.json") {
            good.windows(9).position(|w| w == b"\"blake3\":").unwrap() + 20
        } else {
            good.len() - 1
        };
        bad[at] = if bad[at] == b'0' { b'1' } else { b'0' };
        inner.put(&o.key.as_str().into(), Bytes::from(bad).into()).await.unwrap();
        let e = run_checkpoint::load(&store, &run(), Seq(8), &layout).await.unwrap_err();
        assert!(matches!(e, StoreError::Damaged { .. }), "{}: {e}", o.key);
        inner.put(&o.key.as_str().into(), good.into()).await.unwrap();
        found += 1;
    }
    assert_eq!(found, 3, "model, momentum, manifest");
    run_checkpoint::load(&store, &run(), Seq(8), &layout).await.unwrap();
}

#[tokio::test]
async fn a_store_without_its_opening_entry_is_lost() {
    let (_, store) = memory();
    let (site, other) = ("delta".parse().unwrap(), "echo".parse().unwrap());
    let e = opening::check(&store, &run(), &site, Incarnation(1)).await.unwrap_err();
    assert!(matches!(e, StoreError::StoreLost { incarnation: Incarnation(1), .. }), "{e}");
    opening::open(&store, &run(), &site, Incarnation(1)).await.unwrap();
    opening::open(&store, &run(), &site, Incarnation(1)).await.unwrap();
    opening::check(&store, &run(), &site, Incarnation(1)).await.unwrap();
    assert!(matches!(opening::check(&store, &run(), &site, Incarnation(2)).await, Err(StoreError::StoreLost { .. })));
    let e = opening::open(&store, &run(), &other, Incarnation(1)).await.unwrap_err();
    assert!(e.to_string().contains("a store of its own"), "{e}");
}

#[tokio::test]
async fn only_what_no_root_reaches_goes() {
    let (_, store) = memory();
    let (layout, s) = (layout(), state(&layout()));
    save(&store, &layout, &s, Seq(8)).await.unwrap();
    save(&store, &layout, &s, Seq(20)).await.unwrap();
    for plan in [5, 6] {
        let (m, data) = contributed(plan, 0.5);
        contribution::put(&store, &run(), &m, data).await.unwrap();
    }
    opening::open(&store, &run(), &"delta".parse().unwrap(), Incarnation(3)).await.unwrap();
    let mut w = CommitLog::new(&store, log_name()).fence(Attempt(1)).await.unwrap();
    w.save(&checkpoint(1), &[]).await.unwrap();
    store.put_new("runs/run/history/00000001.json", "{}").await.unwrap();
    store.put_new("runs/other/checkpoints/00000001/manifest.json", "{}").await.unwrap();
    let all = store.list("runs").await.unwrap().len();
    let later = SystemTime::now() + Duration::from_hours(1);

    let mut roots = Roots {
        contributions: BTreeSet::from([key(6)]),
        checkpoints: BTreeSet::from([Seq(20)]),
        incarnations: BTreeSet::from([(Epoch(1), Incarnation(3))]),
    };
    assert_eq!(garbage::list(&store, &run(), &roots, SystemTime::UNIX_EPOCH).await.unwrap(), Vec::<String>::new());
    let keys = garbage::list(&store, &run(), &roots, later).await.unwrap();
    assert!(keys.iter().all(|k| k.contains("/00000005.0.") || k.contains("checkpoints/00000008/")), "{keys:?}");
    assert_eq!(keys.len(), 2 + 5);
    assert!(keys[0].ends_with("manifest.json") && keys[1].ends_with("manifest.json"));
    assert_eq!(garbage::collect(&store, &keys).await.unwrap(), 7);
    assert_eq!(store.list("runs").await.unwrap().len(), all - 7);
    contribution::load(&store, &run(), &key(6), None).await.unwrap();
    run_checkpoint::load(&store, &run(), Seq(20), &layout).await.unwrap();

    roots.incarnations.clear();
    let keys = garbage::list(&store, &run(), &roots, later).await.unwrap();
    assert_eq!(keys.len(), 2 + 3, "two log entries, x, m, manifest: {keys:?}");
}
