//! What is said to people who give a begun run another data set, moved its own away, or command a run that is over: the
//! mistake, where the right thing lies, and what to do. Must not know how a run goes.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use std::path::{Path, PathBuf};

use coalition_data::{PrepareOptions, Silent, prepare};
use coalition_local::control::{self, Command};
use coalition_local::{Ending, Layout, LocalError, Runner, exit_code, paste};
use common::{Bench, Shape, finish, site, trained};

/// A run that was begun, trained a little and was stopped.
async fn begun() -> Bench {
    let bench = Bench::new(&Shape { rounds: 12, pause: 10, ..Shape::default() });
    let runner = bench.start().await;
    trained(&runner, 1).await;
    runner.stop();
    assert_eq!(finish(&runner).await.expect("stopped"), Ending::Suspended);
    bench
}

/// A data set of this text in the folder, and the first characters of its digest.
fn other(folder: &Path, text: &str) -> (PathBuf, String) {
    let (source, out) = (folder.join(format!("{text}.txt")), folder.join(text));
    std::fs::write(&source, format!("{text} ").repeat(4000)).expect("written");
    let options = PrepareOptions { held_out_share: 0.0, ..PrepareOptions::new(vec![source], out.clone()) };
    prepare(&options, &Silent).expect("prepared");
    let digest = digest(&out);
    (out, digest)
}

fn digest(folder: &Path) -> String {
    let index = std::fs::read(folder.join("dataset.json")).expect("an index");
    let index: serde_json::Value = serde_json::from_slice(&index).expect("JSON");
    index["digest"].as_str().expect("a digest").to_owned()
}

async fn refused(bench: &Bench, code: u8, words: &[&str]) {
    let e = Runner::start(&bench.options).await.expect_err("it is refused");
    assert_eq!(e.exit_code(), code, "{e}");
    for word in words {
        assert!(e.to_string().contains(word), "{word:?} is missing in: {e}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_data_set_is_told_with_both_digests_and_the_folder_of_the_first() {
    let mut bench = begun().await;
    let first = bench.folder.path().join("words");
    let (folder, digest_of_other) = other(bench.folder.path(), "other");
    let digests = [digest(&first), digest_of_other].map(|d| d[..12].to_owned());
    bench.options.data = [("words".to_owned(), folder.clone())].into();
    let back = format!("`--data words={}`", paste::path(&first));
    let (here, name) = (folder.display().to_string(), "data set words");
    let stands = std::fs::read(bench.layout().resolved()).expect("resolved");
    refused(&bench, exit_code::MANIFEST, &[name, &here, &digests[0], &digests[1], &back, "metadata.name"]).await;
    assert_eq!(std::fs::read(bench.layout().resolved()).expect("resolved"), stands, "the right folder is still known");
    // Made anew where it was: no folder is right.
    bench.options.data.clear();
    let aside = bench.folder.path().join("aside");
    std::fs::rename(&first, &aside).expect("moved");
    std::fs::rename(&folder, &first).expect("moved");
    refused(&bench, exit_code::MANIFEST, &["made anew", "bring the former one back", "`--data words=DIR`"]).await;
    bench.options.data = [("words".to_owned(), aside)].into();
    assert_eq!(finish(&bench.start().await).await.expect("a good end"), Ending::Complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_set_that_was_moved_away_is_to_be_brought_back() {
    let mut bench = begun().await;
    let (first, moved) = (bench.folder.path().join("words"), bench.folder.path().join("moved"));
    std::fs::rename(&first, &moved).expect("moved");
    let lay = format!("lay in {}: bring it back", first.display());
    bench.options.manifest = None;
    for given in [None, Some(bench.folder.path().join("nowhere"))] {
        bench.options.data = given.into_iter().map(|d| ("words".to_owned(), d)).collect();
        let e = Runner::start(&bench.options).await.expect_err("it is gone").to_string();
        assert!(!e.contains("data prepare"), "another one cannot go on: {e}");
        refused(&bench, exit_code::DATA, &["data set words", &lay, "`--data words=DIR`"]).await;
    }
    bench.options.data = [("words".to_owned(), moved)].into();
    assert_eq!(finish(&bench.start().await).await.expect("a good end"), Ending::Complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_over_takes_no_command_and_needs_no_runner() {
    let bench = Bench::new(&Shape::default());
    let send = |layout: &Layout| -> Vec<LocalError> {
        let orders = [Command::Stop, Command::Kill { site: site("south") }];
        orders.iter().map(|o| control::send(layout, o).expect_err("nobody is there")).collect()
    };
    let runner = bench.start().await;
    assert_eq!(finish(&runner).await.expect("a good end"), Ending::Complete);
    drop(runner);
    for e in send(&bench.layout()) {
        assert_eq!(e.exit_code(), exit_code::UNAVAILABLE);
        let said = e.to_string();
        assert!(said.contains("is complete") && said.contains("nothing to stop"), "{said}");
        assert!(!said.contains("resume"), "nothing goes on there: {said}");
    }
    for e in send(&begun().await.layout()) {
        assert!(e.to_string().contains("resume"), "{e}");
    }
}
