//! Nothing is left behind: neither after a world's end nor after its owner was killed.

use anyhow::{Context, Result};
use coalition_cluster::{Fault, Place, Spec, Target, World, tools, wait};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long the kernel may take to end a killed owner's world: half a second was seen.
const END: Duration = Duration::from_secs(30);
/// How long a cluster may take to be up.
const UP: Duration = Duration::from_mins(2);

/// A process for good: number and start time.
type Id = (i32, u64);

/// (process, its parent) of this whole machine.
fn processes() -> Vec<(Id, i32)> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    numbers
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let rest: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
            // A dead one that the machine's first process has not asked about yet is none.
            if *rest.first()? == "Z" {
                return None;
            }
            Some(((pid, rest.get(19)?.parse().ok()?), rest.get(1)?.parse().ok()?))
        })
        .collect()
}

/// All below `top`.
fn below(top: i32) -> BTreeSet<Id> {
    let all = processes();
    let mut found: BTreeSet<Id> = BTreeSet::new();
    loop {
        let before = found.len();
        for (id, parent) in &all {
            if *parent == top || found.iter().any(|(pid, _)| pid == parent) {
                found.insert(*id);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// The namespaces that some of `ids` are in and this test is not.
fn namespaces<'a>(ids: impl IntoIterator<Item = &'a Id>) -> BTreeSet<PathBuf> {
    let of = |pid: &str| {
        let kinds = ["net", "pid", "mnt", "uts", "ipc"].into_iter();
        kinds.filter_map(|kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()).collect::<BTreeSet<_>>()
    };
    let ours = of("self");
    let theirs = ids.into_iter().flat_map(|(pid, _)| of(&pid.to_string()));
    theirs.filter(|namespace| !ours.contains(namespace)).collect()
}

/// What of a world is still there, in words.
fn left(ids: &BTreeSet<Id>, spaces: &BTreeSet<PathBuf>, groups: &str) -> Vec<String> {
    let now: Vec<Id> = processes().into_iter().map(|(id, _)| id).collect();
    let mut found: Vec<String> =
        now.iter().filter(|id| ids.contains(id)).map(|(pid, _)| format!("process {pid}")).collect();
    found.extend(namespaces(&now).intersection(spaces).map(|space| space.display().to_string()));
    found.extend(cgroups(groups));
    found
}

fn cgroups(prefix: &str) -> Vec<String> {
    let tops = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let tops = tops.chain([PathBuf::from("/sys/fs/cgroup")]);
    let groups = tops.flat_map(|top| fs::read_dir(top).into_iter().flatten().filter_map(Result::ok));
    groups
        .filter(|group| group.file_name().to_string_lossy().starts_with(prefix))
        .map(|group| group.path().display().to_string())
        .collect()
}

fn groups(folder: &std::path::Path) -> String {
    format!("coalition-{}-", folder.file_name().unwrap_or_default().to_string_lossy())
}

#[test]
fn nothing_is_left_after_a_worlds_end() -> Result<()> {
    let Some(world) = World::start_or_skip()? else { return Ok(()) };
    let me = std::process::id().cast_signed();
    let (folder, groups) = (world.folder().to_owned(), groups(world.folder()));
    let north = world.cluster(Spec::whole("north", 1))?;
    let run = "--overrides={\"spec\":{\"terminationGracePeriodSeconds\":0}}";
    north.kubectl(&["run", "sleeps", "--image=local.test/busybox:1", run, "--", "-c", "sleep 1000"])?;
    north.kubectl(&["wait", "--for=condition=Ready", "pod/sleeps", "--timeout=60s"])?;
    north.apply(&Fault::Stop(Target::new(Place::Control, "etcd")))?;
    let ids = below(me);
    let spaces = namespaces(&ids);
    // A world, two machines and a pod: each with its own network; and a cluster is at least these programs, each with
    // the `nsenter` that waits for it.
    assert!(ids.len() > 16 && spaces.len() >= 14, "{} processes, {} namespaces", ids.len(), spaces.len());
    assert!(!cgroups(&groups).is_empty() && !left(&ids, &spaces, &groups).is_empty());
    drop(north);
    drop(world);
    assert_eq!(left(&ids, &spaces, &groups), Vec::<String>::new());
    assert!(!folder.exists(), "{} is left", folder.display());
    Ok(())
}

#[test]
fn a_killed_owner_takes_its_world_with_it() -> Result<()> {
    if let Some(why) = tools::missing() {
        println!("SKIPPED: {why}");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let mut owner = Command::new(env!("CARGO_BIN_EXE_coalition-cluster"))
        .arg("--state")
        .arg(dir.path())
        .args(["serve", "--nodes", "1"])
        .stdin(Stdio::null())
        .spawn()?;
    let state = dir.path().join("state.json");
    wait::until("the cluster to be up", UP, || {
        anyhow::ensure!(owner.try_wait()?.is_none(), "the owner ended by itself");
        Ok(state.exists().then_some(()))
    })?;
    let state: serde_json::Value = serde_json::from_str(&fs::read_to_string(&state)?)?;
    let folder = PathBuf::from(state["folder"].as_str().context("a folder")?);
    let ids = below(owner.id().cast_signed());
    let spaces = namespaces(&ids);
    assert!(ids.len() > 16, "{} processes", ids.len());
    owner.kill()?;
    owner.wait()?;
    // No group is named: those are for the next world to remove.
    wait::until("the killed owner's world to end", END, || {
        Ok(left(&ids, &spaces, "no such group").is_empty().then_some(()))
    })
    .with_context(|| format!("left: {:?}", left(&ids, &spaces, "no such group")))?;
    // What it could not remove any more, the next world does, whose ever that is.
    drop(World::start()?);
    assert!(!folder.exists(), "{} is left", folder.display());
    assert_eq!(cgroups(&groups(&folder)), Vec::<String>::new());
    Ok(())
}

#[test]
fn what_a_killed_one_left_is_removed_by_down() -> Result<()> {
    if let Some(why) = tools::missing() {
        println!("SKIPPED: {why}");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let program = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coalition-cluster"));
        command.arg("--state").arg(dir.path()).args(args).stdin(Stdio::null());
        command
    };
    let down = || Ok::<_, anyhow::Error>(String::from_utf8(program(&["down"]).output()?.stdout)?);
    assert_eq!(down()?, "no cluster is up\n");
    let mut owner = program(&["serve", "--nodes", "1"]).spawn()?;
    let lock = dir.path().join("lock");
    let folder = wait::until("its world to begin", UP, || {
        let text = fs::read_to_string(&lock).unwrap_or_default();
        let said: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        Ok(said["folder"].as_str().map(PathBuf::from))
    })?;
    // While it starts: a second one is refused, and a shell says that there is none yet.
    let second = program(&["serve", "--nodes", "0"]).output()?;
    assert!(String::from_utf8(second.stderr)?.contains("another program serves a cluster"));
    let shell = program(&["shell", "true"]).output()?;
    assert!(String::from_utf8(shell.stderr)?.contains("not up yet"));
    owner.kill()?;
    owner.wait()?;
    assert!(folder.is_dir(), "{} is gone before anybody removed it", folder.display());
    assert_eq!(down()?, "no cluster is up; what one that was killed had left is removed\n");
    assert!(!folder.exists(), "{} is left", folder.display());
    assert_eq!(down()?, "no cluster is up\n");
    let mut owner = program(&["serve", "--nodes", "1"]).spawn()?;
    wait::until("it to begin", UP, || {
        Ok((program(&["shell", "true"]).output()?.stderr.ends_with(b"waits for it\n")).then_some(()))
    })?;
    assert_eq!(down()?, "down\n");
    assert!(!owner.wait()?.success(), "it was up already");
    Ok(())
}
