//! A run that begins from the state another run left: every site gets it as the checkpoint of record 0, from the old run's where
//! that stands, else from a member.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use coalition_outer::{OuterState, VectorLayout};
use coalition_protocol::record::Origin;
use coalition_protocol::{Digest, Epoch, Seq, keys};
use coalition_store::Store;
use coalition_store::run_checkpoint::{self, RunCheckpoint};
use common::{Chain, ELEMENTS, Member};

fn layout() -> VectorLayout {
    VectorLayout::new([("x", vec![ELEMENTS as usize])]).expect("a layout")
}

/// Parameters and momentum, both other than zero.
fn state() -> OuterState {
    let vector = |scale: f32| (0..ELEMENTS).map(|n| n as f32 * scale).collect();
    OuterState::new(vector(1e-3), vector(2e-4)).expect("one length")
}

fn origin(state: Digest) -> Origin {
    Origin { run: "old".parse().expect("a label"), seq: Seq(50), state }
}

/// Leaves the checkpoint of record 50 of run `old` in a store.
async fn leave(store: &Store) -> Origin {
    let (layout, state) = (layout(), state());
    let left = origin(state.digest());
    let checkpoint = RunCheckpoint {
        run: &left.run,
        epoch: Epoch(3),
        seq: left.seq,
        tokens: 81_000,
        spec: Digest::of(b"another spec"),
        layout: &layout,
        state: &state,
        config: &serde_json::json!({"hidden_size": 64}),
        extra: &[("tokenizer.json".to_owned(), "{}".into())],
    };
    run_checkpoint::save(store, &checkpoint).await.expect("saved");
    left
}

#[tokio::test]
async fn it_is_made_from_the_old_runs_and_fetched_by_those_who_lack_it() {
    let (mut north, mut south) = (Member::new("north").await, Member::new("south").await);
    let chain = Chain::from(Some(leave(&north.store).await));
    let run = north.asked(&chain, &[&south], &[], &[]);
    let found = north.until(&chain, run, None, |f| !f.checkpoints.is_empty()).await;
    assert_eq!((found.checkpoints[0].seq, found.checkpoints[0].state), (Seq(0), state().digest()));

    // Nothing of the old run is needed any more.
    for object in north.store.list("runs/old").await.expect("readable") {
        north.store.delete(&object.key).await.expect("removed");
    }
    let run = south.asked(&chain, &[&north], &[], &[]);
    let found = south.until(&chain, run, None, |f| !f.lacks_origin).await;
    assert_eq!(found.problems.get("OriginMissing"), None);
    for member in [&north, &south] {
        let (m, loaded) =
            run_checkpoint::load(&member.store, chain.view.run(), Seq(0), &layout()).await.expect("whole");
        assert_eq!((m.epoch, m.tokens, loaded.digest()), (Epoch(1), 0, state().digest()));
        assert!(m.files.iter().any(|f| f.name == "tokenizer.json"), "a model without its tokenizer");
    }
    let key = format!("{}/{}", keys::checkpoint(chain.view.run(), Seq(0)), keys::MANIFEST);
    let bytes = [&north, &south].map(|m| m.store.get(&key, u64::MAX));
    let [a, b] = bytes;
    assert_eq!(a.await.expect("there"), b.await.expect("there"), "equal origins make equal bytes");
}

#[tokio::test]
async fn without_it_nobody_begins_and_the_reason_is_told() {
    let mut south = Member::new("south").await;
    let chain = Chain::from(Some(origin(state().digest())));
    let run = south.asked(&chain, &[], &[], &[]);
    let found = south
        .until(&chain, run, None, |f| f.problems.get("OriginMissing").is_some_and(|w| !w.contains("being brought")))
        .await;
    assert!(found.lacks_origin && found.checkpoints.is_empty());
    let why = &found.problems["OriginMissing"];
    assert!(why.contains("record 50 of run old") && why.contains("no other site"), "{why}");
}

#[tokio::test]
async fn another_state_under_the_same_name_is_not_taken() {
    let mut north = Member::new("north").await;
    leave(&north.store).await;
    let chain = Chain::from(Some(origin(Digest::of(b"another state"))));
    let run = north.asked(&chain, &[], &[], &[]);
    let found = north
        .until(&chain, run, None, |f| f.problems.get("OriginMissing").is_some_and(|w| !w.contains("being brought")))
        .await;
    assert!(found.lacks_origin);
    assert!(found.problems["OriginMissing"].contains("its state is"), "{:?}", found.problems);
    assert!(!north.store.exists(&keys::checkpoint(chain.view.run(), Seq(0))).await.expect("readable"));
}

#[tokio::test]
async fn a_damaged_old_checkpoint_is_passed_by_for_a_members() {
    let (mut north, mut south) = (Member::new("north").await, Member::new("south").await);
    let left = leave(&north.store).await;
    leave(&south.store).await;
    let chain = Chain::from(Some(left.clone()));
    let key = format!("{}/model.safetensors", keys::checkpoint(&left.run, left.seq));
    let mut bad = south.store.get(&key, u64::MAX).await.expect("there").to_vec();
    let last = bad.len() - 1;
    bad[last] ^= 1;
    south.store.delete(&key).await.expect("removed");
    south.store.put_new(&key, bad).await.expect("stored");
    let run = north.asked(&chain, &[&south], &[], &[]);
    north.until(&chain, run, None, |f| !f.lacks_origin).await;
    let run = south.asked(&chain, &[&north], &[], &[]);
    south.until(&chain, run, None, |f| !f.lacks_origin).await;
    run_checkpoint::load(&south.store, chain.view.run(), Seq(0), &layout()).await.expect("the good copy");
}
