//! What there is to write text from, told to whoever named something else: the runs and checkpoints of a store, and the stores near
//! a folder. Only looks; must not know models.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use coalition_data::shell;
use coalition_protocol::RunId;
use coalition_store::{BlockingStore, run_checkpoint};

/// Most names that a message lists.
const NAMED: usize = 8;

/// The run checkpoints of a store by run, as the end of a sentence.
pub fn runs(store: &BlockingStore) -> String {
    let objects = store.wait(store.store().list("runs")).unwrap_or_default();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let runs = objects.iter().filter_map(|o| o.key.split('/').nth(1)?.parse::<RunId>().ok());
    for run in runs.collect::<std::collections::BTreeSet<_>>() {
        let seqs = store.wait(run_checkpoint::list(store.store(), &run)).unwrap_or_default();
        if !seqs.is_empty() {
            found.insert(run.to_string(), seqs.iter().map(ToString::to_string).collect());
        }
    }
    if found.is_empty() {
        return "it holds none of any run yet: the first is written after keep.everyRounds rounds of the run's CheckpointPolicy, and \
                one at the run's end"
            .to_owned();
    }
    let told = found.iter().map(|(run, seqs)| format!("run {run}, of records {}", bounded(seqs, ", ")));
    format!("it holds those of {}", bounded(&told.collect::<Vec<_>>(), "; "))
}

/// Stores at or near a folder that is none, as a sentence: people name the run's folder, a site's, or one that is mistyped.
pub fn near(folder: &Path) -> String {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    // From the state folder of a run down to a store, and from within a store up.
    let found = folder.ancestors().take(5).find_map(|at| {
        let stores = stores(at);
        (!stores.is_empty()).then_some(stores)
    });
    let Some(found) = found else {
        return "no site's store is near it: for a local run it is STATE/sites/SITE/store, the folder above `runs`"
            .to_owned();
    };
    let names: Vec<String> = found.iter().map(|p| shell::path(p)).collect();
    format!("stores near it: {}", bounded(&names, ", "))
}

/// The folder itself if it is a store, else the stores of the site or of the run that it belongs to.
fn stores(at: &Path) -> Vec<PathBuf> {
    let is_store = |p: &PathBuf| p.join("runs").is_dir();
    let sites = fs::read_dir(at.join("sites")).into_iter().flatten().flatten().map(|e| e.path().join("store"));
    let mut all: Vec<PathBuf> = [at.to_owned(), at.join("store")].into_iter().chain(sites).filter(is_store).collect();
    all.sort();
    all
}

fn bounded(names: &[String], between: &str) -> String {
    let mut shown: Vec<String> = names.iter().take(NAMED).cloned().collect();
    if names.len() > NAMED {
        shown.push(format!("{} more", names.len() - NAMED));
    }
    shown.join(between)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn stores_are_found_from_the_run_and_from_within() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("mine/sites/north/store");
        fs::create_dir_all(store.join("runs/mine/checkpoints")).unwrap();
        for from in ["mine", "mine/sites/north", "mine/sites/north/store/runs/mine", "mine/sites/nroth/store"] {
            let told = near(&dir.path().join(from));
            assert!(told.contains(&store.display().to_string()), "{from}: {told}");
        }
        assert!(near(&dir.path().join("other/deep/down/below/there")).contains("no site's store is near"));
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        assert_eq!(bounded(&names, ", "), "0, 1, 2, 3, 4, 5, 6, 7, 2 more");
    }
}
