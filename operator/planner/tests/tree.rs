//! What planner, outer and protocol may never depend on, read from cargo's own metadata: decisions and arithmetic that can
//! reach a clock, a socket or a die are no longer functions.
#![allow(clippy::unwrap_used)]
use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand, PackageId};

const NEVER: [&str; 9] =
    ["tokio", "kube-client", "hyper", "reqwest", "ureq", "rand", "rand_core", "getrandom", "object_store"];

/// Names of everything `root` needs to run: normal dependencies, all the way down, as resolved for this workspace.
fn tree(root: &str) -> BTreeSet<String> {
    let meta = MetadataCommand::new().manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).exec().unwrap();
    let names: BTreeMap<&PackageId, &str> = meta.packages.iter().map(|p| (&p.id, p.name.as_str())).collect();
    let nodes: BTreeMap<&PackageId, _> = meta.resolve.as_ref().unwrap().nodes.iter().map(|n| (&n.id, n)).collect();
    let mut todo = vec![names.iter().find(|(_, n)| **n == root).unwrap().0.to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(id) = todo.pop() {
        for d in &nodes[id].deps {
            let normal = d.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal);
            // Procedural macros run in the compiler, never in the program.
            let package = meta.packages.iter().find(|p| p.id == d.pkg).unwrap();
            let is_macro = package.targets.iter().all(|t| t.is_proc_macro() || t.is_custom_build());
            if normal && !is_macro && seen.insert(names[&d.pkg].to_owned()) {
                todo.push(nodes.get_key_value(&d.pkg).unwrap().0);
            }
        }
    }
    seen
}

#[test]
fn decisions_and_arithmetic_cannot_reach_a_clock_a_socket_or_a_die() {
    for (root, allowed) in [
        ("coalition-planner", &[] as &[&str]),
        ("coalition-outer", &[]),
        ("coalition-protocol", &[]),
        ("coalition-spec", &[]),
    ] {
        let tree = tree(root);
        assert!(tree.len() > 5, "{root}: the tree was not read");
        let bad: Vec<_> = NEVER.iter().filter(|n| tree.contains(**n) && !allowed.contains(n)).collect();
        assert!(bad.is_empty(), "{root} depends on {bad:?}");
    }
    assert!(tree("coalition-gateway").contains("tokio"), "the check sees what is there");
}
