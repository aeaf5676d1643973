//! Manifests that a cluster takes and one machine does not: refused by name, never ignored.
#![allow(clippy::unwrap_used)]
use std::path::Path;

use coalition_local::manifest::{check, one};
use rstest::rstest;

const QUICKSTART: &str = include_str!("../../../crds/examples/quickstart.yaml");

#[rstest]
#[case::suspend(
    "  sites:\n",
    "  suspend: true\n  sites:\n",
    "spec.suspend: true: is for clusters",
    "`kubectl-coalition stop` suspends"
)]
#[case::ttl(
    "  sites:\n",
    "  ttlSecondsAfterFinished: 60\n  sites:\n",
    "spec.ttlSecondsAfterFinished: 60: is for clusters: nothing is removed here",
    "its folder is yours to delete"
)]
#[case::image(
    "  sites:\n",
    "  trainer: {image: \"a/b:1\"}\n  sites:\n",
    "spec.trainer.image: a/b:1: is for clusters",
    "give the program with --trainer"
)]
#[case::resources(
    "      workers: 2\n",
    "      workers: 2\n      resources: {limits: {memory: 4Gi}}\n",
    "spec.siteTemplates[0].resources: is for clusters",
    "cpuThreads bounds what a worker computes with"
)]
fn what_only_a_cluster_does(#[case] from: &str, #[case] to: &str, #[case] want: &str, #[case] way_out: &str) {
    assert!(QUICKSTART.contains(from), "the quick start no longer contains {from:?}");
    let text = QUICKSTART.replacen(from, to, 1);
    // A manifest for a cluster: `validate` finds no mistake in it.
    assert_eq!(check(&text).unwrap()[0].cluster_only.len(), 1);
    let e = one(Path::new("run.yaml"), &text).unwrap_err().to_string();
    let line = text.lines().position(|l| !QUICKSTART.lines().any(|q| q == l)).unwrap() + 1;
    assert!(e.contains(want) && e.contains(way_out) && e.contains(&format!("line {line}:")), "{e}");
}

#[test]
fn what_says_nothing_new_is_taken() {
    let text = QUICKSTART.replacen("  sites:\n", "  suspend: false\n  trainer: {}\n  sites:\n", 1);
    assert!(one(Path::new("run.yaml"), &text).is_ok());
    // A checkpoint cannot be adopted anywhere yet: that is a problem of the manifest.
    let text = QUICKSTART.replacen("init: {seed: 1}", "init: {from: {checkpoint: other-50}}", 1);
    let problems = check(&text).unwrap_err().problems;
    assert!(problems.iter().any(|p| p.field == "spec.model.init.from.checkpoint"), "{problems:#?}");
}
