//! Whole runs on the fake trainer, with what can happen to them.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use std::time::Duration;

use coalition_local::{Ending, Runner};
use coalition_planner::status::{Phase, Reason, SiteState};
use coalition_protocol::Incarnation;
use coalition_protocol::history::Commit;
use common::{Bench, LONG, Shape, check_ledger, finish, included, manifest, site, trained};
use rustix::process::{Pid, Signal, kill_process};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sites_train_to_the_end_and_agree_on_every_state() {
    let bench = Bench::new(&Shape::default());
    let runner = bench.start().await;
    assert_eq!(finish(&runner).await.expect("a good end"), Ending::Complete);
    let view = bench.view();
    check_ledger(&view);
    assert_eq!(view.tokens(), view.genesis().budget);
    for (seq, _, commit) in view.commits() {
        let (_, confirmers) = view.state(seq).expect("every state is agreed on");
        assert_eq!(confirmers.len(), 2, "{commit:?}");
    }
    assert_eq!(view.ended().expect("an end").confirmers.len(), 2);
    assert!(runner.processes().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_site_alone_commits_steps() {
    let bench = Bench::new(&Shape { sites: 1, ..Shape::default() });
    let runner = bench.start().await;
    assert_eq!(finish(&runner).await.expect("a good end"), Ending::Complete);
    let view = bench.view();
    check_ledger(&view);
    assert!(view.commits().skip(1).all(|(_, _, c)| matches!(c, Commit::Step(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_loses_its_power_and_returns_under_its_incarnation() {
    let bench = Bench::new(&Shape { rounds: 24, pause: 20, ..Shape::default() });
    let runner = bench.start().await;
    let south = site("south");
    trained(&runner, 2).await;
    assert!(!runner.snapshot().borrow().events.iter().any(|t| t.event.reason == "SiteStarted"), "nobody asked for it");
    runner.kill_site(&south).await.expect("it was up");
    // Known at once, long before its silence is noticed.
    let down = runner.wait_for(LONG, |s| s.down.contains_key(&south)).await.expect("it is down");
    let line = down.status.sites.iter().find(|l| l.site == south).expect("its line");
    assert_eq!(line.state, SiteState::Silent);
    assert!(line.waiting_for.starts_with("`kubectl-coalition fault return south "), "{}", line.waiting_for);
    let alone = runner.wait_for(LONG, |s| s.status.left_out >= 2).await.expect("the other goes on");
    assert!(alone.status.round.0 > 2);
    runner.return_site(&south).await.expect("it comes up");
    let told = |s: &coalition_local::Snapshot| s.events.iter().any(|t| t.event.reason == "SiteStarted");
    runner
        .wait_for(LONG, |s| s.down.is_empty() && told(s))
        .await
        .expect("it is up, and that someone asked for it is told");
    assert_eq!(finish(&runner).await.expect("a good end"), Ending::Complete);
    let view = bench.view();
    check_ledger(&view);
    assert_eq!(view.incarnation(&south), Some(Incarnation(1)), "it was away for less than replaceAfterSeconds");
    let last: Vec<bool> = view
        .commits()
        .filter_map(|(_, _, c)| if let Commit::Outer(o) = c { Some(o.included.len() == 2) } else { None })
        .collect();
    assert!(last.last().copied().unwrap_or(false), "it took part again in the end: {last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_lost_its_store_is_assigned_anew() {
    let bench = Bench::new(&Shape { rounds: 30, pause: 20, ..Shape::default() });
    let runner = bench.start().await;
    let south = site("south");
    trained(&runner, 3).await;
    runner.kill_site(&south).await.expect("it was up");
    runner.lose_store(&south).await.expect("removed");
    runner.return_site(&south).await.expect("it comes up");
    runner
        .wait_for(LONG, |s| s.status.sites.iter().any(|l| l.site == south && l.incarnation == Incarnation(2)))
        .await
        .expect("it is assigned anew");
    assert_eq!(finish(&runner).await.expect("a good end"), Ending::Complete);
    let view = bench.view();
    check_ledger(&view);
    assert!(included(&view, &south) > 3, "it took part again: {}", included(&view, &south));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_lost_under_a_running_site_costs_one_incarnation() {
    let bench = Bench::new(&Shape { rounds: 30, pause: 20, ..Shape::default() });
    let runner = bench.start().await;
    let south = site("south");
    trained(&runner, 6).await;
    runner.lose_store(&south).await.expect("removed");
    assert_eq!(finish(&runner).await.expect("a good end"), Ending::Complete);
    let view = bench.view();
    check_ledger(&view);
    assert_eq!(view.incarnation(&south), Some(Incarnation(2)), "one loss, one new incarnation");
    let last: Vec<_> = view.commits().collect();
    let took_part = |c: &Commit| matches!(c, Commit::Outer(o) if o.included.iter().any(|i| i.key.site == south));
    assert!(last.iter().rev().take(5).any(|(.., c)| took_part(c)), "it takes part again before the end");
    let told = runner.snapshot().borrow().events.iter().any(|e| e.event.reason == "StoreRemoved");
    assert!(told, "whoever looks later knows what happened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_process_may_die_at_any_time() {
    let bench = Bench::new(&Shape { rounds: 20, pause: 10, ..Shape::default() });
    let runner = bench.start().await;
    // Supervisors and workers in turn, at the next change of the hub after each round.
    for n in 0..6u64 {
        if runner.wait_for(LONG, |s| s.status.round.0 > n).await.is_none() {
            break;
        }
        let all = runner.processes().await;
        let Some(p) = all.get(n as usize % all.len().max(1)) else { continue };
        let pid = if n % 2 == 0 { p.workers.first().copied() } else { Some(p.supervisor) };
        if let Some(pid) = pid.and_then(|p| i32::try_from(p).ok()).and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    assert_eq!(finish(&runner).await.expect("a good end"), Ending::Complete);
    let view = bench.view();
    check_ledger(&view);
    let status = runner.snapshot().borrow().status.clone();
    assert!(status.restarts_infrastructure > 0, "kills are seen");
    assert_eq!(status.restarts_charged, 0, "and not charged to the user");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runner_may_die_and_go_on() {
    let mut bench = Bench::new(&Shape { rounds: 16, pause: 10, ..Shape::default() });
    for n in 1..5 {
        let runner = bench.start().await;
        runner
            .wait_for(LONG, |s| s.status.round.0 >= n * 2 || s.status.phase.to_string() == "Complete")
            .await
            .expect("on");
        runner.shut_down().await;
        drop(runner);
        bench.options.manifest = None;
    }
    let runner = bench.start().await;
    assert_eq!(finish(&runner).await.expect("a good end"), Ending::Complete);
    check_ledger(&bench.view());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_the_hub_lost_come_back_from_a_mirror() {
    let bench = Bench::new(&Shape { rounds: 14, pause: 10, ..Shape::default() });
    let runner = bench.start().await;
    trained(&runner, 4).await;
    runner.shut_down().await;
    drop(runner);
    let lost = bench.lose_records(5);
    let mirrored: Vec<_> = lost.iter().filter(|(seq, ..)| bench.mirror("north", *seq).is_file()).collect();
    assert!(mirrored.len() >= 2, "of {} lost records {} are mirrored", lost.len(), mirrored.len());
    let runner = bench.start().await;
    runner
        .wait_for(LONG, |s| s.events.iter().any(|e| e.event.reason == "RecordsRestored"))
        .await
        .expect("it is told that the history was rolled back");
    assert_eq!(finish(&runner).await.expect("a good end"), Ending::Complete);
    for (seq, path, bytes) in mirrored {
        assert_eq!(&std::fs::read(path).expect("it is there again"), bytes, "record {seq} is the one it was");
    }
    check_ledger(&bench.view());
    assert_eq!(bench.view().tokens(), bench.view().genesis().budget);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_nobody_can_prove_is_never_forked() {
    let bench = Bench::new(&Shape { rounds: 14, pause: 10, ..Shape::default() });
    let runner = bench.start().await;
    trained(&runner, 3).await;
    runner.shut_down().await;
    drop(runner);
    let lost = bench.lose_records(4);
    for name in ["north", "south"] {
        let path = bench.mirror(name, lost[0].0);
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        // The same record with another word in it: its signature no longer fits.
        let other = text.replacen("\"epoch\":1", "\"epoch\":2", 1);
        assert_ne!(other, text);
        std::fs::write(path, other).expect("written");
    }
    let head = bench.view().head();
    let runner = bench.start().await;
    let told = runner
        .wait_for(LONG, |s| s.status.reason == Reason::HubRewound && s.status.phase == Phase::Stalled)
        .await
        .expect("it is told");
    assert!(told.status.message.contains("Nothing is appended"), "{}", told.status.message);
    let went_on = runner.wait_for(Duration::from_secs(2), |s| s.status.head != Some(head)).await;
    assert!(went_on.is_none(), "{went_on:?}");
    runner.shut_down().await;
    drop(runner);
    assert_eq!(bench.view().head(), head);
    // All of it gone: a second genesis would be a second run under the same name.
    bench.lose_records(usize::MAX);
    let e = coalition_local::Runner::start(&bench.options).await.expect_err("refused");
    assert!(e.to_string().contains("restore it from a copy"), "{e}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_saves_and_resume_goes_on() {
    let bench = Bench::new(&Shape { rounds: 12, pause: 10, ..Shape::default() });
    let runner = bench.start().await;
    trained(&runner, 2).await;
    runner.stop();
    assert_eq!(finish(&runner).await.expect("stopped"), Ending::Suspended);
    let before = bench.view().tokens();
    assert!(before < bench.view().genesis().budget);
    drop(runner);
    let runner = bench.start().await;
    assert_eq!(finish(&runner).await.expect("a good end"), Ending::Complete);
    check_ledger(&bench.view());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_cannot_work_fails_with_the_reason() {
    let more = "  failurePolicy:\n    rules: [{onExitCodes: [64], action: FailRun}]\n";
    let mut bench = Bench::new(&Shape { more, ..Shape::default() });
    bench.options.test = serde_json::json!({"failWith": 64});
    let runner = bench.start().await;
    assert_eq!(finish(&runner).await.expect("an end"), Ending::Failed);
    let end = bench.view().ended().cloned().expect("an end");
    assert!(end.message.contains("exit code 64 (bad configuration)"), "{}", end.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_runner_in_the_folder_is_refused() {
    let bench = Bench::new(&Shape { pause: 50, ..Shape::default() });
    let runner = bench.start().await;
    let e = coalition_local::Runner::start(&bench.options).await.expect_err("it is taken");
    assert_eq!(e.exit_code(), coalition_local::exit_code::UNAVAILABLE);
    assert!(e.to_string().contains(&std::process::id().to_string()), "{e}");
    runner.shut_down().await;
    let left = runner.wait_for(Duration::from_millis(1), |_| false).await;
    assert!(left.is_none());
}

/// A report that cannot be written is no secret: a person is told once for each site, with the path, and the run goes on
/// when it can be written again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_cannot_be_written_is_told_once() {
    let bench = Bench::new(&Shape { rounds: 24, pause: 20, ..Shape::default() });
    let runner = bench.start().await;
    trained(&runner, 1).await;
    let (reports, aside) = (bench.layout().reports(), bench.layout().hub().join("aside"));
    std::fs::rename(&reports, &aside).expect("moved");
    let told = |s: &coalition_local::Snapshot| {
        s.events.iter().filter(|t| t.event.reason == "ReportNotWritten").map(|t| t.event.clone()).collect::<Vec<_>>()
    };
    let seen = runner.wait_for(LONG, |s| told(s).len() >= 2).await.expect("both sites are told of");
    for event in told(&seen) {
        let site = event.site.expect("of a site");
        let path = bench.layout().report(&site).display().to_string();
        assert!(event.warning && event.message.contains(&path), "{}", event.message);
    }
    std::fs::rename(&aside, &reports).expect("moved back");
    assert_eq!(finish(&runner).await.expect("a good end"), Ending::Complete);
    assert_eq!(told(&runner.snapshot().borrow()).len(), 2, "once for each site");
}

/// A budget raised after the end is no way to go on, and the folder keeps what it held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_has_ended_takes_no_larger_budget() {
    let bench = Bench::new(&Shape { rounds: 4, ..Shape::default() });
    assert_eq!(finish(&bench.start().await).await.expect("a good end"), Ending::Complete);
    let stands = std::fs::read(bench.layout().resolved()).expect("resolved");
    let path = bench.options.manifest.clone().expect("a manifest");
    std::fs::write(&path, manifest(&Shape { rounds: 8, ..Shape::default() })).expect("written");
    let refused = Runner::start(&bench.options).await.expect_err("it has ended");
    assert_eq!(refused.exit_code(), coalition_local::exit_code::MANIFEST);
    let said = refused.to_string();
    for word in ["ended", "2048", "4096", "metadata.name", "--dir"] {
        assert!(said.contains(word), "{word:?} is missing in: {said}");
    }
    assert_eq!(std::fs::read(bench.layout().resolved()).expect("resolved"), stands);
    // The same budget shows the end again.
    std::fs::write(&path, manifest(&Shape { rounds: 4, ..Shape::default() })).expect("written");
    assert_eq!(finish(&bench.start().await).await.expect("a good end"), Ending::Complete);
}
