//! Files of the hub that are damaged or gone: what is made good, and what is refused with a way out.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use std::path::Path;
use std::sync::Arc;

use coalition_local::{Ending, Runner, Snapshot};
use coalition_protocol::messages::SiteReport;
use coalition_protocol::{Attempt, Incarnation, Seq};
use common::{Bench, LONG, Shape, check_ledger, finish, site, trained};

fn damage(path: &Path) {
    std::fs::write(path, "{\"half").expect("written");
}

/// A run of some rounds, stopped: nothing is written to the folder any more.
async fn begun(bench: &Bench) {
    let runner = bench.start().await;
    trained(&runner, 3).await;
    runner.stop();
    assert_eq!(finish(&runner).await.expect("stopped"), Ending::Suspended);
}

/// The newest attempt that a kept report names.
fn kept_attempt(report: &Path) -> Attempt {
    let text = std::fs::read(report).expect("a report");
    serde_json::from_slice::<SiteReport>(&text).expect("a report").gang.attempt
}

async fn told(runner: &Runner, reason: &str) -> Arc<Snapshot> {
    runner.wait_for(LONG, |s| s.events.iter().any(|e| e.event.reason == reason)).await.expect("it is told")
}

fn message(s: &Snapshot, reason: &str) -> String {
    s.events.iter().find(|e| e.event.reason == reason).map(|e| e.event.message.clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_memory_and_reports_block_nothing() {
    let bench = Bench::new(&Shape { rounds: 16, pause: 10, ..Shape::default() });
    begun(&bench).await;
    let layout = bench.layout();
    let (memory, report) = (layout.memory(), layout.report(&site("south")));
    damage(&memory);
    damage(&report);
    damage(&layout.gang(&site("north")));
    let attempt = kept_attempt(&layout.report(&site("north")));
    let runner = bench.start().await;
    let seen = told(&runner, "ReportDamaged").await;
    assert!(message(&seen, "ReportDamaged").contains(&report.display().to_string()));
    assert!(message(&seen, "MemoryDamaged").contains(&memory.display().to_string()));
    told(&runner, "GangDamaged").await;
    assert!(seen.seconds > 0.0, "the clock goes on from the status");
    assert_eq!(finish(&runner).await.expect("a good end"), Ending::Complete);
    let view = bench.view();
    check_ledger(&view);
    assert_eq!(view.incarnation(&site("south")), Some(Incarnation(1)), "its store was there: nothing was lost");
    assert!(kept_attempt(&layout.report(&site("north"))) > attempt, "attempts rise, whatever the note says");
}

/// Its report alone remembered that the store had been opened (D8): with the report damaged or gone, the loss shows all the
/// same.
async fn the_loss_shows(spoil: impl Fn(&Path)) {
    let bench = Bench::new(&Shape { rounds: 24, pause: 10, ..Shape::default() });
    begun(&bench).await;
    let (layout, south) = (bench.layout(), site("south"));
    spoil(&layout.report(&south));
    std::fs::remove_dir_all(layout.store(&south)).expect("removed");
    let runner = bench.start().await;
    assert_eq!(finish(&runner).await.expect("a good end"), Ending::Complete);
    let view = bench.view();
    check_ledger(&view);
    assert_eq!(view.incarnation(&south), Some(Incarnation(2)), "it was assigned anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_report_hides_no_lost_store() {
    the_loss_shows(damage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_is_gone_hides_no_lost_store() {
    the_loss_shows(|report| std::fs::remove_file(report).expect("removed")).await;
}

/// What was charged before is not charged again because the note of it is damaged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_not_charged_twice_when_the_memory_is_damaged() {
    let more = "  failurePolicy: {maxRestarts: 1000}\n";
    let mut bench = Bench::new(&Shape { rounds: 16, pause: 10, more, ..Shape::default() });
    bench.options.test = serde_json::json!({"failWith": 70});
    let runner = bench.start().await;
    let charged = runner.wait_for(LONG, |s| s.status.restarts_charged >= 3).await.expect("failures are charged");
    assert!(charged.status.restarts_charged >= 3);
    runner.shut_down().await;
    drop(runner);
    damage(&bench.layout().memory());
    bench.options.test = serde_json::json!({"stepPauseMillis": 10});
    let runner = bench.start().await;
    assert_eq!(finish(&runner).await.expect("a good end"), Ending::Complete);
    let last = runner.snapshot().borrow().status.restarts_charged;
    // Failures that the last reports did not bring any more count as new; those that they brought do not.
    assert!(last < 3, "{last} are charged anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hole_in_the_history_is_named_with_the_way_out() {
    let bench = Bench::new(&Shape { rounds: 14, pause: 10, ..Shape::default() });
    begun(&bench).await;
    let layout = bench.layout();
    let last = bench.view().head().seq.0;
    let hole = last - 2;
    std::fs::remove_file(layout.record(Seq(hole))).expect("removed");
    let e = Runner::start(&bench.options).await.expect_err("refused");
    let (path, after) = (layout.record(Seq(hole)).display().to_string(), format!("{} to {last}", hole + 1));
    for word in [path.as_str(), "missing", &after, "copy", "move those out"] {
        assert!(e.to_string().contains(word), "{word:?} is missing in: {e}");
    }
    // The way out that needs no copy: with the rest out of the folder, the stores bring back what they mirror.
    let aside = bench.folder.path().join("aside");
    std::fs::create_dir(&aside).expect("a folder");
    for n in hole + 1..=last {
        let path = layout.record(Seq(n));
        std::fs::rename(&path, aside.join(path.file_name().expect("a name"))).expect("moved");
    }
    let runner = bench.start().await;
    told(&runner, "RecordsRestored").await;
    assert_eq!(finish(&runner).await.expect("a good end"), Ending::Complete);
    check_ledger(&bench.view());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_is_gone_comes_back_from_a_mirror() {
    let bench = Bench::new(&Shape { rounds: 14, pause: 10, ..Shape::default() });
    begun(&bench).await;
    let (layout, before) = (bench.layout(), bench.view());
    std::fs::remove_dir_all(layout.history()).expect("removed");
    let runner = bench.start().await;
    told(&runner, "RecordsRestored").await;
    assert_eq!(finish(&runner).await.expect("a good end"), Ending::Complete);
    let view = bench.view();
    check_ledger(&view);
    let first = coalition_protocol::history::Head { seq: Seq(2), ..before.head() };
    assert_eq!(view.digest_of(first.seq), before.digest_of(first.seq), "the same run goes on");
    assert_eq!(view.incarnation(&site("north")), Some(Incarnation(1)));
}

/// Under another key it would be another history with the same name, beside the one that every store holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_key_no_second_history_is_begun() {
    let bench = Bench::new(&Shape { rounds: 14, pause: 10, ..Shape::default() });
    begun(&bench).await;
    let layout = bench.layout();
    std::fs::remove_dir_all(layout.hub()).expect("removed");
    let e = Runner::start(&bench.options).await.expect_err("refused");
    for word in ["mirrors", "key", "copy", "generate", "another metadata.name"] {
        assert!(e.to_string().contains(word), "{word:?} is missing in: {e}");
    }
    assert!(!layout.key().exists() && !layout.record(Seq(0)).exists(), "nothing was begun");
}

/// A worker that finds its store damaged, with nothing else to go on from, says so by its exit code: the site begins anew under its
/// next incarnation, and nothing is charged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_damaged_beyond_use_counts_as_lost() {
    let mut bench = Bench::new(&Shape { rounds: 24, pause: 10, ..Shape::default() });
    begun(&bench).await;
    let south = site("south");
    let mark = bench.layout().store(&south).join("damaged");
    std::fs::write(&mark, "").expect("written");
    bench.options.test = serde_json::json!({"stepPauseMillis": 10, "failWith": 66, "failWhile": "damaged"});
    let runner = bench.start().await;
    let seen = told(&runner, "StoreDamaged").await;
    assert!(message(&seen, "StoreDamaged").contains("south"), "{}", message(&seen, "StoreDamaged"));
    std::fs::remove_file(&mark).expect("removed");
    assert_eq!(finish(&runner).await.expect("a good end"), Ending::Complete);
    let view = bench.view();
    check_ledger(&view);
    assert!(view.incarnation(&south) > Some(Incarnation(1)), "it was assigned anew");
    assert_eq!(view.incarnation(&site("north")), Some(Incarnation(1)));
    assert_eq!(runner.snapshot().borrow().status.restarts_charged, 0, "a disk is nobody's fault");
}

/// The notes of what was resolved are made again from the manifest beside them; a budget still only rises.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_notes_of_the_manifest_block_nothing_and_lower_no_budget() {
    let mut bench = Bench::new(&Shape { rounds: 14, pause: 10, ..Shape::default() });
    begun(&bench).await;
    let layout = bench.layout();
    std::fs::remove_file(layout.resolved()).expect("removed");
    let given = bench.options.manifest.clone();
    std::fs::write(given.as_ref().expect("a manifest"), common::manifest(&Shape { rounds: 4, ..Shape::default() }))
        .expect("written");
    let e = Runner::start(&bench.options).await.expect_err("a lower budget").to_string();
    assert!(e.contains("spec.training.tokens") && e.contains("may only rise"), "{e}");
    damage(&layout.resolved());
    bench.options.manifest = None;
    // Where the data lies stood in the note alone.
    bench.options.data = [("words".to_owned(), bench.folder.path().join("words"))].into();
    let runner = bench.start().await;
    assert_eq!(finish(&runner).await.expect("a good end"), Ending::Complete);
}

/// A program that is no trainer, or cannot start: each of its ends is another failure, and the budget ends the run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trainer_that_cannot_start_ends_the_run_with_its_last_words() {
    use std::os::unix::fs::PermissionsExt as _;
    for (script, code) in [("echo it cannot load >&2; exit 127", "127"), ("exit 0", "70")] {
        let more = "  failurePolicy: {maxRestarts: 2}\n";
        let mut bench = Bench::new(&Shape { sites: 1, more, ..Shape::default() });
        let program = bench.folder.path().join("trainer.sh");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a program");
        bench.options.trainer = Some(program);
        let runner = bench.start().await;
        assert_eq!(finish(&runner).await.expect("an end"), Ending::Failed, "{script}");
        let why = runner.snapshot().borrow().status.message.clone();
        assert!(why.contains(&format!("exit code {code}")), "{script}: {why}");
        assert!(code != "127" || why.contains("it cannot load"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_newest_record_may_be_moved_away() {
    let bench = Bench::new(&Shape { rounds: 14, pause: 10, ..Shape::default() });
    begun(&bench).await;
    let last = bench.layout().record(bench.view().head().seq);
    damage(&last);
    let e = Runner::start(&bench.options).await.expect_err("refused").to_string();
    assert!(e.contains("copy") && e.contains("newest, move it away"), "{e}");
    std::fs::remove_file(&last).expect("removed");
    let runner = bench.start().await;
    assert_eq!(finish(&runner).await.expect("a good end"), Ending::Complete);
}

/// What a courier cannot do is told once, in its own words, and the site goes on once it can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_cannot_be_mirrored_is_told() {
    let bench = Bench::new(&Shape { rounds: 24, pause: 10, ..Shape::default() });
    begun(&bench).await;
    let next = bench.mirror("south", bench.view().head().seq.next());
    std::fs::create_dir_all(next.join("in the way")).expect("a folder");
    let runner = bench.start().await;
    let seen = told(&runner, "HistoryNotMirrored").await;
    assert!(message(&seen, "HistoryNotMirrored").starts_with("south: "), "{}", message(&seen, "HistoryNotMirrored"));
    std::fs::remove_dir_all(&next).expect("removed");
    assert_eq!(finish(&runner).await.expect("a good end"), Ending::Complete);
    let times = runner.snapshot().borrow().events.iter().filter(|e| e.event.reason == "HistoryNotMirrored").count();
    assert_eq!(times, 1, "told once, not with every pass");
    assert!(next.is_file(), "mirrored since");
}
