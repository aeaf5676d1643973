//! Couriers of several sites over real HTTP, each on a store of its own.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use coalition_outer::{OuterState, VectorLayout};
use coalition_protocol::{Incarnation, Seq, keys};
use coalition_store::contribution;
use coalition_store::run_checkpoint::{self, RunCheckpoint};
use common::{Chain, ELEMENTS, Member, TOKEN};

#[tokio::test]
async fn an_offer_is_fetched_verified_and_held_by_the_others() {
    let mut chain = Chain::new();
    chain.plan();
    let (north, mut south) = (Member::new("north").await, Member::new("south").await);
    let offer = north.make(&chain).await;
    let run = south.asked(&chain, &[&north], std::slice::from_ref(&offer), &[]);
    let found = south.until(&chain, run, None, |f| !f.holds.is_empty()).await;
    assert_eq!(found.holds, [(offer.key.clone(), offer.digest)]);
    assert_eq!((found.opened, found.store_lost), (Some(Incarnation(1)), false));
    assert_eq!(found.mirrored, Some(chain.view.head().seq));
    let (m, delta) =
        contribution::load(&south.store, chain.view.run(), &offer.key, Some(offer.digest)).await.expect("whole");
    assert_eq!((m.tokens, delta.len() as u64), (2, ELEMENTS));
    assert!(
        south.store.exists(&keys::record(chain.view.run(), Seq(2))).await.expect("readable"),
        "history is mirrored"
    );
}

#[tokio::test]
async fn damage_at_one_holder_is_seen_and_another_is_asked() {
    let mut chain = Chain::new();
    chain.plan();
    let (north, east, mut south) = (Member::new("north").await, Member::new("east").await, Member::new("south").await);
    let offer = north.make(&chain).await;
    let (m, data) = chain.contribution("north");
    contribution::put(&east.store, chain.view.run(), &m, data.clone().into()).await.expect("stored");
    let key = format!("{}/{}", keys::contribution(chain.view.run(), &offer.key), keys::CONTRIBUTION_DATA);
    let mut bad = data;
    bad[100] ^= 1;
    north.store.delete(&key).await.expect("removed");
    north.store.put_new(&key, bad).await.expect("stored");
    let run = south.asked(&chain, &[&north, &east], std::slice::from_ref(&offer), &[]);
    let found = south.until(&chain, run, None, |f| !f.holds.is_empty()).await;
    assert_eq!(found.holds.len(), 1);
    contribution::load(&south.store, chain.view.run(), &offer.key, Some(offer.digest)).await.expect("the good copy");
}

#[tokio::test]
async fn what_is_not_what_was_offered_is_never_held() {
    let mut chain = Chain::new();
    chain.plan();
    let (north, mut south) = (Member::new("north").await, Member::new("south").await);
    let mut offer = north.make(&chain).await;
    offer.tokens += 1;
    let run = south.asked(&chain, &[&north], &[offer], &[]);
    let found = south.until(&chain, run, None, |f| f.problems.contains_key("TransferFailed")).await;
    assert_eq!(found.holds, []);
    let why = &found.problems["TransferFailed"];
    assert!(why.contains("not the one that was offered"), "{why}");
}

#[tokio::test]
async fn a_dead_peer_holds_up_nothing_else() {
    let mut chain = Chain::new();
    chain.plan();
    let (north, east, mut south) = (Member::new("north").await, Member::new("east").await, Member::new("south").await);
    let offers = [north.make(&chain).await, east.make(&chain).await];
    north.server.abort();
    let run = south.asked(&chain, &[&north, &east], &offers, &[]);
    let found = south.until(&chain, run, None, |f| !f.holds.is_empty()).await;
    assert_eq!(found.holds, [(offers[1].key.clone(), offers[1].digest)]);
}

#[tokio::test]
async fn a_store_without_its_opening_entry_holds_nothing() {
    let mut chain = Chain::new();
    chain.plan();
    let (north, mut south) = (Member::new("north").await, Member::new("south").await);
    let offer = north.make(&chain).await;
    // The hub remembers that this incarnation was opened; this store does not.
    let run = south.asked(&chain, &[&north], &[offer], &[]);
    let found = south.until(&chain, run, Some(Incarnation(1)), |_| true).await;
    assert!(found.store_lost);
    assert_eq!((found.holds, found.mirrored), (vec![], None));
    assert!(found.problems["StoreLost"].contains("incarnation 1"), "{:?}", found.problems);
    assert!(south.store.list("runs/run").await.expect("readable").is_empty(), "nothing is written into it");
}

#[tokio::test]
async fn a_damaged_own_copy_is_replaced_from_a_peer() {
    let mut chain = Chain::new();
    chain.plan();
    let (north, mut south) = (Member::new("north").await, Member::new("south").await);
    let offer = north.make(&chain).await;
    let (m, mut data) = chain.contribution("north");
    data[5] ^= 1;
    contribution::put(&south.store, chain.view.run(), &m, data.into()).await.expect("stored");
    let run = south.asked(&chain, &[&north], std::slice::from_ref(&offer), &[]);
    south.until(&chain, run, None, |f| !f.holds.is_empty()).await;
    contribution::load(&south.store, chain.view.run(), &offer.key, Some(offer.digest)).await.expect("the good copy");
}

#[tokio::test]
async fn only_what_others_may_read_is_served_and_only_to_them() {
    let mut chain = Chain::new();
    chain.plan();
    let north = Member::new("north").await;
    let offer = north.make(&chain).await;
    north.store.put_new("runs/run/log/1.1/00000000.json", "private").await.expect("stored");
    north.store.put_new("runs/other/history/00000000.json", "another run").await.expect("stored");
    let http = reqwest::Client::new();
    let status = async |key: &str, token: &str| {
        let url = format!("{}/v1/objects/{key}", north.endpoint);
        http.get(url).bearer_auth(token).send().await.expect("sent").status().as_u16()
    };
    let manifest = format!("{}/{}", keys::contribution(chain.view.run(), &offer.key), keys::MANIFEST);
    assert_eq!(status(&manifest, TOKEN).await, 200);
    assert_eq!(status(&manifest, "wrong").await, 401);
    for key in [
        "runs/run/log/1.1/00000000.json",
        "runs/other/history/00000000.json",
        "runs/run/history/99999999.json",
        "runs/run/history/..%2f..%2flog%2f1.1%2f00000000.json",
        "runs/run/history",
    ] {
        assert_eq!(status(key, TOKEN).await, 404, "{key}");
    }
}

/// A base of the newest commit at this member; returns its state digest.
async fn base(member: &Member, chain: &Chain, seq: Seq, state: &OuterState, layout: &VectorLayout) {
    let config = serde_json::json!({"model_type": "test"});
    let extra = [("tokenizer.json".to_owned(), bytes::Bytes::from_static(b"{}"))];
    let checkpoint = RunCheckpoint {
        run: chain.view.run(),
        epoch: chain.view.head().epoch,
        seq,
        tokens: chain.view.tokens(),
        spec: coalition_protocol::Digest::ZERO,
        layout,
        state,
        config: &config,
        extra: &extra,
    };
    run_checkpoint::save(&member.store, &checkpoint).await.expect("stored");
}

#[tokio::test]
async fn a_base_is_fetched_whole_and_only_if_it_is_the_agreed_state() {
    let layout = VectorLayout::new([("w", vec![ELEMENTS as usize])]).expect("a layout");
    let state = |x: f32| OuterState::initial(vec![x; ELEMENTS as usize]);
    let mut chain = Chain::new();
    chain.plan();
    let seq = chain.commit_alone(&common::SITES);
    let (north, east, mut south) = (Member::new("north").await, Member::new("east").await, Member::new("south").await);
    // North's base is of another state than the one agreed on; east's is right.
    base(&north, &chain, seq, &state(2.0), &layout).await;
    base(&east, &chain, seq, &state(1.0), &layout).await;
    chain.agree(seq, state(1.0).digest());
    let run = south.asked(&chain, &[&north, &east], &[], &[seq]);
    let found = south.until(&chain, run, None, |f| !f.checkpoints.is_empty()).await;
    assert_eq!((found.checkpoints[0].seq, found.checkpoints[0].state), (seq, state(1.0).digest()));
    let (_, loaded) = run_checkpoint::load(&south.store, chain.view.run(), seq, &layout).await.expect("whole");
    assert_eq!(loaded.theta(), state(1.0).theta());
    // What lies beside the state comes with it.
    let m = run_checkpoint::verify(&south.store, chain.view.run(), seq).await.expect("every file as its manifest says");
    assert!(m.files.iter().any(|f| f.name == "tokenizer.json"), "{:?}", m.files);
}

#[tokio::test]
async fn a_courier_that_starts_anew_finds_what_its_store_holds() {
    let mut chain = Chain::new();
    let mut commits = Vec::new();
    let (north, mut south) = (Member::new("north").await, Member::new("south").await);
    for _ in 0..3 {
        chain.plan();
        let (m, data) = chain.contribution("north");
        contribution::put(&south.store, chain.view.run(), &m, data.into()).await.expect("stored");
        commits.push(chain.commit(&["north"]));
    }
    // The hub keeps the newest bases, before anybody made them; and the peer that might have one is dead in the second run.
    for alive in [true, false] {
        if !alive {
            north.server.abort();
        }
        let run = south.asked(&chain, &[&north], &[], &commits[1..]);
        let found = south.until(&chain, run, None, |f| f.held.len() == 3).await;
        assert_eq!(found.holds.len(), 3);
        south = south.restarted();
    }
}

#[tokio::test]
async fn a_damaged_run_checkpoint_is_never_reported() {
    let layout = VectorLayout::new([("w", vec![ELEMENTS as usize])]).expect("a layout");
    let state = OuterState::initial(vec![1.0; ELEMENTS as usize]);
    let mut chain = Chain::new();
    chain.plan();
    let seq = chain.commit_alone(&["south"]);
    chain.agree(seq, state.digest());
    let mut south = Member::new("south").await;
    base(&south, &chain, seq, &state, &layout).await;
    let key = format!("{}/model.safetensors", keys::checkpoint(chain.view.run(), seq));
    let mut bytes = south.store.get(&key, u64::MAX).await.expect("there").to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    south.store.delete(&key).await.expect("removed");
    south.store.put_new(&key, bytes).await.expect("stored");
    let run = south.asked(&chain, &[], &[], &[seq]);
    let found = south.until(&chain, run, None, |f| f.problems.contains_key("TransferFailed")).await;
    assert!(found.checkpoints.is_empty());
    assert!(found.problems["TransferFailed"].contains("damaged"), "{:?}", found.problems);
}

#[tokio::test]
async fn a_store_lost_under_a_living_courier_is_filled_anew_for_the_next_incarnation() {
    let mut chain = Chain::new();
    let (north, mut south) = (Member::new("north").await, Member::new("south").await);
    for _ in 0..2 {
        chain.plan();
        north.make(&chain).await;
        chain.commit(&["north"]);
    }
    let mut run = south.asked(&chain, &[&north], &[], &[]);
    south.until(&chain, run.clone(), None, |f| f.held.len() == 2).await;
    for object in south.store.list("runs/run").await.expect("readable") {
        south.store.delete(&object.key).await.expect("removed");
    }
    let found = south.until(&chain, run.clone(), Some(Incarnation(1)), |f| f.store_lost).await;
    assert_eq!((found.holds, found.held, found.mirrored), (vec![], vec![], None));
    run.incarnation = Incarnation(2);
    let found = south.until(&chain, run, None, |f| f.held.len() == 2).await;
    assert_eq!((found.store_lost, found.mirrored), (false, Some(chain.view.head().seq)));
    for key in found.held {
        contribution::load(&south.store, chain.view.run(), &key, None).await.expect("what is held is there");
    }
}

#[tokio::test]
async fn what_the_trainer_found_damaged_and_dropped_is_fetched_again() {
    let mut chain = Chain::new();
    let (north, mut south) = (Member::new("north").await, Member::new("south").await);
    chain.plan();
    let offer = north.make(&chain).await;
    chain.commit(&["north"]);
    let run = south.asked(&chain, &[&north], &[], &[]);
    south.until(&chain, run.clone(), None, |f| !f.holds.is_empty()).await;
    let folder = keys::contribution(chain.view.run(), &offer.key);
    for name in [keys::MANIFEST, keys::CONTRIBUTION_DATA] {
        south.store.delete(&format!("{folder}/{name}")).await.expect("removed");
    }
    south.until(&chain, run, Some(Incarnation(1)), |f| !f.holds.is_empty()).await;
    contribution::load(&south.store, chain.view.run(), &offer.key, None).await.expect("it is there again");
}

#[tokio::test]
async fn a_base_whose_state_was_refuted_is_looked_at_again() {
    let layout = VectorLayout::new([("w", vec![ELEMENTS as usize])]).expect("a layout");
    let state = |x: f32| OuterState::initial(vec![x; ELEMENTS as usize]);
    let mut chain = Chain::new();
    chain.plan();
    let seq = chain.commit_alone(&["south"]);
    let mut south = Member::new("south").await;
    base(&south, &chain, seq, &state(1.0), &layout).await;
    let run = south.asked(&chain, &[], &[], &[seq]);
    south.until(&chain, run, None, |f| !f.checkpoints.is_empty()).await;
    chain.agree(seq, state(2.0).digest());
    for object in south.store.list(&keys::checkpoint(chain.view.run(), seq)).await.expect("readable") {
        south.store.delete(&object.key).await.expect("removed");
    }
    base(&south, &chain, seq, &state(2.0), &layout).await;
    let run = south.asked(&chain, &[], &[], &[seq]);
    let right = |f: &coalition_courier::Findings| f.checkpoints.iter().any(|c| c.state == state(2.0).digest());
    south.until(&chain, run, Some(Incarnation(1)), right).await;
}
