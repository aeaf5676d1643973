//! One suite for every kind of store. S3 takes part when `COALITION_S3_ENDPOINT` names a server (`cargo xtask test` starts
//! one); without it those cases say loudly that they were skipped.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use coalition_protocol::Digest;
use coalition_store::{BlockingStore, Location, S3, Store, StoreError};
use common::{Kind, open};
use rstest::rstest;

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations(#[values(Kind::Folder, Kind::Memory, Kind::S3)] kind: Kind) {
    let Some((s, _dir)) = open(&kind) else { return };
    let data = Bytes::from((0..3_000_000_u32).map(|n| (n % 251) as u8).collect::<Vec<u8>>());
    let digest = Digest::of(&data);

    // Nothing there.
    assert!(!s.exists("a/b").await.unwrap());
    assert!(s.get("a/b", 10).await.unwrap_err().is_not_found());
    assert!(s.get_range("a/b", 0, 1).await.unwrap_err().is_not_found());
    assert_eq!(s.list("a").await.unwrap(), vec![]);
    s.delete("a/b").await.unwrap();

    // Create-only.
    s.put_parts("a/b", vec![data.slice(..1_000_000), data.slice(1_000_000..)]).await.unwrap();
    assert!(matches!(s.put_new("a/b", "other").await, Err(StoreError::AlreadyExists { .. })));
    s.put_new_or_same("a/b", data.clone()).await.unwrap();
    for other in [Bytes::from_static(b"other"), Bytes::from(vec![7; data.len()])] {
        assert!(matches!(s.put_new_or_same("a/b", other).await, Err(StoreError::AlreadyExists { .. })));
    }
    assert_eq!(s.size("a/b").await.unwrap(), Some(3_000_000));

    // Read with a limit and a digest.
    assert_eq!(s.get("a/b", 3_000_000).await.unwrap(), data);
    assert_eq!(s.get_verified("a/b", 3_000_000, digest).await.unwrap(), data);
    assert!(matches!(s.get("a/b", 2_999_999).await, Err(StoreError::TooLarge { bytes: 3_000_000, .. })));
    let e = s.get_verified("a/b", 3_000_000, Digest::ZERO).await.unwrap_err();
    assert!(matches!(&e, StoreError::Damaged { .. }) && e.exit_code() == 66, "{e}");
    assert!(e.to_string().contains("a/b") && e.to_string().contains(&digest.to_string()), "{e}");
    assert_eq!(s.get_range("a/b", 999_999, 3).await.unwrap(), data.slice(999_999..1_000_002));
    assert_eq!(s.get_range("a/b", 5, 0).await.unwrap(), Bytes::new());
    assert!(matches!(s.get_range("a/b", 2_999_999, 2).await, Err(StoreError::Damaged { .. })));
    s.put_new("a/empty", Bytes::new()).await.unwrap();
    assert_eq!(s.get("a/empty", 0).await.unwrap(), Bytes::new());

    // A list is sorted and ends at whole segments.
    for key in ["a/d/2", "a/d/10", "a/d/1", "ab/x", "a.b"] {
        s.put_new(key, key).await.unwrap();
    }
    let keys: Vec<String> = s.list("a").await.unwrap().into_iter().map(|o| o.key).collect();
    assert_eq!(keys, ["a/b", "a/d/1", "a/d/10", "a/d/2", "a/empty"]);
    let found = s.list("a/d").await.unwrap();
    assert_eq!((found[2].key.as_str(), found[2].bytes), ("a/d/2", 5));

    // After a removal the name is free again.
    s.delete("a/b").await.unwrap();
    s.delete("a/b").await.unwrap();
    assert!(!s.exists("a/b").await.unwrap());
    s.put_new("a/b", "new").await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_eight_writers_one_wins(#[values(Kind::Folder, Kind::Memory, Kind::S3)] kind: Kind) {
    let Some((s, _dir)) = open(&kind) else { return };
    for round in 0..20 {
        let key = format!("race/{round}");
        let gate = Arc::new(tokio::sync::Barrier::new(8));
        let writers: Vec<_> = (0..8_u8)
            .map(|n| {
                let (s, key, gate) = (s.clone(), key.clone(), gate.clone());
                tokio::spawn(async move {
                    gate.wait().await;
                    s.put_new(&key, vec![n; 10_000]).await
                })
            })
            .collect();
        let mut winners = Vec::new();
        for (n, w) in writers.into_iter().enumerate() {
            match w.await.unwrap() {
                Ok(()) => winners.push(n as u8),
                Err(StoreError::AlreadyExists { .. }) => {}
                Err(e) => panic!("{e}"),
            }
        }
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        assert_eq!(s.get(&key, 10_000).await.unwrap(), vec![winners[0]; 10_000]);
    }
}

#[rstest]
#[tokio::test]
async fn names_that_lead_elsewhere_are_refused(#[values(Kind::Folder, Kind::Memory, Kind::S3)] kind: Kind) {
    let Some((s, _dir)) = open(&kind) else { return };
    let long = "x".repeat(241);
    for key in [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        "..",
        "../x",
        "a/../b",
        "a/./b",
        ".hidden",
        "a/.hidden",
        "a\\b",
        "a b",
        "a#1",
        "ä",
        "a\0b",
        long.as_str(),
    ] {
        let bad = |e: StoreError| assert!(matches!(e, StoreError::BadKey { .. }), "{key:?}: {e}");
        bad(s.put_new(key, "x").await.unwrap_err());
        bad(s.get(key, 10).await.unwrap_err());
        bad(s.get_range(key, 0, 1).await.unwrap_err());
        bad(s.exists(key).await.unwrap_err());
        bad(s.list(key).await.unwrap_err());
        bad(s.delete(key).await.unwrap_err());
    }
}

#[tokio::test]
async fn what_else_lies_in_a_folder_is_not_an_object() {
    let dir = tempfile::tempdir().unwrap();
    let s = Store::open(&Location::Folder(dir.path().to_owned())).unwrap();
    s.put_new("a/b", "x").await.unwrap();
    // What a killed writer leaves, and a person.
    for name in ["a/c#1", "a/c#x", "a/.DS_Store", "a/a b"] {
        std::fs::write(dir.path().join(name), "half").unwrap();
    }
    let keys: Vec<String> = s.list("a").await.unwrap().into_iter().map(|o| o.key).collect();
    assert_eq!(keys, ["a/b"]);
    s.put_new("a/c", "whole").await.unwrap();
    assert_eq!(s.get("a/c", 10).await.unwrap(), "whole");
    // A staged file goes once it is old; a person's file stays.
    assert_eq!(s.sweep_staged(SystemTime::UNIX_EPOCH).await.unwrap(), 0);
    assert_eq!(s.sweep_staged(SystemTime::now() + Duration::from_mins(1)).await.unwrap(), 1);
    assert!(!dir.path().join("a/c#1").exists() && dir.path().join("a/c#x").exists());
    assert_eq!(s.get("a/c", 10).await.unwrap(), "whole");
}

/// A full disk and a read-only one, on a small file system of its own. Needs root.
#[tokio::test]
async fn full_and_read_only_folders_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = |options: &str| {
        Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(&disk)
            .status()
            .is_ok_and(|s| s.success())
    };
    if !mount("size=256k") {
        eprintln!("SKIPPED: a tmpfs could not be mounted (needs root)");
        return;
    }
    let s = Store::open(&Location::Folder(disk.clone())).unwrap();
    let full = s.put_new("a/large", vec![1; 1 << 20]).await;
    let left = s.list("a").await;
    let files: Vec<_> = std::fs::read_dir(disk.join("a")).map(Iterator::count).into_iter().collect();
    let small = s.put_new("a/small", vec![1; 1000]).await;
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(&disk).status().is_ok_and(|s| s.success());
    let read_only = s.put_new("a/more", "x").await;
    let still = s.get("a/small", 1000).await;
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());

    let e = full.unwrap_err();
    assert!(matches!(e, StoreError::Full { .. }) && e.exit_code() == 75, "{e}");
    assert_eq!(left.unwrap(), vec![], "nothing half-written");
    assert!(files.iter().all(|n| *n == 0), "nothing staged is left");
    small.unwrap();
    assert!(remounted);
    let e = read_only.unwrap_err();
    assert!(matches!(e, StoreError::ReadOnly { .. }), "{e}");
    assert_eq!(still.unwrap(), vec![1; 1000]);
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_or_reached_says_so() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "x").unwrap();
    let e = Store::open(&Location::Folder(dir.path().join("file"))).unwrap_err();
    assert!(matches!(e, StoreError::BadLocation { .. }) && e.exit_code() == 64, "{e}");

    // A port that was free a moment ago: nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let s3 = |endpoint: Option<String>| {
        Location::S3(S3 {
            endpoint,
            bucket: "bucket".to_owned(),
            prefix: String::new(),
            region: "us-east-1".to_owned(),
            credentials: Some(("id".to_owned(), "secret".to_owned())),
            plain_http: false,
        })
    };
    let s = Store::open(&s3(Some(format!("http://127.0.0.1:{port}")))).unwrap();
    let e = s.get("a", 1).await.unwrap_err();
    assert!(matches!(e, StoreError::Unreachable { .. }) && e.is_transient() && e.exit_code() == 75, "{e}");
    for no_tls in [None, Some("https://127.0.0.1:1".to_owned())] {
        let e = Store::open(&s3(no_tls)).unwrap_err();
        assert!(matches!(&e, StoreError::BadLocation { .. }) && e.to_string().contains("http://"), "{e}");
    }
}

#[tokio::test]
async fn wrong_credentials_are_denied_and_a_missing_bucket_is_named() {
    let Some(Location::S3(s3)) = common::s3_from_environment() else { return };
    let wrong = S3 { credentials: Some(("id".to_owned(), "not the secret".to_owned())), ..s3.clone() };
    let s = Store::open(&Location::S3(wrong)).unwrap();
    for e in [s.put_new("a", "x").await.unwrap_err(), s.get("a", 1).await.unwrap_err(), s.list("a").await.unwrap_err()]
    {
        assert!(matches!(e, StoreError::Denied { .. }) && e.exit_code() == 75, "{e}");
        assert!(!e.to_string().contains("not the secret"), "{e}");
    }
    let s = Store::open(&Location::S3(S3 { bucket: "no-such-bucket".to_owned(), ..s3 })).unwrap();
    for e in [s.put_new("a", "x").await.unwrap_err(), s.get("a", 1).await.unwrap_err(), s.list("a").await.unwrap_err()]
    {
        assert!(matches!(e, StoreError::BadLocation { .. }) && e.to_string().contains("no-such-bucket"), "{e:?}");
    }
}

#[test]
fn the_blocking_store_waits_and_refuses_inside_a_runtime() {
    let s = BlockingStore::open(&Location::Memory).unwrap();
    s.wait(s.store().put_new("a", "x")).unwrap();
    assert_eq!(s.wait(s.store().get("a", 1)).unwrap(), "x");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let inside = runtime.block_on(async { s.wait(s.store().get("a", 1)) });
    assert!(inside.unwrap_err().to_string().contains("async runtime"));
}
