//! What is in an image, as an SPDX 2.3 document: the crates of its program, the Debian packages, libtorch. Must not know how
//! an image is built.

use super::definition::{Definition, Image};
use crate::build::{cargo_program, root};
use crate::proc;
use crate::setup::libtorch;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::process::Command;

/// The document as text; the same sources give the same text.
pub fn text(definition: &Definition, image: &Image) -> Result<String> {
    let mut cargo = Command::new(cargo_program());
    cargo
        .args(["tree", "--locked", "--package", &image.program, "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}|{l}", "--target", "x86_64-unknown-linux-gnu"])
        .current_dir(root());
    let tree = proc::capture(&mut cargo, &format!("list the crates of {}", image.program))?;
    let mut packages: Vec<Value> = crates(&tree)?;
    for p in definition.packages_of(image)? {
        let mut found = package(&p.name, &p.version, "NOASSERTION", "deb", "debian/");
        found["checksums"] = json!([{"algorithm": "SHA256", "checksumValue": p.sha256}]);
        packages.push(found);
    }
    if image.libtorch {
        packages.push(package("libtorch", libtorch::VERSION, "BSD-3-Clause", "generic", ""));
    }
    let contains: Vec<Value> = packages
        .iter()
        .map(|p| json!({"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": p["SPDXID"]}))
        .collect();
    let document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("coalition-{}-{}", image.name, env!("CARGO_PKG_VERSION")),
        "documentNamespace": format!("https://coalition.training/spdx/{}-{}", image.name, env!("CARGO_PKG_VERSION")),
        // A fixed time, so that the same sources give the same image.
        "creationInfo": {"created": "1970-01-01T00:00:00Z", "creators": ["Tool: cargo-xtask-images"]},
        "packages": packages,
        "relationships": contains,
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// Each line of `cargo tree` once: `name vVERSION (…)|LICENCE`.
fn crates(tree: &str) -> Result<Vec<Value>> {
    let mut lines: Vec<&str> = tree.lines().filter(|l| !l.trim().is_empty()).collect();
    lines.sort_unstable();
    let mut found: Vec<Value> = Vec::new();
    for line in lines {
        let (what, licence) = line.split_once('|').with_context(|| format!("cargo tree printed `{line}`"))?;
        let mut words = what.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let licence = licence.trim_end_matches(" (*)").trim();
        let licence = if licence.is_empty() { "NOASSERTION" } else { licence };
        let next = package(name, version.trim_start_matches('v'), licence, "cargo", "");
        if found.last().is_none_or(|last| last["SPDXID"] != next["SPDXID"]) {
            found.push(next);
        }
    }
    Ok(found)
}

fn package(name: &str, version: &str, licence: &str, kind: &str, namespace: &str) -> Value {
    let id: String =
        format!("{kind}-{name}-{version}").chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    json!({
        "SPDXID": format!("SPDXRef-{id}"),
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        // `MIT/Apache-2.0` is how old crates write an alternative.
        "licenseDeclared": licence.replace('/', " OR "),
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": format!("pkg:{kind}/{namespace}{name}@{version}"),
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_stands_there_once_with_its_licence() {
        let tree = "coalition-trainer v0.1.0 (/somewhere)|Apache-2.0\nserde v1.0.1|MIT OR Apache-2.0\nold v0.1.0|MIT/Apache-2.0\n\
                    serde v1.0.1|MIT OR Apache-2.0 (*)\nserde v1.0.1 (*)|MIT OR Apache-2.0\n\n";
        let found = crates(tree).unwrap();
        let read: Vec<(&str, &str)> =
            found.iter().map(|p| (p["SPDXID"].as_str().unwrap(), p["licenseDeclared"].as_str().unwrap())).collect();
        assert_eq!(
            read,
            [
                ("SPDXRef-cargo-coalition-trainer-0-1-0", "Apache-2.0"),
                ("SPDXRef-cargo-old-0-1-0", "MIT OR Apache-2.0"),
                ("SPDXRef-cargo-serde-1-0-1", "MIT OR Apache-2.0"),
            ]
        );
        assert!(crates("something else").is_err());
    }
}
