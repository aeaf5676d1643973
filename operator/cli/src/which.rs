//! Where the run is that a word names: on this machine or in a cluster. One rule, so that nobody has to guess: a path, or the name
//! of a run below `.coalition` here, is a local run; any other name is a TrainingRun; and who says which cluster, means it.
use std::path::{Path, PathBuf};

use coalition_local::LocalError;

use crate::args::{Logs, Reach, Status};
use crate::cluster::connect;
use crate::find;
use crate::out::note;
use crate::style;

/// Where a run is.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// In this state folder.
    Local(PathBuf),
    /// In the cluster, under this name; without one, whatever the verb makes of that.
    Cluster(Option<String>),
}

/// The run that a word means; without one, the only run here, else what the cluster has.
pub fn run(word: Option<&str>, reach: &Reach) -> Result<Place, LocalError> {
    place(word, reach.is_given(), connect::is_configured())
}

/// The same for `status`, which may be about all.
pub fn status(s: &Status) -> Result<Place, LocalError> {
    place(s.run.as_deref(), s.reach.is_given() || s.all_namespaces, connect::is_configured())
}

fn place(word: Option<&str>, is_cluster: bool, configured: bool) -> Result<Place, LocalError> {
    let named = || Place::Cluster(word.map(str::to_owned));
    if is_cluster {
        return Ok(named());
    }
    match find::run(Path::new(word.unwrap_or("."))) {
        Ok(dir) => {
            // Somebody with a cluster may have meant the run there.
            if configured && word.is_none_or(|w| !is_path(w)) {
                let text = format!("(the local run in {}; -n NAMESPACE means a cluster's)", dir.display());
                note!("{}", style::faint(&text));
            }
            Ok(Place::Local(dir))
        }
        Err(e) if !configured || word.is_some_and(|w| is_path(w) || Path::new(w).exists()) => Err(e),
        // Several runs here: one of them is meant.
        Err(e) if word.is_none() && find::is_any() => Err(e),
        Err(_) => Ok(named()),
    }
}

/// True for a word that can be no object's name: somebody means a file or folder.
fn is_path(word: &str) -> bool {
    word.contains(std::path::MAIN_SEPARATOR) || word == "." || word == ".."
}

/// The run and the site that `logs` is about. One word alone is a run, or a site of the only run here.
pub fn logs(l: &Logs) -> Result<(Place, Option<String>), LocalError> {
    let (given, configured) = (l.reach.is_given() || l.site_context.is_some(), connect::is_configured());
    let site = Some(l.first.clone());
    let Some(second) = &l.second else {
        if !given && find::run(Path::new(&l.first)).is_err() && find::site("logs", &l.first, Path::new(".")).is_ok() {
            return Ok((place(None, given, configured)?, site));
        }
        let found = place(Some(&l.first), given, configured);
        if found.is_err() && find::run(Path::new(".")).is_ok() {
            // Where no cluster is, a word that is no run was meant as a site of the run here.
            find::site("logs", &l.first, Path::new("."))?;
        }
        return found.map(|p| (p, None));
    };
    let swapped = !given && find::run(Path::new(second)).is_err() && find::run(Path::new(&l.first)).is_ok();
    if swapped {
        // It says so.
        find::site("logs", &l.first, Path::new(second))?;
    }
    Ok((place(Some(second), given, configured)?, site))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_clusters_run_and_a_path_never_is() {
        // No run lies where tests are run.
        for (word, is_cluster, configured, expected) in [
            (Some("mine"), false, true, Some(Place::Cluster(Some("mine".to_owned())))),
            (Some("mine"), false, false, None),
            (Some("mine"), true, false, Some(Place::Cluster(Some("mine".to_owned())))),
            (Some("./mine"), false, true, None),
            (Some("."), false, true, None),
            (Some("Cargo.toml"), false, true, None),
            (None, false, true, Some(Place::Cluster(None))),
            (None, false, false, None),
        ] {
            assert_eq!(place(word, is_cluster, configured).ok(), expected, "{word:?} {is_cluster} {configured}");
        }
    }
}
