//! The arrows of ARCHITECTURE.md hold: what a crate must never learn is not in its dependency tree, nor in that of
//! anything it uses. Read from cargo itself, so a leak shows as a failed test, not as a review comment.

#![allow(clippy::expect_used)] // a check that cannot ask cargo has failed

use cargo_metadata::MetadataCommand;
use std::collections::BTreeSet;
use std::process::Command;

/// What brings clients, time or randomness.
const WORLD: &[&str] = &[
    "tokio",
    "kube-client",
    "kube-runtime",
    "rand",
    "rand_core",
    "getrandom",
    "reqwest",
    "hyper",
    "ureq",
    "axum",
    "object_store",
];
/// What brings tensors.
const TENSORS: &[&str] = &["tch", "torch-sys"];
/// What brings Kubernetes.
const KUBERNETES: &[&str] = &["kube", "kube-core", "kube-client", "k8s-openapi", "coalition-crds"];
/// The programs and those who know everybody.
const TOP: &[&str] = &["coalition-e2e", "xtask", "coalition-cli", "coalition-trainer"];

/// What every crate of the project has in its tree, or is: who must know none names these.
const EVERY: &[&str] =
    &["coalition-protocol", "coalition-crds", "coalition-comm", "coalition-kernels", "coalition-e2e"];

/// (crate, what its tree must not hold)
const NEVER: &[(&str, &[&[&str]])] = &[
    ("coalition-protocol", &[WORLD, TENSORS, KUBERNETES, TOP]),
    ("coalition-planner", &[WORLD, TENSORS, TOP]),
    ("coalition-outer", &[WORLD, TENSORS, KUBERNETES, TOP]),
    ("coalition-crds", &[WORLD, TENSORS, TOP]),
    ("coalition-spec", &[WORLD, TENSORS, KUBERNETES, TOP]),
    ("coalition-kernels", &[WORLD, TENSORS, KUBERNETES, TOP, &["coalition-model"]]),
    ("coalition-comm", &[TENSORS, KUBERNETES, TOP, &["coalition-model", "coalition-engine"]]),
    (
        "coalition-model",
        &[KUBERNETES, TOP, &["coalition-store", "coalition-data", "coalition-comm", "object_store", "tokio"]],
    ),
    ("coalition-engine", &[KUBERNETES, TOP, &["coalition-store", "coalition-data", "object_store", "tokio"]]),
    ("coalition-data", &[TENSORS, KUBERNETES, TOP, &["coalition-model", "coalition-engine", "tokio"]]),
    ("coalition-store", &[TENSORS, KUBERNETES, TOP, &["coalition-model", "coalition-engine"]]),
    (
        "coalition-gateway",
        &[TENSORS, TOP, &["kube-client", "coalition-model", "coalition-engine", "coalition-planner"]],
    ),
    ("coalition-courier", &[TENSORS, KUBERNETES, TOP, &["coalition-model", "coalition-engine", "coalition-planner"]]),
    ("coalition-local", &[TENSORS, TOP, &["kube-client", "coalition-model", "coalition-engine"]]),
    (
        "coalition-cli",
        &[TENSORS, &["coalition-model", "coalition-engine", "coalition-trainer", "coalition-e2e", "xtask"]],
    ),
    (
        "coalition-trainer",
        &[KUBERNETES, &["coalition-planner", "coalition-gateway", "coalition-local", "coalition-e2e", "xtask"]],
    ),
    ("xtask", &[TENSORS, KUBERNETES, WORLD, EVERY]),
];

/// The names in the tree of normal dependencies of `name`, with the features it has when built alone: what its code may call.
/// (`cargo metadata` joins the features that all crates of the workspace ask for, which shows leaks that are none.)
fn tree(name: &str) -> BTreeSet<String> {
    let out = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", name, "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--target", "x86_64-unknown-linux-gnu"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo tree");
    assert!(out.status.success(), "cargo tree: {}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).expect("names");
    let mut names: BTreeSet<String> = text.lines().filter_map(|l| l.split(' ').next()).map(str::to_owned).collect();
    assert!(names.remove(name), "{name} is not in its own tree");
    names
}

/// Every crate of the project.
fn members() -> Vec<String> {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata");
    metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect()
}

/// What of `never` is in `tree`.
fn leaks<'a>(tree: &BTreeSet<String>, never: &[&[&'a str]]) -> Vec<&'a str> {
    never.iter().copied().flatten().copied().filter(|name| tree.contains(*name)).collect()
}

#[test]
fn no_crate_learns_what_it_must_not() {
    let mut found = Vec::new();
    for (name, never) in NEVER {
        for leak in leaks(&tree(name), never) {
            found.push(format!("{name} has {leak} in its tree (see `cargo tree -p {name} -i {leak}`)"));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_crate_of_the_project_stands_in_the_table() {
    for name in members() {
        // `e2e` may know everybody.
        assert!(name == "coalition-e2e" || NEVER.iter().any(|(n, _)| *n == name), "{name} has no line in the table");
    }
}

#[test]
fn the_check_sees_a_leak() {
    // The trainer does use tensors, the command line does use tokio: the walk reaches through several crates.
    assert!(!leaks(&tree("coalition-trainer"), &[TENSORS]).is_empty());
    assert!(!leaks(&tree("coalition-cli"), &[&["tokio"]]).is_empty());
    assert!(!leaks(&tree("coalition-local"), &[&["hyper"]]).is_empty());
}
