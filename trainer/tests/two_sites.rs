//! Two sites, whole processes, contributions exchanged through files: rounds commit, kills change nothing, a site that is
//! left out carries its work on once and takes the others' the second time. The hub asserts after every commit that both
//! sites report the same state digest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests fail by panicking, like tests.
mod common;

use std::path::Path;
use std::time::Duration;

use coalition_protocol::history::Commit;
use coalition_protocol::{Digest, SiteId, exit};
use common::hub::Hub;
use common::process::{Supervisor, start};

/// No test waits longer for one thing: the slowest machine of the gate is ten times slower than the usual one.
const LIMIT: Duration = Duration::from_mins(2);
/// The first two names of pretended sites.
const SITES: [&str; 2] = ["north", "south"];

fn id(name: &str) -> SiteId {
    name.parse().unwrap()
}

fn begin(dir: &Path, rounds: u64, pause: u64) -> (Hub, Vec<Supervisor>) {
    let spec = common::spec(4, rounds, 2);
    let hub = common::run(dir, &spec, &[("north", 1), ("south", 1)], 4);
    let all = SITES.iter().map(|s| start(dir, &hub, &hub.gateway(&id(s)), s, 0, pause)).collect();
    (hub, all)
}

fn finish(hub: &Hub, all: &mut [Supervisor], rounds: u64) -> Digest {
    hub.wait("the end of the run", LIMIT, |s| s.view.ended().is_some());
    for s in all.iter_mut() {
        assert_eq!(s.end(LIMIT), i32::from(exit::FINISHED));
    }
    common::audit(hub, &common::spec(4, rounds, 2));
    let s = hub.lock();
    assert_eq!(s.view.tokens(), s.view.genesis().budget);
    s.view.ended().unwrap().state.unwrap()
}

#[test]
fn kills_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, mut all) = begin(dir.path(), 4, 0);
    let expected = finish(&hub, &mut all, 4);
    let dir = tempfile::tempdir().unwrap();
    let (hub, mut all) = begin(dir.path(), 4, 20);
    for victim in [0, 1, 0] {
        let steps = all[victim].count("step");
        all[victim].wait("step", steps + 3, LIMIT);
        all[victim].kill_worker();
    }
    // At the snapshot: offered, and killed before the commit.
    let offers = all[1].count("offered");
    if hub.lock().view.ended().is_none() && offers < 4 {
        all[1].wait("offered", offers, LIMIT);
        all[1].kill_worker();
    }
    assert_eq!(finish(&hub, &mut all, 4), expected);
}

/// Left out once, twice, and back: the hub's checks of tokens, leases and batch hashes hold, and states stay equal.
#[test]
fn a_site_that_is_left_out_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, mut all) = begin(dir.path(), 6, 0);
    let rounds = |hub: &Hub, n| hub.wait("rounds", LIMIT, move |s| s.view.last_round().0 >= n);
    rounds(&hub, 1);
    hub.change(|s| s.site(&id("north")).silent = true);
    let now = hub.lock().view.last_round().0;
    // Once: its work stays.
    rounds(&hub, now + 1);
    hub.change(|s| s.site(&id("north")).silent = false);
    rounds(&hub, now + 2);
    finish(&hub, &mut all, 6);
    let s = hub.lock();
    let (mut left_out, mut late) = (0, 0);
    for (_, _, commit) in s.view.commits() {
        if let Commit::Outer(o) = commit {
            left_out += o.left_out.len();
            late += o.included.iter().filter(|i| i.used.len() > 1).count();
        }
    }
    assert!(left_out >= 1, "north was never left out");
    assert!(late >= 1, "no contribution carried late work: {}", s.describe());
}

#[test]
fn a_site_that_is_left_out_twice_takes_the_others_state() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, mut all) = begin(dir.path(), 6, 0);
    hub.change(|s| s.site(&id("south")).silent = true);
    hub.wait("two rounds without south", LIMIT, |s| s.view.last_round().0 >= 2);
    hub.change(|s| s.site(&id("south")).silent = false);
    finish(&hub, &mut all, 6);
    let s = hub.lock();
    let returned =
        s.view.commits().any(|(_, _, c)| matches!(c, Commit::Outer(o) if o.left_out.iter().any(|l| l.returned)));
    assert!(returned, "south was never left out twice");
}
