//! What the operator's identities asked of the API server in one scenario, left as a small file for the test that compares it
//! with what the chart grants (e2e/charts/tests/rights.rs). Must not know what is granted.

use crate::installed::{Installed, SYSTEM};
use anyhow::{Context, Result};
use coalition_cluster::Asked;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Names the folder that the files go to. Without it nothing is written.
pub const VARIABLE: &str = "COALITION_USED_RIGHTS";

impl Drop for Installed {
    fn drop(&mut self) {
        let Some(folder) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return };
        // A scenario has ended, well or not: what could not be found out is for the comparison to say.
        let found = self.used().unwrap_or_else(|error| json!({"missing": format!("{error:#}")}));
        if let Err(error) = write(&folder, &self.title(), &found) {
            eprintln!("warning: what this scenario used is not known: {error:#}");
        }
    }
}

impl Installed {
    /// The scenario, as its program and its world are called: no two have the same.
    fn title(&self) -> String {
        let program = std::env::current_exe().unwrap_or_default();
        let stem = program.file_stem().unwrap_or_default().to_string_lossy();
        // Cargo adds a hash.
        let scenario = stem.rsplit_once('-').map_or(stem.as_ref(), |(name, _)| name);
        let world = self.world().folder().file_name().unwrap_or_default().to_string_lossy();
        format!("{scenario}-{world}")
    }

    /// What was installed, and what it used.
    fn used(&self) -> Result<Value> {
        let uses = summary(self.hub().asked()?);
        Ok(json!({"namespace": SYSTEM, "values": self.all_values()?, "uses": uses}))
    }
}

/// One row for everything that differs in more than the name of an object.
fn summary(asked: BTreeSet<Asked>) -> Vec<Value> {
    let mut rows: BTreeMap<Asked, BTreeSet<String>> = BTreeMap::new();
    for mut one in asked {
        let name = one.name.take();
        rows.entry(one).or_default().extend(name);
    }
    let rows = rows.into_iter().map(|(one, names)| {
        let Asked { account, verb, group, resource, namespace, path, code, .. } = one;
        json!({
            "account": account, "verb": verb, "group": group, "resource": resource, "namespace": namespace,
            "names": names, "path": path, "code": code,
        })
    });
    rows.collect()
}

fn write(folder: &Path, title: &str, found: &Value) -> Result<()> {
    let path = folder.join(format!("{title}.json"));
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(&path, format!("{found:#}\n")).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_the_name_alone_is_one_row() {
        let one = Asked { verb: "get".to_owned(), name: Some("a".to_owned()), code: 200, ..Asked::default() };
        let other = Asked { name: Some("b".to_owned()), ..one.clone() };
        let refused = Asked { code: 403, ..other.clone() };
        let rows = summary([one, other, refused].into());
        assert_eq!(rows.len(), 2, "{rows:?}");
        assert_eq!(rows[0]["names"], json!(["a", "b"]));
        assert_eq!(rows[1]["names"], json!(["b"]));
    }
}
