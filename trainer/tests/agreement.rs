//! Flipped bits in an outer state (D17), in whole runs of real processes: only the chunks that differ are computed again, what
//! that cannot put right is reloaded, and all sites end with the same state.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests fail by panicking, like tests.
mod common;

use std::path::Path;
use std::time::Duration;

use coalition_protocol::history::Commit;
use coalition_protocol::{Digest, SiteId, exit};
use coalition_spec::RunSpec;
use coalition_store::{BlockingStore, Location, contribution};
use common::hub::Hub;
use common::process::{Supervisor, start_with};
use serde_json::json;

const LIMIT: Duration = Duration::from_mins(2);
const ROUNDS: u64 = 4;

fn id(name: &str) -> SiteId {
    name.parse().unwrap()
}

/// A run in which a bit flips at the first of these sites.
fn run(dir: &Path, sites: &[&str], flip: serde_json::Value) -> (Digest, Vec<Supervisor>, Hub) {
    run_of(dir, &common::spec(4, ROUNDS, sites.len() as u64), sites, &flip)
}

fn run_of(dir: &Path, spec: &RunSpec, sites: &[&str], flip: &serde_json::Value) -> (Digest, Vec<Supervisor>, Hub) {
    let list: Vec<_> = sites.iter().map(|s| (*s, 1)).collect();
    let hub = common::run(dir, spec, &list, 4);
    hub.change(|s| s.may_differ = !flip.is_null());
    let mut all = Vec::new();
    for (n, site) in sites.iter().enumerate() {
        let test = if n == 0 { json!({"flip": flip}) } else { json!({}) };
        all.push(start_with(dir, &hub, &hub.gateway(&id(site)), site, 0, &test));
    }
    hub.wait("the end of the run", LIMIT, |s| s.view.ended().is_some());
    for s in &mut all {
        assert_eq!(s.end(LIMIT), i32::from(exit::FINISHED));
    }
    common::audit(&hub, spec);
    let state = hub.lock().view.ended().unwrap().state.unwrap();
    (state, all, hub)
}

fn said(event: &serde_json::Value, what: &str) -> Vec<String> {
    event[what].as_array().unwrap().iter().map(|n| n.as_str().unwrap().to_owned()).collect()
}

/// Two sites, nothing fixed yet: both look, one was wrong. The momentum alone was, so the run ends as if nothing had been.
#[test]
fn only_the_chunk_that_differs_is_computed_again() {
    let dir = tempfile::tempdir().unwrap();
    let (expected, ..) = run(dir.path(), &["north", "south"], json!(null));
    let dir = tempfile::tempdir().unwrap();
    let flip = json!({"round": 2, "chunk": 1, "when": "computed"});
    let (state, all, _hub) = run(dir.path(), &["north", "south"], flip);
    assert_eq!(state, expected);
    let seen = all[0].events("reproduced");
    assert_eq!(seen[0]["round"], 2);
    for what in ["differing", "recomputed", "replaced"] {
        assert_eq!(said(&seen[0], what), ["u[0]"], "{what}");
    }
    assert!(said(&seen[0], "reloaded").is_empty());
    assert_eq!(seen.iter().filter(|e| !said(e, "replaced").is_empty()).count(), 1, "{seen:?}");
    assert!(all[1].events("reproduced").iter().all(|e| said(e, "replaced").is_empty()), "south was right");
}

/// Three sites: two of them fix the state, the third is refuted and computes one chunk of θ again.
#[test]
fn a_refuted_parameter_is_computed_again() {
    let dir = tempfile::tempdir().unwrap();
    let flip = json!({"round": 1, "chunk": 0, "when": "computed"});
    let (_, all, hub) = run(dir.path(), &["north", "south", "west"], flip);
    let seen = all[0].events("reproduced");
    for what in ["differing", "recomputed", "replaced"] {
        assert_eq!(said(&seen[0], what), ["theta[0]"], "{what}");
    }
    assert!(seen.iter().all(|e| said(e, "reloaded").is_empty()));
    let s = hub.lock();
    let first = s.view.commits().nth(1).unwrap().0;
    assert!(!s.view.state(first).unwrap().1.contains(&id("north")), "north confirmed what it had wrong");
    let of = s.view.last_commit().0;
    assert!(s.view.state(of).unwrap().1.contains(&id("north")), "north is right at the end");
}

/// A bit of the kept O flips after it was reported: computing again would give the same wrong value, so it is read elsewhere.
/// The run checkpoint that was written of the wrong state is written anew.
#[test]
fn a_damaged_kept_state_is_reloaded() {
    for sites in [&["north", "south"][..], &["north", "south", "west"]] {
        let dir = tempfile::tempdir().unwrap();
        let flip = json!({"round": 1, "chunk": 1, "when": "kept"});
        let (_, all, hub) = run(dir.path(), sites, flip);
        let seen = all[0].events("reproduced");
        assert_eq!(seen[0]["round"], 2, "{seen:?}");
        assert!(said(&seen[0], "recomputed").is_empty(), "the kept state is damaged: {seen:?}");
        for what in ["differing", "reloaded", "replaced"] {
            assert_eq!(said(&seen[0], what), ["theta[0]", "u[0]"], "{what}");
        }
        let s = hub.lock();
        let second = s.view.commits().nth(2).unwrap().0;
        let (right, _) = s.view.state(second).unwrap();
        let stored = s.sites[&id("north")].report.as_ref().unwrap().checkpoints.clone();
        assert!(stored.iter().any(|c| c.seq == second && c.state == right), "{stored:?}");
    }
}

/// A vector of two chunks, the second of them short: contributions, digests and states go chunk by chunk, and of a state
/// that two sites computed differently only the second chunk is read and computed again.
#[test]
fn of_several_chunks_only_the_one_that_differs_is_computed_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = common::spec(4, 2, 2);
    // 3 × 512 × 2800 weights and some: more than the 4 Mi elements of a chunk.
    spec.model.config.hidden_size = 512;
    spec.model.config.intermediate_size = 2800;
    let flip = json!({"round": 1, "chunk": 1, "when": "computed"});
    let (_, all, hub) = run_of(dir.path(), &spec, &["north", "south"], &flip);
    let seen = all[0].events("reproduced");
    for what in ["differing", "recomputed", "replaced"] {
        assert_eq!(said(&seen[0], what), ["theta[1]"], "{what}");
    }
    assert!(said(&seen[0], "reloaded").is_empty());
    let s = hub.lock();
    let store = BlockingStore::open(&Location::Folder(s.sites[&id("south")].store.clone())).unwrap();
    let mut read = 0;
    for (_, _, commit) in s.view.commits() {
        let Commit::Outer(o) = commit else { continue };
        for i in &o.included {
            let (m, delta) =
                store.wait(contribution::load(store.store(), s.view.run(), &i.key, Some(i.digest))).unwrap();
            assert_eq!((m.chunks.len(), delta.len() as u64), (2, s.view.genesis().elements));
            read += 1;
        }
    }
    assert!(read >= 3, "{read} contributions of two sites in two rounds");
    let (_, confirmers) = s.view.state(s.view.last_commit().0).unwrap();
    assert_eq!(confirmers.len(), 2, "both ended with the same state");
}
