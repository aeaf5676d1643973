//! The arrows of ARCHITECTURE.md hold: what a crate must never learn is not in its dependency tree, nor in that of
//! anything it uses. Read from cargo itself, so a leak shows as a failed test, not as a review comment. And every source file
//! says first what it is for, and is short enough to be read whole.

#![allow(clippy::expect_used)] // a check that cannot ask cargo has failed

use cargo_metadata::MetadataCommand;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
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
/// What brings optimizers.
const OPTIMIZERS: &[&str] = &["coalition-kernels", "coalition-engine"];
/// The programs and those who know everybody.
const TOP: &[&str] = &["coalition-e2e", "xtask", "coalition-cli", "coalition-trainer"];

/// What every crate of the project has in its tree, or is: who must know none names these.
const EVERY: &[&str] =
    &["coalition-protocol", "coalition-crds", "coalition-comm", "coalition-kernels", "coalition-e2e"];

/// All of the project but the protocol: what carries a run out.
const OURS: &[&str] = &[
    "coalition-planner",
    "coalition-gateway",
    "coalition-courier",
    "coalition-local",
    "coalition-spec",
    "coalition-comm",
    "coalition-kernels",
    "coalition-model",
    "coalition-engine",
    "coalition-outer",
    "coalition-data",
    "coalition-store",
];

/// (crate, what its tree must not hold)
const NEVER: &[(&str, &[&[&str]])] = &[
    // Schemas are for whoever carries messages as objects, and asked for by name: a trainer knows none.
    ("coalition-protocol", &[WORLD, TENSORS, KUBERNETES, TOP, &["schemars"]]),
    ("coalition-planner", &[WORLD, TENSORS, TOP]),
    ("coalition-outer", &[WORLD, TENSORS, KUBERNETES, TOP]),
    ("coalition-crds", &[WORLD, TENSORS, TOP, OURS]),
    ("coalition-spec", &[WORLD, TENSORS, KUBERNETES, TOP]),
    ("coalition-kernels", &[WORLD, TENSORS, KUBERNETES, TOP, &["coalition-model"]]),
    ("coalition-comm", &[TENSORS, KUBERNETES, TOP, &["coalition-model", "coalition-engine"]]),
    (
        "coalition-model",
        &[
            KUBERNETES,
            TOP,
            &["coalition-store", "coalition-data", "coalition-comm", "object_store", "tokio"],
            OPTIMIZERS,
        ],
    ),
    (
        "coalition-engine",
        &[KUBERNETES, TOP, &["coalition-outer", "coalition-store", "coalition-data", "object_store", "tokio"]],
    ),
    (
        "coalition-data",
        &[
            TENSORS,
            KUBERNETES,
            TOP,
            &["coalition-model", "coalition-engine", "coalition-store", "object_store", "tokio"],
        ],
    ),
    ("coalition-store", &[TENSORS, KUBERNETES, TOP, &["coalition-model", "coalition-engine"]]),
    (
        "coalition-gateway",
        &[
            TENSORS,
            TOP,
            &["kube-client", "coalition-model", "coalition-engine", "coalition-planner", "coalition-courier"],
        ],
    ),
    ("coalition-courier", &[TENSORS, KUBERNETES, TOP, &["coalition-model", "coalition-engine", "coalition-planner"]]),
    ("coalition-kit", &[TENSORS, TOP, OURS, &["coalition-crds", "coalition-protocol"]]),
    (
        "coalition-hub",
        &[
            TENSORS,
            TOP,
            &["coalition-gateway", "coalition-courier", "coalition-store", "coalition-local", "coalition-site"],
        ],
    ),
    ("coalition-site", &[TENSORS, TOP, &["coalition-hub", "coalition-local", "coalition-model", "coalition-engine"]]),
    ("coalition-operator", &[TENSORS, TOP, &["coalition-local", "coalition-model", "coalition-engine"]]),
    ("coalition-local", &[TENSORS, TOP, &["kube-client", "coalition-model", "coalition-engine"]]),
    (
        "coalition-cli",
        &[TENSORS, &["coalition-model", "coalition-engine", "coalition-trainer", "coalition-e2e", "xtask"]],
    ),
    (
        "coalition-trainer",
        &[KUBERNETES, &["coalition-planner", "coalition-gateway", "coalition-local", "coalition-e2e", "xtask"]],
    ),
    (
        "coalition-cluster",
        &[TENSORS, TOP, EVERY, &["coalition-planner", "coalition-gateway", "coalition-local", "coalition-model"]],
    ),
    // It sees what users see: the API, pods, logs.
    (
        "coalition-suites",
        &[
            TENSORS,
            TOP,
            &["coalition-planner", "coalition-gateway", "coalition-local", "coalition-hub", "coalition-site"],
        ],
    ),
    // It sees what Helm renders and what an API server makes of it.
    (
        "coalition-charts",
        &[TENSORS, TOP, OURS, &["coalition-crds", "coalition-protocol", "coalition-hub", "coalition-site"]],
    ),
    ("xtask", &[TENSORS, KUBERNETES, WORLD, EVERY, &["coalition-cluster"]]),
];

/// What of the standard library brings clocks, files, sockets, processes: no dependency tree shows it.
const OUTSIDE: &[&str] = &["std::fs", "std::net", "std::env", "std::process", "Instant::now", "SystemTime"];

/// (sources, what they must not name of the standard library)
const NEVER_NAMED: &[(&str, &[&str])] = &[
    ("trainer/protocol/src", OUTSIDE),
    ("trainer/outer/src", OUTSIDE),
    ("operator/planner/src", OUTSIDE),
    ("trainer/spec/src", OUTSIDE),
    ("trainer/model/src", OUTSIDE),
    // How long a phase took is measured there.
    ("trainer/engine/src", &["std::fs", "std::net", "std::env", "std::process"]),
];

/// The names in the tree of normal dependencies of `name`, with the features it has when built alone: what its code may call.
/// (`cargo metadata` joins the features that all crates of the workspace ask for, which shows leaks that are none.)
fn tree(name: &str) -> BTreeSet<String> {
    let out = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", name, "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--target", "x86_64-unknown-linux-gnu"])
        .current_dir(ROOT)
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

/// The root of the sources.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Lines that a source file may have: what one can read at a sitting and hold in mind.
const LINES: usize = 300;

/// Every Rust file below `folder`, but for what is hidden or built.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the sources") {
        let entry = entry.expect("an entry");
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() && !name.starts_with('.') && name != "target" {
            sources(&path, found);
        } else if kind.is_file() && path.extension().is_some_and(|x| x == "rs") {
            found.push(path);
        }
    }
}

/// What is wrong with the form of a source file.
fn misshapen(text: &str) -> Option<String> {
    let lines = text.lines().count();
    if !text.starts_with("//!") {
        return Some("does not begin with `//!` and what it is for".to_owned());
    }
    (lines > LINES).then(|| format!("has {lines} lines, more than {LINES}: split it by what its parts are for"))
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
fn what_is_pure_names_nothing_outside() {
    let mut found = Vec::new();
    for (folder, never) in NEVER_NAMED {
        let mut all = Vec::new();
        sources(&Path::new(ROOT).join(folder), &mut all);
        assert!(!all.is_empty(), "{folder} has no sources");
        for path in all {
            let text = std::fs::read_to_string(&path).expect("text");
            found.extend(never.iter().filter(|n| text.contains(**n)).map(|n| format!("{} names {n}", path.display())));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A test that is set aside is in no count: neither run nor skipped.
#[test]
fn no_test_is_set_aside() {
    let mut all = Vec::new();
    sources(Path::new(ROOT), &mut all);
    // In two parts, so that this line is not found.
    let mark = concat!("#[ign", "ore");
    let found: Vec<_> = all.iter().filter(|p| std::fs::read_to_string(p).expect("text").contains(mark)).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn every_crate_of_the_project_stands_in_the_table() {
    for name in members() {
        // `e2e` may know everybody.
        assert!(name == "coalition-e2e" || NEVER.iter().any(|(n, _)| *n == name), "{name} has no line in the table");
    }
}

#[test]
fn every_source_says_what_it_is_for_and_is_short() {
    let mut all = Vec::new();
    sources(Path::new(ROOT), &mut all);
    let wrong: Vec<String> = all
        .iter()
        .filter_map(|path| {
            let what = misshapen(&std::fs::read_to_string(path).expect("text"))?;
            Some(format!("{} {what}", path.strip_prefix(ROOT).unwrap_or(path).display()))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(all.iter().any(|p| p.ends_with("e2e/tests/layers.rs")), "the walk does not find this file");
    assert!(misshapen("use std::fs;\n").is_some() && misshapen(&"//! x\n".repeat(LINES + 1)).is_some());
}

#[test]
fn the_check_sees_a_leak() {
    // The trainer does use tensors, the command line does use tokio: the walk reaches through several crates.
    assert!(!leaks(&tree("coalition-trainer"), &[TENSORS]).is_empty());
    assert!(!leaks(&tree("coalition-cli"), &[&["tokio"]]).is_empty());
    assert!(!leaks(&tree("coalition-local"), &[&["hyper"]]).is_empty());
    // The API does carry messages, and describes them.
    assert!(tree("coalition-crds").is_superset(&["coalition-protocol", "schemars"].map(str::to_owned).into()));
}
