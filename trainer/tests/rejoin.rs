//! A site that comes back without its place (D23), in whole runs of real processes: its own moments if they are at most two
//! rounds old, else zero ones that warm up over 50 steps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests fail by panicking, like tests.
mod common;

use std::path::Path;
use std::time::Duration;

use coalition_protocol::{Round, SiteId, exit};
use common::hub::Hub;
use common::process::{Supervisor, start};

const LIMIT: Duration = Duration::from_mins(2);
const SITES: [&str; 3] = ["north", "south", "west"];
const ROUNDS: u64 = 12;
/// D23.
const WARMUP: f64 = 50.0;

fn north() -> SiteId {
    "north".parse().unwrap()
}

/// Three sites, of which north is killed after two rounds. Without it and while it is not silent, no round commits.
fn begin(dir: &Path) -> (Hub, Vec<Supervisor>) {
    let spec = common::spec(4, ROUNDS, 3);
    let hub = common::run(dir, &spec, &SITES.map(|s| (s, 1)), 4);
    let mut all: Vec<_> = SITES.iter().map(|s| start(dir, &hub, &hub.gateway(&s.parse().unwrap()), s, 0, 0)).collect();
    hub.wait("two rounds", LIMIT, |s| s.view.last_round().0 >= 2);
    all[0].kill();
    (hub, all)
}

/// The others go on alone for exactly so many rounds.
fn without_north(hub: &Hub, rounds: u64) {
    let until = Round(hub.lock().view.last_round().0 + rounds);
    hub.change(|s| {
        s.hold_at = Some(until);
        s.site(&north()).silent = true;
    });
    hub.wait("rounds without north", LIMIT, |s| s.view.last_round() >= until);
    hub.change(|s| {
        s.site(&north()).silent = false;
        s.hold_at = None;
    });
}

/// North comes back and the run ends. Gives what it said when it was restored, and the learning rate of each step of its
/// first whole round after that, as a share of the one that south had at the same step.
fn back(hub: &Hub, all: &mut [Supervisor]) -> (serde_json::Value, Vec<f64>) {
    let before = all[0].count("step");
    all[0].restart();
    hub.wait("the end of the run", LIMIT, |s| s.view.ended().is_some());
    for s in all.iter_mut() {
        assert_eq!(s.end(LIMIT), i32::from(exit::FINISHED));
    }
    common::audit(hub, &common::spec(4, ROUNDS, 3));
    let steps = all[0].events("step").split_off(before);
    let round =
        steps.iter().find(|s| s["innerStep"] == 1).expect("no round was begun after the return")["round"].clone();
    let south = all[1].events("step");
    let shares = steps.iter().filter(|s| s["round"] == round).map(|own| {
        let same = |s: &&serde_json::Value| s["round"] == round && s["innerStep"] == own["innerStep"];
        let other = south.iter().find(same).expect("south did this step too");
        own["lr"].as_f64().unwrap() / other["lr"].as_f64().unwrap()
    });
    let shares = shares.collect();
    (all[0].events("restored")[1].clone(), shares)
}

fn warms_up(shares: &[f64]) {
    assert!(!shares.is_empty());
    for (n, share) in shares.iter().enumerate() {
        assert!((share - (n + 1) as f64 / WARMUP).abs() < 1e-9, "{shares:?}");
    }
}

/// Assigned anew at once: the moments of the retired incarnation go on, at the full learning rate.
#[test]
fn young_moments_of_a_retired_incarnation_are_taken_along() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, mut all) = begin(dir.path());
    hub.change(|s| s.assign_anew(&north()));
    let (restored, shares) = back(&hub, &mut all);
    assert_eq!((&restored["how"], &restored["moments"]), (&"outer".into(), &"own".into()));
    assert_eq!(shares, [1.0; 4]);
    assert_eq!(all[0].count("zeroed"), 0);
    let s = hub.lock();
    let report = s.sites[&north()].report.as_ref().unwrap();
    assert_eq!(report.progress.moments, Some(coalition_protocol::messages::Moments::Own));
    let log = dir.path().join("north/store/runs/tiny/log/1.1");
    let newest = std::fs::read_dir(log).unwrap().map(|e| e.unwrap().path()).max().unwrap();
    let last = std::fs::read_to_string(newest).unwrap();
    assert!(last.contains("\"attempt\":1"), "the retired incarnation's log was written to: {last}");
}

/// Assigned anew four rounds later: too old.
#[test]
fn old_moments_of_a_retired_incarnation_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, mut all) = begin(dir.path());
    without_north(&hub, 4);
    hub.change(|s| s.assign_anew(&north()));
    let (restored, shares) = back(&hub, &mut all);
    assert_eq!((&restored["how"], &restored["moments"]), (&"outer".into(), &"zero".into()));
    warms_up(&shares);
}

/// Young, but every checkpoint has a flipped bit.
#[test]
fn damaged_moments_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, mut all) = begin(dir.path());
    let mut flipped = 0;
    for entry in std::fs::read_dir(dir.path().join("north/store/runs/tiny/site/1.1")).unwrap() {
        let set = std::fs::read_dir(entry.unwrap().path()).unwrap().next().unwrap().unwrap().path();
        let file = set.join("v-00000.safetensors");
        // A killed save may have left less.
        let Ok(mut bytes) = std::fs::read(&file) else { continue };
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&file, bytes).unwrap();
        flipped += 1;
    }
    hub.change(|s| s.assign_anew(&north()));
    let (restored, shares) = back(&hub, &mut all);
    assert_eq!((&restored["how"], &restored["moments"]), (&"outer".into(), &"zero".into()));
    // A set that a killed save left whole is in no log.
    assert!((1..=flipped).contains(&all[0].count("damaged")), "{flipped} flipped");
    warms_up(&shares);
}

/// Left out four times, and back under its incarnation: restored exactly, then found too old at a commit.
#[test]
fn moments_of_a_site_long_left_out_are_zeroed() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, mut all) = begin(dir.path());
    without_north(&hub, 4);
    let (restored, shares) = back(&hub, &mut all);
    assert_eq!((&restored["how"], &restored["moments"]), (&"exact".into(), &"own".into()));
    assert_eq!(all[0].count("zeroed"), 1);
    warms_up(&shares);
}

/// Left out twice, and back: its moments are at most two rounds old and go on.
#[test]
fn moments_of_a_site_left_out_twice_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, mut all) = begin(dir.path());
    without_north(&hub, 2);
    let (restored, shares) = back(&hub, &mut all);
    assert_eq!((&restored["how"], &restored["moments"]), (&"exact".into(), &"own".into()));
    assert_eq!(all[0].count("zeroed"), 0);
    assert_eq!(shares, [1.0; 4]);
}
