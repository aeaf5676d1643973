//! Which run is meant: a state folder, or the name of a run that `local` keeps below `.coalition`.
use std::path::{Path, PathBuf};

use coalition_local::{Layout, LocalError};

/// Where `local` keeps the runs that were given no folder.
pub const RUNS: &str = ".coalition";

/// The state folder that `dir` means: itself; the run of that name below [`RUNS`]; for the current folder, the only run there.
pub fn run(dir: &Path) -> Result<PathBuf, LocalError> {
    if is_run(dir) {
        return Ok(dir.to_owned());
    }
    let named = Path::new(RUNS).join(dir);
    if dir.is_relative() && dir != Path::new(".") && is_run(&named) {
        return Ok(named);
    }
    let names = if dir == Path::new(".") { names() } else { Vec::new() };
    let what = match names.as_slice() {
        [one] => return Ok(Path::new(RUNS).join(one)),
        [] => "it is not the state folder of a local run. A run that was started with --dir is found by that folder, not by \
               its name; names are those of runs below .coalition in the current folder"
            .to_owned(),
        several => format!("there are several runs below {RUNS}: name one of {}", several.join(", ")),
    };
    Err(LocalError::Input { path: std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()), what })
}

/// The layout of the state folder that `dir` means.
pub fn layout(dir: &Path) -> Result<Layout, LocalError> {
    let dir = run(dir)?;
    Layout::new(&dir).map_err(|e| LocalError::read(&dir, &e))
}

fn is_run(dir: &Path) -> bool {
    Layout::new(dir).is_ok_and(|l| l.resolved().is_file() || (l.manifest().is_file() && l.history().is_dir()))
}

/// Names of the runs below [`RUNS`] here.
fn names() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(RUNS) else { return Vec::new() };
    let runs = entries.flatten().filter(|e| is_run(&e.path()));
    let mut names: Vec<String> = runs.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
