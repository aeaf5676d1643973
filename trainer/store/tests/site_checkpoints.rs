//! The commit log and site checkpoints: exact, fenced, and never half there, whatever call is the last one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use coalition_protocol::{Attempt, Digest, exit, keys};
use coalition_store::log::{CommitLog, Entry, What};
use coalition_store::manifest;
use coalition_store::site_checkpoint::Loaded;
use coalition_store::{Store, StoreError};
use common::{Dying, Kind, checkpoint, log_name, open};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use rstest::rstest;

fn memory() -> (Arc<dyn ObjectStore>, CommitLog) {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let store = Store::from_object_store(inner.clone(), "memory");
    (inner, CommitLog::new(&store, log_name()))
}

/// True if `found` is checkpoint `n`, to the bit.
fn is(found: &Loaded, n: u64) -> bool {
    let mut expected = checkpoint(n).groups;
    for list in expected.values_mut() {
        list.sort_by(|a, b| a.name.cmp(&b.name));
    }
    found.groups == expected && found.manifest.cursor == checkpoint(n).cursor && found.manifest.base.0 == n
}

#[rstest]
#[tokio::test]
async fn what_is_saved_comes_back_to_the_bit(#[values(Kind::Folder, Kind::Memory, Kind::S3)] kind: Kind) {
    let Some((store, _dir)) = open(&kind) else { return };
    let log = CommitLog::new(&store, log_name());
    assert_eq!(log.newest().await.unwrap(), None);
    let mut w = log.fence(Attempt(1)).await.unwrap();
    let one = w.save(&checkpoint(1), &[]).await.unwrap();
    let two = w.save(&checkpoint(2), &[]).await.unwrap();
    assert_eq!((one.entry.n, two.entry.n, w.next()), (1, 2, 3));

    // Another process reads it.
    let log = CommitLog::new(&store, log_name());
    let newest = log.newest().await.unwrap().unwrap();
    assert_eq!(newest, two.entry);
    let found = log.load(&newest).await.unwrap();
    assert!(is(&found, 2));
    assert_eq!(found.manifest.parent, Some(one.entry.manifest));
    assert!(is(&log.load(&one.entry).await.unwrap(), 1));
    // The next attempt shuts this one out, on every kind of store.
    let next = log.fence(Attempt(2)).await.unwrap();
    assert_eq!(next.kept(), [two.entry, one.entry]);
    assert!(matches!(w.save(&checkpoint(3), &[]).await, Err(StoreError::Fenced { .. })));
}

#[tokio::test]
async fn the_newest_two_and_what_is_pinned_stay() {
    let (_, log) = memory();
    let mut w = log.fence(Attempt(1)).await.unwrap();
    let mut saved = Vec::new();
    for n in 0..6 {
        saved.push(w.save(&checkpoint(n), &[2]).await.unwrap().entry);
    }
    for (n, entry) in saved.iter().enumerate() {
        let found = log.load(entry).await;
        if entry.n == 2 || n >= 4 {
            assert!(is(&found.unwrap(), n as u64));
        } else {
            assert!(matches!(found, Err(StoreError::Damaged { .. })), "{n}: its data is gone and that is said");
        }
    }
    assert_eq!(log.recent(2).await.unwrap(), [saved[5], saved[4]]);
}

#[tokio::test]
async fn a_newer_attempt_ends_an_older_one() {
    let (_, log) = memory();
    let mut old = log.fence(Attempt(1)).await.unwrap();
    let first = old.save(&checkpoint(1), &[]).await.unwrap().entry;
    let mut new = log.fence(Attempt(2)).await.unwrap();
    assert_eq!(new.kept(), [first], "it resumes from what the old one left");
    let e = old.save(&checkpoint(9), &[]).await.unwrap_err();
    assert!(matches!(e, StoreError::Fenced { ours: Attempt(1), theirs: Attempt(2), .. }), "{e}");
    assert_eq!(log.newest().await.unwrap(), Some(first));
    let second = new.save(&checkpoint(2), &[]).await.unwrap().entry;
    assert!(matches!(old.save(&checkpoint(9), &[]).await, Err(StoreError::Fenced { .. })));
    let e = log.fence(Attempt(1)).await.unwrap_err();
    assert!(matches!(e, StoreError::Fenced { ours: Attempt(1), theirs: Attempt(2), .. }), "{e}");
    assert_eq!(log.newest().await.unwrap(), Some(second));
    // The same attempt again is the same writer: its call's answer was lost.
    assert_eq!(log.fence(Attempt(2)).await.unwrap().next(), new.next());
}

/// The rule itself, on a log that a faulty writer spoilt: entries of a lower attempt after a higher fence do not exist.
#[tokio::test]
async fn entries_after_a_higher_fence_do_not_exist() {
    let (inner, log) = memory();
    let put = |n: u64, attempt: u64, what: What| {
        let (inner, key) = (inner.clone(), format!("runs/run/log/1.3/{n:08}.json"));
        let entry = Entry { version: 1, attempt: Attempt(attempt), what };
        async move { inner.put(&key.into(), serde_json::to_vec(&entry).unwrap().into()).await.unwrap() }
    };
    let at = |n: u8| What::SiteCheckpoint { manifest: Digest::of(&[n]) };
    put(0, 1, What::Fence).await;
    put(1, 1, at(1)).await;
    put(2, 2, What::Fence).await;
    put(3, 1, at(3)).await;
    assert_eq!(log.newest().await.unwrap().map(|e| e.n), Some(1), "3 does not exist");
    put(4, 2, at(4)).await;
    put(5, 1, at(5)).await;
    let all: Vec<u64> = log.recent(10).await.unwrap().iter().map(|e| e.n).collect();
    assert_eq!(all, [4, 1]);
    // A lost entry is damage, not an end.
    inner.delete(&"runs/run/log/1.3/00000002.json".into()).await.unwrap();
    assert!(matches!(log.newest().await, Err(StoreError::Damaged { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_attempts_at_once_the_highest_stands() {
    for round in 0..10 {
        let (_, log) = memory();
        let tasks: Vec<_> = (1..=8)
            .map(|a| {
                let log = log.clone();
                tokio::spawn(async move {
                    let mut w = log.fence(Attempt(a)).await?;
                    w.save(&checkpoint(a), &[]).await
                })
            })
            .collect();
        let mut ok = Vec::new();
        for (n, t) in tasks.into_iter().enumerate() {
            match t.await.unwrap() {
                Ok(saved) => ok.push((n as u64 + 1, saved)),
                Err(StoreError::Fenced { .. }) => {}
                Err(e) => panic!("round {round}: {e}"),
            }
        }
        assert!(ok.iter().any(|(a, _)| *a == 8), "the highest is never fenced");
        let e = log.fence(Attempt(7)).await.unwrap_err();
        assert!(matches!(e, StoreError::Fenced { theirs: Attempt(8), .. }), "{e}");
        // Whoever was told "saved" is in the log, at the entry it was told.
        let all = log.recent(100).await.unwrap();
        for (a, saved) in &ok {
            assert!(all.contains(&saved.entry), "attempt {a}");
        }
        assert_eq!(all[0].attempt, Attempt(8));
    }
}

/// The process dies at every call in turn, before or after the call has its effect. Whatever was there before is there
/// still or has been replaced whole; the next attempt goes on and leaves no litter.
#[tokio::test]
async fn death_at_any_call_leaves_nothing_half_written() {
    let (mut deaths, mut kept_old, mut has_new) = (0, 0, 0);
    for late in [false, true] {
        for calls in 0.. {
            let (inner, log) = memory();
            let mut w = log.fence(Attempt(1)).await.unwrap();
            for n in 0..3 {
                w.save(&checkpoint(n), &[]).await.unwrap();
            }
            let dying = CommitLog::new(&Dying::store(&inner, calls, late), log_name());
            let outcome = async { dying.fence(Attempt(2)).await?.save(&checkpoint(3), &[]).await }.await;
            let newest = log.newest().await.unwrap().unwrap();
            let found = log.load(&newest).await.unwrap();
            let new = is(&found, 3);
            assert!(new || is(&found, 2), "dead at call {calls}, late {late}");
            assert!(new || outcome.is_err(), "it was told saved");
            let second = log.recent(2).await.unwrap()[1];
            log.load(&second).await.unwrap();
            has_new += u32::from(new);
            kept_old += u32::from(!new);

            let mut next = log.fence(Attempt(3)).await.unwrap();
            let saved = next.save(&checkpoint(4), &[]).await.unwrap();
            assert!(is(&log.load(&saved.entry).await.unwrap(), 4));
            let folders = log_folders(&inner).await;
            assert_eq!(folders.len(), 2, "dead at call {calls}, late {late}: {folders:?}");
            if outcome.is_ok() && calls > 40 {
                break;
            }
            deaths += 1;
        }
    }
    assert!(deaths > 20 && kept_old > 5 && has_new > 5, "{deaths} {kept_old} {has_new}");
}

async fn log_folders(inner: &Arc<dyn ObjectStore>) -> Vec<String> {
    let store = Store::from_object_store(inner.clone(), "memory");
    let mut out: Vec<String> = store
        .list("runs/run/site")
        .await
        .unwrap()
        .into_iter()
        .map(|o| o.key.rsplit_once('/').unwrap().0.to_owned())
        .collect();
    out.dedup();
    out
}

/// The same writer goes on after an answer was lost: nothing is lost or mixed up.
#[tokio::test]
async fn a_save_whose_answer_was_lost_is_found_again() {
    let (_, log) = memory();
    let mut w = log.fence(Attempt(1)).await.unwrap();
    let mut twin = log.fence(Attempt(1)).await.unwrap();
    let lost = w.save(&checkpoint(1), &[]).await.unwrap().entry;
    // `twin` stands for the writer that never heard of `lost`.
    let next = twin.save(&checkpoint(2), &[]).await.unwrap().entry;
    assert_eq!(next.n, lost.n + 1);
    assert_eq!(log.recent(2).await.unwrap(), [next, lost]);
    assert!(is(&log.load(&lost).await.unwrap(), 1));
    assert_eq!(log.load(&next).await.unwrap().manifest.parent, Some(lost.manifest));
}

#[tokio::test]
async fn one_flipped_bit_in_any_object_is_found() {
    let (inner, log) = memory();
    let mut w = log.fence(Attempt(1)).await.unwrap();
    let entry = w.save(&checkpoint(1), &[]).await.unwrap().entry;
    let store = Store::from_object_store(inner.clone(), "memory");
    let objects = store.list("runs/run/site").await.unwrap();
    assert_eq!(objects.len(), 3, "x, m, manifest");
    for o in objects {
        let good = store.get(&o.key, o.bytes).await.unwrap();
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut bad = good.to_vec();
            bad[at] ^= 1;
            inner.put(&o.key.as_str().into(), Bytes::from(bad).into()).await.unwrap();
            let e = log.load(&entry).await.unwrap_err();
            assert!(matches!(&e, StoreError::Damaged { key, .. } if *key == o.key), "{} at {at}: {e}", o.key);
            assert_eq!(e.exit_code(), 66);
        }
        let mut longer = good.to_vec();
        longer.push(0);
        for odd in [longer, good[..good.len() - 1].to_vec()] {
            inner.put(&o.key.as_str().into(), Bytes::from(odd).into()).await.unwrap();
            assert!(matches!(log.load(&entry).await, Err(StoreError::Damaged { .. })));
        }
        inner.delete(&o.key.as_str().into()).await.unwrap();
        assert!(matches!(log.load(&entry).await, Err(StoreError::Damaged { .. })), "missing {}", o.key);
        inner.put(&o.key.as_str().into(), good.into()).await.unwrap();
        log.load(&entry).await.unwrap();
    }
    let key = "runs/run/log/1.3/00000001.json";
    inner.put(&key.into(), "{\"version\":1".into()).await.unwrap();
    let e = log.newest().await.unwrap_err();
    assert!(matches!(&e, StoreError::Damaged { key: k, .. } if k == key), "{e}");
    assert!(!key.ends_with(manifest::NAME));
}

/// What is missing or damaged in the middle is named; nothing is made up around it.
#[rstest]
#[tokio::test]
async fn a_log_with_a_hole_is_refused(#[values(Kind::Folder, Kind::Memory)] kind: Kind) {
    let Some((store, _dir)) = open(&kind) else { return };
    let log = CommitLog::new(&store, log_name());
    let mut w = log.fence(Attempt(1)).await.unwrap();
    for n in 1..4 {
        w.save(&checkpoint(n), &[]).await.unwrap();
    }
    let entry = |n: u64| keys::log_entry(&log_name().run, log_name().epoch, log_name().incarnation, n);
    for n in [0, 1, 2] {
        let kept = store.get(&entry(n), 4096).await.unwrap();
        let refused = async |what: &str| {
            for e in [log.newest().await.unwrap_err(), log.fence(Attempt(2)).await.unwrap_err()] {
                let text = e.to_string();
                assert!(matches!(&e, StoreError::Damaged { key, .. } if *key == entry(n)), "{what} {n}: {text}");
                assert_eq!(e.exit_code(), exit::CHECKPOINT);
            }
        };
        store.delete(&entry(n)).await.unwrap();
        refused("missing").await;
        let e = log.newest().await.unwrap_err().to_string();
        assert!(e.contains(&entry(n + 1)) && e.contains("put it back from a copy"), "{e}");
        store.put_new(&entry(n), "{\"version\":1").await.unwrap();
        refused("damaged").await;
        store.delete(&entry(n)).await.unwrap();
        store.put_new(&entry(n), kept).await.unwrap();
    }
    assert_eq!(log.newest().await.unwrap().unwrap().n, 3);
    // The last entry may be missing: an interrupted save has none, and nothing else tells.
    store.delete(&entry(3)).await.unwrap();
    assert_eq!(log.newest().await.unwrap().unwrap().n, 2);
}
