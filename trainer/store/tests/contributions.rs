//! Contributions in a store: one thing under a name, whole or not there, and proved when read.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use bytes::Bytes;
use coalition_outer::layout::CHUNK;
use coalition_outer::{ContributionManifest, contribution as outer};
use coalition_protocol::Digest;
use coalition_protocol::bits::BatchHash;
use coalition_store::{StoreError, contribution};
use common::{Dying, contributed, key, memory, run};
use object_store::ObjectStoreExt;

#[tokio::test]
async fn a_contribution_is_one_thing_under_its_name() {
    let (inner, store) = memory();
    let (m, data) = contributed(5, 0.5);
    let digest = contribution::put(&store, &run(), &m, data.clone()).await.unwrap();
    assert_eq!(digest, m.digest().unwrap());
    assert_eq!(contribution::put(&store, &run(), &m, data.clone()).await.unwrap(), digest);
    let (other, other_data) = contributed(5, 0.25);
    let e = contribution::put(&store, &run(), &other, other_data).await.unwrap_err();
    assert!(matches!(e, StoreError::AlreadyExists { .. }), "{e}");
    let (back, delta) = contribution::load(&store, &run(), &key(5), Some(digest)).await.unwrap();
    assert_eq!((back, delta[8191]), (m.clone(), 8191.0 * 0.5));
    assert_eq!(contribution::list(&store, &run()).await.unwrap(), [key(5)]);
    let e = contribution::load(&store, &run(), &key(5), Some(Digest::ZERO)).await.unwrap_err();
    assert!(matches!(e, StoreError::Damaged { .. }), "{e}");
    assert!(contribution::manifest(&store, &run(), &key(6), None).await.unwrap_err().is_not_found());

    for (name, e) in [("data.bin", 100), ("manifest.json", 2)] {
        let at = format!("runs/run/contributions/{}/{name}", key(5));
        let good = store.get(&at, 1 << 20).await.unwrap();
        let mut bad = good.to_vec();
        bad[e] ^= 1;
        inner.put(&at.as_str().into(), Bytes::from(bad).into()).await.unwrap();
        let e = contribution::load(&store, &run(), &key(5), Some(digest)).await.unwrap_err();
        assert!(matches!(&e, StoreError::Damaged { key, .. } if *key == at), "{e}");
        inner.put(&at.as_str().into(), good.into()).await.unwrap();
    }
    inner.delete(&format!("runs/run/contributions/{}/data.bin", key(5)).into()).await.unwrap();
    let e = contribution::load(&store, &run(), &key(5), Some(digest)).await.unwrap_err();
    assert!(matches!(e, StoreError::Damaged { .. }), "{e}");
}

/// One chunk is read without the rest, and a flipped bit is found in its own chunk only.
#[tokio::test]
async fn a_chunk_of_a_contribution_is_proved_alone() {
    let (inner, store) = memory();
    let delta: Vec<f32> = (0..CHUNK + 4096).map(|n| (n % 97) as f32 - 48.0).collect();
    let m = ContributionManifest::describe(key(5), &delta, 8, Vec::new(), BatchHash(3)).unwrap();
    let digest = contribution::put(&store, &run(), &m, outer::encode(&delta).into()).await.unwrap();
    let read = async |k| contribution::chunk(&store, &run(), &key(5), digest, k).await;
    assert_eq!(read(0).await.unwrap(), delta[..CHUNK]);
    assert_eq!(read(1).await.unwrap(), delta[CHUNK..]);
    assert!(matches!(read(2).await, Err(StoreError::Damaged { .. })), "there is no third");
    let at = format!("runs/run/contributions/{}/data.bin", key(5));
    let mut bad = outer::encode(&delta);
    bad[CHUNK * 4 + 7] ^= 1;
    inner.put(&at.as_str().into(), Bytes::from(bad).into()).await.unwrap();
    let e = read(1).await.unwrap_err();
    assert!(matches!(&e, StoreError::Damaged { key, .. } if *key == at), "{e}");
    assert_eq!(read(0).await.unwrap(), delta[..CHUNK], "the first is sound");
    let other = contribution::chunk(&store, &run(), &key(5), Digest::ZERO, 0).await;
    assert!(matches!(other, Err(StoreError::Damaged { .. })), "another contribution was meant");
    assert!(contribution::chunk(&store, &run(), &key(6), digest, 0).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_contribution_is_there_whole_or_not_at_all() {
    let (m, data) = contributed(5, 0.5);
    for late in [false, true] {
        for calls in 0..3 {
            let (inner, store) = memory();
            let outcome = contribution::put(&Dying::store(&inner, calls, late), &run(), &m, data.clone()).await;
            let listed = contribution::list(&store, &run()).await.unwrap();
            assert_eq!(listed.is_empty(), contribution::load(&store, &run(), &key(5), None).await.is_err());
            assert!(outcome.is_err() || !listed.is_empty());
            contribution::put(&store, &run(), &m, data.clone()).await.unwrap();
            contribution::load(&store, &run(), &key(5), None).await.unwrap();
        }
    }
}
