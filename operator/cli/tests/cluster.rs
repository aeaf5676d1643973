//! The plugin against a real API server with our kinds: every verb about a cluster's run, who may not, and what is not there.
mod support;

use std::process::Command;

use anyhow::{Context, Result, ensure};
use coalition_cluster::Spec;
use serde_json::Value;
use support::{PROGRAM, executable, said, start};

/// That each of these stands in a text.
fn holds(text: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    Ok(())
}

#[test]
fn runs_are_shown_stopped_and_resumed() -> Result<()> {
    let Some(hub) = start(Spec::api("hub"))? else { return Ok(()) };
    // Before anything is there, each thing that is missing is named.
    let no_kinds = hub.ask(&["status", "mine", "-n", "research"])?.badly(69)?;
    holds(&no_kinds, &["does not serve trainingruns.coalition.training", "crds/yaml"])?;
    hub.install()?;
    holds(
        &hub.ask(&["status", "-n", "research"])?.badly(0)?,
        &["there is no TrainingRun in namespace research of context"],
    )?;
    hub.fill()?;

    let table = hub.ask(&["status", "-n", "research"])?.well()?;
    holds(&table, &["NAME", "mine  failing over  SiteSilent  1/2", "1.57M of 4.19M (37 %)", "mine-0123456789-32"])?;
    holds(&hub.ask(&["status", "-A", "-o", "wide"])?.well()?, &["NAMESPACE", "research", "3.83k", "11 min 24 s"])?;
    // No local run of this name lies here, so it is the cluster's; its namespace must be said.
    let elsewhere = hub.ask(&["status", "mine"])?.badly(66)?;
    holds(&elsewhere, &["there is no TrainingRun mine in namespace default", ": there is none"])?;
    holds(&hub.ask(&["status", "mien", "-n", "research"])?.badly(66)?, &["no TrainingRun mien", "there are mine"])?;

    let one = hub.ask(&["status", "mine", "-n", "research"])?.well()?;
    holds(
        &one,
        &["TrainingRun research/mine failing over (SiteSilent): 12 rounds committed", " south  silent    0/1"],
    )?;
    let json: Value = serde_json::from_str(&hub.ask(&["status", "mine", "-n", "research", "-o", "json"])?.well()?)?;
    ensure!(json.pointer("/status/sites/1/state") == Some(&"Silent".into()), "{json}");
    let yaml: Value = serde_saphyr::from_str(&hub.ask(&["status", "-n", "research", "-o", "yaml"])?.well()?)?;
    ensure!(yaml.pointer("/items/0/metadata/name") == Some(&"mine".into()), "{yaml}");

    let uid =
        hub.cluster.kubectl(&["get", "trainingrun", "mine", "-n", "research", "-o", "jsonpath={.metadata.uid}"])?;
    let made = serde_json::json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e1", "namespace": "research"}, "type": "Warning",
        "reason": "SiteSilent", "message": "south is silent", "lastTimestamp": "2026-01-01T00:00:00Z",
        "involvedObject": {"kind": "TrainingRun", "name": "mine", "namespace": "research", "uid": uid}
    });
    let file = hub.world.folder().join("event.json");
    std::fs::write(&file, made.to_string())?;
    hub.cluster.kubectl(&["create", "-f", file.to_str().context("text")?])?;
    // The only one of the namespace needs no name.
    let why = hub.ask(&["why", "-n", "research"])?.well()?;
    holds(
        &why,
        &["TrainingRun research/mine: failing over (SiteSilent)\n  south is away; round 13 goes on without it"],
    )?;
    holds(
        &why,
        &[
            "south is away: nothing is heard of it\n  waits for a sign of life",
            "lately:\n  2026-01-01T00:00:00Z  south is silent",
        ],
    )?;

    // Stopped by annotation, with a reason, and resumed: nothing else is touched.
    holds(&hub.ask(&["stop", "mine", "-n", "research"])?.badly(2)?, &["say why", "--why"])?;
    holds(&hub.ask(&["stop", "-n", "research", "--why", "x"])?.badly(2)?, &["name the run"])?;
    let stopped = hub.ask(&["stop", "mine", "-n", "research", "--why", "the loss looks wrong"])?.badly(0)?;
    holds(&stopped, &["is told to save and stop", "kubectl coalition resume mine -n research"])?;
    let path = "jsonpath={.metadata.annotations.coalition\\.training/stop}";
    let annotation = || hub.cluster.kubectl(&["get", "trainingrun", "mine", "-n", "research", "-o", path]);
    ensure!(annotation()? == "the loss looks wrong");
    let again = hub.ask(&["stop", "mine", "-n", "research", "--why", "still"])?.badly(0)?;
    holds(&again, &["it was stopped already, because: the loss looks wrong"])?;
    holds(
        &hub.ask(&["why", "mine", "-n", "research"])?.well()?,
        &["stopped by annotation coalition.training/stop: still"],
    )?;
    holds(&hub.ask(&["resume", "mine", "-n", "research", "--plain"])?.badly(2)?, &["--plain: is for local runs"])?;
    let patch = r#"{"spec":{"suspend":true}}"#;
    hub.cluster.kubectl(&["patch", "trainingrun", "mine", "-n", "research", "--type=merge", "-p", patch])?;
    let resumed = hub.ask(&["resume", "mine", "-n", "research"])?.badly(0)?;
    holds(&resumed, &["is no longer stopped", "spec.suspend is still true"])?;
    ensure!(annotation()?.is_empty(), "the annotation is still there");
    let spec = "jsonpath={.spec.suspend}";
    ensure!(
        hub.cluster.kubectl(&["get", "trainingrun", "mine", "-n", "research", "-o", spec])? == "true",
        "the spec was touched"
    );
    // The hub of this cluster is nobody: what stands in the status is about the spec before.
    let behind = hub.ask(&["status", "mine", "-n", "research"])?.well()?;
    holds(&behind, &["the hub has not acted on generation 2 yet", "spec.suspend is true"])
}

#[test]
fn histories_checkpoints_and_failures_are_shown() -> Result<()> {
    let Some(hub) = start(Spec::api("hub"))? else { return Ok(()) };
    hub.install()?;
    hub.fill()?;
    let history = hub.ask(&["history", "mine", "-n", "research"])?;
    holds(&history.err, &["the whole chain, every record compared with its digest and the hub's signature"])?;
    holds(&history.well()?, &["genesis", "the run begins with north, south", "retired south (Lost); joined east"])?;
    let tail = hub.ask(&["history", "mine-0123456789", "-n", "research", "--tail", "1", "-o", "json"])?.well()?;
    let tail: Value = serde_json::from_str(&tail)?;
    ensure!(tail.pointer("/0/record/body/kind") == Some(&"end".into()) && tail.get(1).is_none(), "{tail}");

    let list = hub.ask(&["checkpoint", "list", "-n", "research", "--run", "mine"])?.well()?;
    holds(&list, &["mine-0123456789-32  mine  32", "1.31M", "north,south"])?;
    let name = "mine-0123456789-32";
    holds(
        &hub.ask(&["checkpoint", "show", name, "-n", "research"])?.well()?,
        &["init: {from: {checkpoint: mine-0123456789-32}}"],
    )?;
    holds(&hub.ask(&["checkpoint", "pin", name, "-n", "research"])?.badly(0)?, &["is pinned: it stays"])?;
    let pinned = ["get", "checkpoint", name, "-n", "research", "-o", "jsonpath={.spec.pinned}"];
    ensure!(hub.cluster.kubectl(&pinned)? == "true");
    holds(&hub.ask(&["checkpoint", "pin", name, "-n", "research"])?.badly(0)?, &["was pinned already"])?;
    let yaml = hub.ask(&["checkpoint", "unpin", name, "-n", "research", "-o", "yaml"])?.well()?;
    ensure!(serde_saphyr::from_str::<Value>(&yaml)?.pointer("/spec/pinned") == Some(&false.into()), "{yaml}");
    holds(&hub.ask(&["checkpoint", "pin", "none", "-n", "research"])?.badly(66)?, &["no Checkpoint none", name])?;

    // The gang's pods are gone: what is left of its failures. In another cluster: what the site reported to the hub.
    let gone = hub.ask(&["logs", "mine", "-n", "research"])?;
    holds(&gone.err, &["north has no such pod now"])?;
    holds(&gone.out, &["==> north/1: failure 1, exit code 70: bug in the trainer <==", "panicked at the gang"])?;
    hub.cluster.kubectl(&["delete", "gang", "mine-0123456789", "-n", "lab"])?;
    let reported = hub.ask(&["logs", "north", "mine", "-n", "research"])?;
    holds(&reported.err, &["the workers of site north are not in the cluster of context", "--site-context"])?;
    holds(&reported.well()?, &["panicked in the report"])?;
    holds(
        &hub.ask(&["logs", "west", "mine", "-n", "research"])?.badly(2)?,
        &["no site of this name: it has north, south"],
    )?;
    holds(&hub.ask(&["logs", "none", "-n", "research"])?.badly(66)?, &["no TrainingRun none", "there are mine"])
}

#[test]
fn who_may_not_is_told_what_is_missing() -> Result<()> {
    let Some(hub) = start(Spec::api("hub"))? else { return Ok(()) };
    hub.install()?;
    hub.fill()?;
    let config = hub.kubeconfig_of("research", "nobody")?;
    let config = config.to_str().context("text")?;
    let ask = |args: &[&str]| said(Command::new(PROGRAM).args(args).args(["-n", "research", "--kubeconfig", config]));
    let get = "A Role that allows `get` on `trainingruns.coalition.training` in namespace research lets you";
    holds(&ask(&["status", "mine"])?.badly(77)?, &["system:serviceaccount:research:nobody", get])?;
    holds(&ask(&["status"])?.badly(77)?, &["allows `list` on `trainingruns.coalition.training`"])?;
    holds(&ask(&["logs", "mine"])?.badly(77)?, &["`list` on `gangs.coalition.training`", "--site-namespace"])?;
    holds(
        &ask(&["checkpoint", "pin", "mine-0123456789-32"])?.badly(77)?,
        &["`get` on `checkpoints.coalition.training`"],
    )?;

    // Who may read may still not stop; and what may not be read of a run does not hide the rest of it.
    let role =
        ["create", "role", "reader", "-n", "research", "--verb=get,list", "--resource=trainingruns.coalition.training"];
    hub.cluster.kubectl(&role)?;
    let to = ["create", "rolebinding", "reader", "-n", "research", "--role=reader", "--serviceaccount=research:nobody"];
    hub.cluster.kubectl(&to)?;
    holds(&ask(&["stop", "mine", "--why", "x"])?.badly(77)?, &["`patch` on `trainingruns.coalition.training`"])?;
    let why = ask(&["why", "mine"])?;
    holds(&why.err, &["its events cannot be shown", "`list` on `events`"])?;
    holds(&why.well()?, &["failing over (SiteSilent)"])?;

    // No server at all, or no such context.
    let nowhere = r#"{"apiVersion":"v1","kind":"Config","current-context":"hub","contexts":[{"name":"hub","context":
        {"cluster":"it","user":"me"}}],"clusters":[{"name":"it","cluster":{"server":"https://10.77.0.1:1"}}],"users":[{"name":
        "me","user":{"token":"t"}}]}"#;
    let file = hub.world.folder().join("nowhere.kubeconfig");
    std::fs::write(&file, nowhere)?;
    let file = file.to_str().context("text")?;
    let ask = |args: &[&str]| said(Command::new(PROGRAM).args(args).args(["--kubeconfig", file]));
    holds(&ask(&["status"])?.badly(69)?, &["the API server of context hub does not answer"])?;
    holds(&ask(&["status", "--context", "hubb"])?.badly(69)?, &["has no context hubb: there are hub"])?;
    let none = said(Command::new(PROGRAM).args(["history", "mine"]).env("KUBECONFIG", "/nowhere"))?;
    holds(&none.badly(69)?, &["no cluster is configured here: set KUBECONFIG"])
}

#[test]
fn a_server_judges_a_manifest_and_keeps_nothing() -> Result<()> {
    let Some(hub) = start(Spec::api("hub"))? else { return Ok(()) };
    hub.install()?;
    hub.fill()?;
    let text = include_str!("../../../crds/examples/quickstart.yaml");
    let file = hub.world.folder().join("run.yaml");
    let path = file.to_str().context("text")?;
    std::fs::write(&file, text)?;
    let good = hub.ask(&["validate", "-f", path, "--server", "-n", "research"])?.well()?;
    holds(&good, &["valid TrainingRun/quickstart", "accepted by context", "in a dry run"])?;
    ensure!(
        hub.cluster.kubectl(&["get", "trainingruns", "-n", "research", "-o", "name"])?.lines().count() == 1,
        "kept"
    );
    // What this program cannot know: the run exists, and this cannot change in it.
    std::fs::write(
        &file,
        text.replace("name: quickstart", "name: mine").replace("init: {seed: 1}", "init: {seed: 2}"),
    )?;
    let refused = hub.ask(&["validate", "-f", path, "-n", "research", "-o", "wide"])?;
    holds(&refused.err, &["refuses it"])?;
    holds(&refused.out, &["spec.model", "cannot change after creation", "1 problem"])?;
    refused.badly(64)?;
    let lost = hub.ask(&["validate", "-f", path, "-n", "nowhere", "-o", "json"])?;
    holds(&lost.out, &["the cluster has no such namespace"])?;
    lost.badly(64).map(drop)
}

#[test]
fn kubectl_finds_the_plugin_and_completes_its_names() -> Result<()> {
    let Some(hub) = start(Spec::api("hub"))? else { return Ok(()) };
    hub.install()?;
    hub.fill()?;
    let bin = tempfile::tempdir()?;
    std::os::unix::fs::symlink(PROGRAM, bin.path().join("kubectl-coalition"))?;
    let script = hub.ask(&["completion", "kubectl"])?.well()?;
    executable(&bin.path().join("kubectl_complete-coalition"), &script)?;
    let path = format!("{}:{}", bin.path().display(), std::env::var("PATH")?);
    let kubectl = hub.world.tools().path("kubectl")?;
    let ask = |args: &[&str]| {
        said(Command::new(&kubectl).args(args).env("PATH", &path).env("KUBECONFIG", hub.cluster.kubeconfig()))
    };
    holds(
        &ask(&["coalition", "why", "mine", "-n", "research"])?.well()?,
        &["TrainingRun research/mine: failing over"],
    )?;
    holds(&ask(&["coalition", "status", "none", "-n", "research"])?.badly(66)?, &["no TrainingRun none"])?;
    holds(&ask(&["plugin", "list"])?.well()?, &["kubectl-coalition"])?;
    let lines = |args: &[&str]| Ok::<_, anyhow::Error>(ask(args)?.out.lines().map(str::to_owned).collect::<Vec<_>>());
    let completed = lines(&["__complete", "coalition", "status", "-n", "research", "m"])?;
    ensure!(completed.first().map(String::as_str) == Some("mine"), "{completed:?}");
    let verbs = lines(&["__complete", "coalition", "che"])?;
    ensure!(verbs.first().is_some_and(|v| v.starts_with("checkpoint")), "{verbs:?}");
    let names = lines(&["__complete", "coalition", "checkpoint", "pin", "-n", "research", ""])?;
    ensure!(names.iter().any(|n| n == "mine-0123456789-32"), "{names:?}");
    Ok(())
}
