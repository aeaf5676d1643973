//! Result files, `e2e/bench/results/NAME.json`: what was measured, beside what, against which bar, on which machine.
//!
//! A figure in the README comes from such a file. Whether a bar holds is computed here from the numbers, never stated.

use crate::build::root;
use crate::proc;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One result file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResultFile {
    /// Name of the bench or campaign; also the file's name.
    pub bench: String,
    /// Commit measured, `-dirty` when the tree differed from it.
    pub commit: String,
    /// When it was finished, UTC.
    pub date: String,
    /// Processor, cores and memory, in words.
    pub machine: String,
    /// Versions of what took part.
    pub versions: BTreeMap<String, String>,
    /// The figures.
    pub rows: Vec<Row>,
}

/// One figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// Unit of `ours` and `peer`.
    pub unit: String,
    /// Our figure.
    pub ours: f64,
    /// The peer's figure, where there is one.
    pub peer: Option<f64>,
    /// Who the peer is.
    pub peer_name: Option<String>,
    /// Ours over the peer's: of paired rounds the median, as `spread` says.
    pub ratio: Option<f64>,
    /// Ours over the peer's of each pair, in the order they were measured; empty without pairs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<f64>,
    /// How far the figures scatter, in words.
    pub spread: String,
    /// The bar, as `OP NUMBER` against `ours` or `OP NUMBER peer` against `ratio`; empty without one.
    pub bar: String,
    /// Whether the bar holds; `None` without a bar.
    pub holds: Option<bool>,
    /// What a reader must know: the inputs, what is simulated, why a bar was missed.
    pub note: String,
}

impl Row {
    /// A figure without a peer.
    pub fn alone(name: &str, unit: &str, ours: f64) -> Self {
        Self {
            name: name.to_owned(),
            unit: unit.to_owned(),
            ours,
            peer: None,
            peer_name: None,
            ratio: None,
            pairs: Vec::new(),
            spread: String::new(),
            bar: String::new(),
            holds: None,
            note: String::new(),
        }
    }

    /// Adds the peer's figure and the ratio.
    pub fn beside(mut self, name: &str, peer: f64, ratio: f64) -> Self {
        self.peer = Some(peer);
        self.peer_name = Some(name.to_owned());
        self.ratio = Some(ratio);
        self
    }

    /// Adds the ratio of each pair.
    pub fn pairs(mut self, pairs: Vec<f64>) -> Self {
        self.pairs = pairs;
        self
    }

    /// Adds the scatter.
    pub fn spread(mut self, text: &str) -> Self {
        text.clone_into(&mut self.spread);
        self
    }

    /// Adds a note.
    pub fn note(mut self, text: &str) -> Self {
        text.clone_into(&mut self.note);
        self
    }

    /// Adds the bar and computes whether it holds.
    pub fn bar(mut self, bar: &str) -> Result<Self> {
        self.holds = Some(judge(bar, self.ours, self.ratio)?);
        bar.clone_into(&mut self.bar);
        Ok(self)
    }
}

/// Whether `bar` holds for a figure or for its ratio to the peer's.
fn judge(bar: &str, ours: f64, ratio: Option<f64>) -> Result<bool> {
    let words: Vec<&str> = bar.split_whitespace().collect();
    let (op, number, value) = match words.as_slice() {
        [op, number] => (op, number, ours),
        [op, number, "peer"] => (op, number, ratio.with_context(|| format!("the bar `{bar}` needs a peer's figure"))?),
        _ => bail!("a bar reads `OP NUMBER` or `OP NUMBER peer`, not `{bar}`"),
    };
    let bound: f64 = number.parse().with_context(|| format!("`{number}` in the bar `{bar}` is not a number"))?;
    match *op {
        "<=" => Ok(value <= bound),
        "<" => Ok(value < bound),
        ">=" => Ok(value >= bound),
        ">" => Ok(value > bound),
        "=" => Ok(value == bound),
        _ => bail!("the bar `{bar}` begins with none of <= < >= > ="),
    }
}

/// Folder of the committed result files.
pub fn folder() -> PathBuf {
    root().join("e2e/bench/results")
}

/// Writes `rows` as the result of `bench` and returns the file's path.
pub fn write(bench: &str, versions: BTreeMap<String, String>, rows: Vec<Row>) -> Result<PathBuf> {
    let file = ResultFile {
        bench: bench.to_owned(),
        commit: commit()?,
        date: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        machine: machine(),
        versions,
        rows,
    };
    let text = serde_json::to_string_pretty(&file).context("a result holds a number JSON cannot express")?;
    fs::create_dir_all(folder()).context("cannot make the folder of the results")?;
    let path = folder().join(format!("{bench}.json"));
    let tmp = path.with_extension("json.part");
    fs::write(&tmp, text + "\n").with_context(|| format!("cannot write {}", tmp.display()))?;
    fs::rename(&tmp, &path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Reads all result files in `folder`, by name. A file that does not follow the form is an error, as is a bar whose
/// stated outcome is not what its numbers say.
pub fn read_all(folder: &Path) -> Result<Vec<ResultFile>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| format!("cannot list {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<ResultFile> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file: ResultFile =
        serde_json::from_str(&text).with_context(|| format!("{} is not a result file", path.display()))?;
    if path.file_stem().is_none_or(|stem| stem != file.bench.as_str()) {
        bail!("{} says it is the result of `{}`", path.display(), file.bench);
    }
    for row in &file.rows {
        let says = if row.bar.is_empty() { None } else { Some(judge(&row.bar, row.ours, row.ratio)?) };
        if says != row.holds {
            bail!("{}: row `{}` states holds: {:?}, its numbers say {says:?}", path.display(), row.name, row.holds);
        }
    }
    Ok(file)
}

/// Ends the name of a commit from which the tree differs: such a name does not say what was measured.
pub const DIRTY: &str = "-dirty";

/// The commit of the tree, with [`DIRTY`] if the tree differs from it.
pub fn commit() -> Result<String> {
    let git =
        |args: &[&str]| proc::capture(Command::new("git").args(args).current_dir(root()), "ask git for the commit");
    let head = git(&["rev-parse", "--short=12", "HEAD"])?.trim().to_owned();
    // Result files themselves are written while measuring and change nothing that is measured.
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", ".", ":!e2e/bench/results"])?;
    Ok(if changed.trim().is_empty() { head } else { format!("{head}{DIRTY}") })
}

/// Processor, cores and memory of this machine, in words. No host name: it says nothing to a reader.
pub fn machine() -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let field = |text: &str, name: &str| {
        text.lines().find(|l| l.starts_with(name)).and_then(|l| l.split(':').nth(1)).map(|v| v.trim().to_owned())
    };
    let cpu = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kib: u64 = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|v| v.split_whitespace().next().and_then(|n| n.parse().ok()))
        .unwrap_or(0);
    format!("{cpu}, {cores} cores, {} GiB memory, {}", kib >> 20, std::env::consts::OS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_judged_from_the_numbers() {
        assert!(judge("<= 1.0", 0.9, None).unwrap());
        assert!(!judge(">= 0.95 peer", 100.0, Some(0.94)).unwrap());
        assert!(judge("= 0", 0.0, None).unwrap());
        assert!(judge("< 1 peer", 0.0, None).is_err(), "a bar against a peer needs one");
        assert!(judge("about 3", 3.0, None).is_err());
        assert!(!judge("<= 1", f64::NAN, None).unwrap(), "not a number holds nothing");
    }

    #[test]
    fn a_file_that_claims_what_its_numbers_do_not_say_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let row = Row::alone("speed", "tokens/s", 90.0).beside("peer", 100.0, 0.9).bar(">= 0.95 peer").unwrap();
        assert_eq!(row.holds, Some(false));
        let mut file = ResultFile {
            bench: "speed".into(),
            commit: "0".into(),
            date: "2026-01-01T00:00:00Z".into(),
            machine: "m".into(),
            versions: BTreeMap::new(),
            rows: vec![row],
        };
        let path = dir.path().join("speed.json");
        fs::write(&path, serde_json::to_string(&file).unwrap()).unwrap();
        assert_eq!(read_all(dir.path()).unwrap().len(), 1);
        file.rows[0].holds = Some(true);
        fs::write(&path, serde_json::to_string(&file).unwrap()).unwrap();
        assert!(read_all(dir.path()).unwrap_err().to_string().contains("its numbers say"));
    }

    #[test]
    fn every_committed_result_file_follows_the_form() {
        read_all(&folder()).unwrap();
    }
}
