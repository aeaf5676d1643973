//! Which run is meant: a state folder, or the name of a run that `local` or the quick start keeps below `.coalition`. Must not know
//! what is done with it.
use std::path::{Path, PathBuf};

use coalition_local::{Layout, LocalError, manifest, paste};
use coalition_protocol::SiteId;
use serde_json::Value;

use crate::logs;

/// Where `local` keeps the runs that were given no folder.
pub const RUNS: &str = ".coalition";
/// Most runs that a message names.
const NAMED: usize = 8;

/// A run below [`RUNS`].
struct Known {
    /// The folder's name there.
    name: String,
    /// The run's own, if it can be read.
    run: Option<String>,
    /// Its state folder.
    dir: PathBuf,
}

/// The state folder that `dir` means: itself; the run of that name below [`RUNS`]; for the current folder, the only run there.
pub fn run(dir: &Path) -> Result<PathBuf, LocalError> {
    if is_run(dir) {
        return Ok(dir.to_owned());
    }
    let mut known = known();
    let name = dir.to_str().unwrap_or_default();
    let asked = dir != Path::new(".");
    // A folder's name before the name of a run that lies in another one.
    let hit =
        known.iter().position(|k| k.name == name).or_else(|| known.iter().position(|k| k.run.as_deref() == Some(name)));
    match hit.filter(|_| asked).or((!asked && known.len() == 1).then_some(0)) {
        Some(n) => Ok(known.swap_remove(n).dir),
        None => Err(LocalError::Input {
            path: std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()),
            what: named_file(dir, &known).unwrap_or_else(|| missing(&known, asked)),
        }),
    }
}

/// The layout of the state folder that `dir` means.
pub fn layout(dir: &Path) -> Result<Layout, LocalError> {
    let dir = run(dir)?;
    Layout::new(&dir).map_err(|e| LocalError::read(&dir, &e))
}

/// The layout of the run that `dir` means, and its site `site`; `verb` is the command that asks, to say how it is written.
pub fn site(verb: &str, site: &str, dir: &Path) -> Result<(Layout, SiteId), LocalError> {
    let found = layout(dir);
    let there = found.as_ref().ok().and_then(|l| Some((l, site.parse::<SiteId>().ok()?)));
    if let Some((layout, id)) = there.filter(|(l, id)| l.site(id).is_dir()) {
        return Ok((layout.clone(), id));
    }
    // What stands where the site belongs may be the run.
    if let Ok(layout) = layout_of(site) {
        let sites = logs::sites(&layout);
        let second = dir.to_str().filter(|d| sites.iter().any(|s| s == d));
        let what = match second {
            Some(second) => {
                format!("the site comes first: `{}`", paste::command(&format!("{verb} {second}"), Path::new(site)))
            }
            None => format!(
                "this is a run, and a site of it comes first: `{}`; its sites are {}",
                paste::command(&format!("{verb} SITE"), Path::new(site)),
                sites.join(", ")
            ),
        };
        return Err(LocalError::Argument { argument: format!("{verb} {site}"), what });
    }
    Err(LocalError::NoSite { site: site.to_owned(), sites: logs::sites(&found?).join(", ") })
}

/// The run that a word names, not the one that happens to be here.
fn layout_of(word: &str) -> Result<Layout, LocalError> {
    layout(Path::new(if word == "." { "./" } else { word }))
}

/// The names of the runs below [`RUNS`] here.
pub fn names_here() -> Vec<String> {
    known().into_iter().map(|k| k.name).collect()
}

/// True if any run lies below [`RUNS`] here.
pub fn is_any() -> bool {
    !known().is_empty()
}

fn is_run(dir: &Path) -> bool {
    Layout::new(dir).is_ok_and(|l| l.resolved().is_file() || (l.manifest().is_file() && l.history().is_dir()))
}

/// Runs below [`RUNS`] here, by name: each in a folder of its own, or with other things in one, as the quick start's.
fn known() -> Vec<Known> {
    let Ok(entries) = std::fs::read_dir(RUNS) else { return Vec::new() };
    let at = |e: std::fs::DirEntry| {
        let dir = [e.path(), e.path().join("run")].into_iter().find(|d| is_run(d))?;
        Some(Known { name: e.file_name().to_string_lossy().into_owned(), run: name_in(&dir), dir })
    };
    let mut known: Vec<Known> = entries.flatten().filter_map(at).collect();
    known.sort_by(|a, b| a.name.cmp(&b.name));
    known
}

/// The run's own name, as `local` resolved it.
fn name_in(dir: &Path) -> Option<String> {
    let text = std::fs::read(Layout::new(dir).ok()?.resolved()).ok()?;
    Some(serde_json::from_slice::<Value>(&text).ok()?.get("run")?.as_str()?.to_owned())
}

/// What to do with a file where a run was expected: people give the manifest.
fn named_file(path: &Path, known: &[Known]) -> Option<String> {
    if !path.is_file() {
        return None;
    }
    let manifest = manifest::text(path).and_then(|text| manifest::one(path, &text));
    let Ok(resolved) = manifest else {
        return Some(format!("it is a file: name a state folder, or a run by its name{}", list(known)));
    };
    let run = resolved.run.to_string();
    Some(if known.iter().any(|k| k.name == run || k.run.as_deref() == Some(&run)) {
        format!("it is a manifest: name the run in it, {run}, or its state folder")
    } else {
        let start = format!("kubectl-coalition local {}", paste::path(path));
        format!(
            "it is a manifest, and its run, {run}, has no state folder below {RUNS} here: `{start}` starts it; one that was started \
             with --dir is found by that folder{}",
            list(known)
        )
    })
}

fn missing(known: &[Known], asked: bool) -> String {
    if !asked && known.len() > 1 {
        return format!("there are several runs below {RUNS}: name one of {}", names(known));
    }
    let here = if known.is_empty() {
        format!(", and there is none below {RUNS} here: go to the folder that the run was started in")
    } else {
        list(known)
    };
    format!(
        "it is not the state folder of a local run, nor the name of one{here}. A run that was started with --dir is found by that \
         folder, not by its name"
    )
}

/// The runs there are, as the end of a sentence; empty if there is none.
fn list(known: &[Known]) -> String {
    if known.is_empty() { String::new() } else { format!("; below {RUNS} here there are {}", names(known)) }
}

/// Their names, not too many.
fn names(known: &[Known]) -> String {
    let mut names: Vec<String> = known
        .iter()
        .take(NAMED)
        .map(|k| match &k.run {
            Some(run) if *run != k.name => format!("{} (run {run})", k.name),
            _ => k.name.clone(),
        })
        .collect();
    if known.len() > NAMED {
        names.push(format!("{} more", known.len() - NAMED));
    }
    names.join(", ")
}
