//! Trials of a bench or campaign, kept as they finish, so that an interrupted measurement goes on where it stopped.
//!
//! One JSON line a trial in `.coalition/measure/NAME.jsonl` in the clone. The first line says what was measured; trials of
//! another build are never mixed in, nor those of a tree with changes that no commit names: two such trees have one name.

use crate::build::root;
use crate::{results, say};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

/// The trials of one measurement.
pub struct Trials {
    path: PathBuf,
    file: File,
    done: BTreeMap<String, Value>,
}

impl Trials {
    /// Opens the trials called `name` of the build `build`, a commit as [`results::commit`] tells it. Trials of another build, all
    /// of a dirty tree, or all with `restart`, are dropped.
    pub fn open(name: &str, build: &str, restart: bool) -> Result<Self> {
        Self::open_at(root().join(".coalition/measure").join(format!("{name}.jsonl")), build, restart)
    }

    fn open_at(path: PathBuf, build: &str, restart: bool) -> Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        // A line that a kill cut short does not parse and is measured again.
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let dirty = build.ends_with(results::DIRTY);
        let same = lines.next().is_some_and(|head| head["build"] == build) && !restart && !dirty;
        let mut done = BTreeMap::new();
        if same {
            for line in lines {
                if let Some(key) = line["trial"].as_str() {
                    done.insert(key.to_owned(), line["value"].clone());
                }
            }
            if !done.is_empty() {
                say::line(&format!("going on: {} trials are done ({})", done.len(), path.display()));
            }
        } else if dirty && !text.is_empty() {
            say::line(
                "this tree differs from its commit, so earlier trials may be of other code: starting over (commit first)",
            );
        } else if !text.is_empty() {
            say::line("earlier trials were of another build or are not wanted: starting over");
        }
        // Written anew, so that a cut line at the end cannot swallow the next one.
        let tmp = path.with_extension("part");
        let mut all = format!("{}\n", json!({ "build": build }));
        for (trial, value) in &done {
            all.push_str(&json!({ "trial": trial, "value": value }).to_string());
            all.push('\n');
        }
        fs::write(&tmp, all).with_context(|| format!("cannot write {}", tmp.display()))?;
        fs::rename(&tmp, &path).with_context(|| format!("cannot write {}", path.display()))?;
        let file =
            OpenOptions::new().append(true).open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self { path, file, done })
    }

    /// The outcome of `trial`: the kept one, else that of `run`, which is then kept.
    pub fn get(&mut self, trial: &str, run: impl FnOnce() -> Result<Value>) -> Result<Value> {
        if let Some(value) = self.done.get(trial) {
            return Ok(value.clone());
        }
        let value = run().with_context(|| format!("trial {trial}"))?;
        writeln!(self.file, "{}", json!({ "trial": trial, "value": value }))
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        self.done.insert(trial.to_owned(), value.clone());
        Ok(value)
    }

    /// Whether `trial` is done.
    pub fn has(&self, trial: &str) -> bool {
        self.done.contains_key(trial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_are_done_once_and_survive_a_cut_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.jsonl");
        let mut trials = Trials::open_at(path.clone(), "a", false).unwrap();
        assert_eq!(trials.get("1", || Ok(json!(7))).unwrap(), json!(7));
        assert!(trials.get("2", || anyhow::bail!("broke")).is_err(), "a failed trial is not kept");
        drop(trials);
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("{\"trial\":\"2\",\"val");
        fs::write(&path, text).unwrap();

        let mut trials = Trials::open_at(path.clone(), "a", false).unwrap();
        assert_eq!(trials.get("1", || anyhow::bail!("measured again")).unwrap(), json!(7));
        assert_eq!(trials.get("2", || Ok(json!(8))).unwrap(), json!(8));
        drop(trials);
        assert!(Trials::open_at(path.clone(), "a", false).unwrap().has("2"), "the cut line did not swallow it");
        assert!(!Trials::open_at(path, "b", false).unwrap().has("1"), "another build starts over");
    }

    #[test]
    fn two_dirty_trees_of_one_commit_are_never_mixed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.jsonl");
        let mut trials = Trials::open_at(path.clone(), "a-dirty", false).unwrap();
        trials.get("1", || Ok(json!(7))).unwrap();
        drop(trials);
        assert!(!Trials::open_at(path, "a-dirty", false).unwrap().has("1"), "a dirty tree may hold anything");
    }
}
