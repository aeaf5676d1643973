//! A site that is heard and cannot do its part, through the programs as a person meets it: the others go on after the grace, the
//! reason told is the true one, and the site takes part again once it can.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use coalition_e2e::manifest::Small;
use coalition_e2e::run::Run;
use coalition_e2e::{programs, wait};
use coalition_protocol::SiteId;
use common::{Disk, REFUSED, output};

/// Seconds until a silent site is replaced: rounds that go on within [`SOON`] did not wait for that.
const REPLACE: u64 = 600;
/// Some rounds with their windows, on a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(90);

/// A run whose site south has a disk of its own as store; none, said aloud, where this user may not mount.
fn with_a_disk(folder: &Path, small: &Small) -> Option<(Run, Disk)> {
    let run = Run::prepare(folder, small).unwrap().with(&["--plain", "--step-pause", "20"]);
    let store = run.folder().store("south");
    std::fs::create_dir_all(store.parent().unwrap()).unwrap();
    Some((run, Disk::mount(store, "size=64m")?))
}

fn remount(disk: &Disk, how: &str) {
    let done = Command::new("mount").arg("-o").arg(format!("remount,{how}")).arg(&disk.0).status().unwrap();
    assert!(done.success(), "remount,{how}");
}

#[test]
fn a_store_that_turns_read_only_stops_one_site_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let small = Small { rounds: 16, replace_after: REPLACE, ..Small::default() };
    let Some((mut run, disk)) = with_a_disk(folder.path(), &small) else { return };
    run.start().unwrap();
    run.until("two rounds", SOON, |v| v.last_round().0 >= 2).unwrap();
    remount(&disk, "ro");
    let before = run.folder().view().unwrap().last_round().0;
    let status = || {
        let out = output(Command::new(programs::cli().unwrap()).arg("status").arg(run.dir()), REFUSED);
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let told = wait::until("the true reason", SOON, || {
        let said = status();
        assert!(!said.contains("PeersUnreachable"), "{said}");
        Ok((said.contains("is read-only") && said.contains("its own store")).then_some(said))
    });
    told.unwrap_or_else(|e| panic!("{e:#}: {}", status()));
    run.until("three rounds without south", SOON, |v| v.last_round().0 >= before + 3).unwrap();
    remount(&disk, "rw");
    run.finish(Duration::from_mins(4)).unwrap();
    let view = run.folder().view().unwrap();
    let end = view.ended().unwrap();
    assert_eq!(end.confirmers.len(), 2, "south has the last checkpoint too: {end:?}");
}

/// Mended by nobody: the run ends all the same, without a second copy of the last checkpoint, once the site was given up.
#[test]
fn a_store_that_stays_read_only_does_not_keep_a_run_from_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let Some((mut run, disk)) = with_a_disk(folder.path(), &Small { replace_after: 10, ..Small::default() }) else {
        return;
    };
    run.start().unwrap();
    run.until("two rounds", SOON, |v| v.last_round().0 >= 2).unwrap();
    remount(&disk, "ro");
    run.finish(Duration::from_mins(4)).unwrap();
    let view = run.folder().view().unwrap();
    let names: Vec<&str> = view.ended().unwrap().confirmers.iter().map(SiteId::as_str).collect();
    assert_eq!(names, ["north"]);
    assert!(run.output().contains("StoreFails"), "{}", run.tail());
}
