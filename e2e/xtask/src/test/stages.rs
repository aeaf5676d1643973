//! The stages of the gate, cheap ones first, and how each is run.

use super::s3::S3;
use super::{junit, tally::Tally};
use crate::build::{Builder, root};
use crate::cache::Cache;
use crate::setup::{self, go, tools};
use crate::{images, proc, quickstart, say};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// What every stage may use.
pub struct Gate {
    /// How things are built.
    pub builder: Builder,
    /// Where tools lie.
    pub cache: Cache,
}

/// One stage.
pub struct Stage {
    /// Name for `--only`.
    pub name: &'static str,
    /// What it does, in a line.
    pub what: &'static str,
    /// Does it. An error counts as one failure; what it finds it adds to the tally.
    pub run: fn(&Gate, &mut Tally) -> Result<()>,
}

/// All stages, in order.
pub const STAGES: &[Stage] = &[
    Stage { name: "format", what: "cargo fmt --check", run: format },
    Stage { name: "deny", what: "licences, bans and sources of dependencies (no advisories)", run: deny },
    Stage { name: "clippy", what: "lints, warnings denied", run: clippy },
    Stage { name: "programs", what: "build the programs and the harnesses", run: programs },
    Stage { name: "crds", what: "the CRDs in crds/yaml are what the types say", run: crds },
    Stage { name: "unit", what: "tests of every crate but the whole runs, S3 against a real server", run: unit },
    Stage { name: "charts", what: "the charts: lint, what they render, what they refuse", run: charts },
    Stage { name: "doctest", what: "examples in the documentation", run: doctest },
    Stage { name: "doc", what: "the documentation builds, warnings denied", run: doc },
    Stage { name: "cluster", what: "real clusters: API servers, kubelets, faults (as root)", run: cluster },
    Stage {
        name: "suites",
        what: "Coalition installed on a real cluster: what its users do and what goes wrong",
        run: suites,
    },
    Stage { name: "rights", what: "the chart grants what the suites used, no less and no more", run: rights },
    Stage { name: "whole", what: "whole runs: kills, lost sites, bad input (one seeded sample each)", run: whole },
    Stage { name: "quickstart", what: "the README's first command, in a short form", run: quickstart },
];

/// Runs a check that either holds or does not, and counts it as one.
fn check(tally: &mut Tally, command: &mut Command, why: &str) -> Result<()> {
    proc::run(command, why)?;
    tally.pass();
    Ok(())
}

fn format(gate: &Gate, tally: &mut Tally) -> Result<()> {
    let mut cargo = gate.builder.cargo();
    check(tally, cargo.args(["fmt", "--all", "--check"]), "find the code formatted (`cargo fmt --all` does it)")
}

fn deny(gate: &Gate, tally: &mut Tally) -> Result<()> {
    let program = tools::cargo_tool(&gate.cache, &tools::DENY)?;
    let mut deny = Command::new(program);
    gate.builder.environment(&mut deny);
    // The advisory database is a download of its own and changes daily: not part of a gate that must repeat.
    deny.args(["--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]);
    check(tally, &mut deny, "find the dependencies allowed (deny.toml says what is and why)")
}

/// By the program as the others were built: built alone, it would have features of its own.
fn crds(gate: &Gate, tally: &mut Tally) -> Result<()> {
    let mut crdgen = Command::new(gate.builder.programs()?.join("crdgen"));
    check(tally, crdgen.arg("--check").current_dir(root()), "find the CRDs up to date (`cargo xtask crds` writes them)")
}

fn clippy(gate: &Gate, tally: &mut Tally) -> Result<()> {
    let mut cargo = gate.builder.cargo();
    cargo.args(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    check(tally, &mut cargo, "find the code free of warnings")
}

fn programs(gate: &Gate, tally: &mut Tally) -> Result<()> {
    gate.builder.programs()?;
    tally.pass();
    Ok(())
}

fn unit(gate: &Gate, tally: &mut Tally) -> Result<()> {
    let s3 = S3::start(&go::install(&gate.cache, &go::S3)?.join("versitygw"))?;
    nextest(
        gate,
        tally,
        &format!("not package(coalition-e2e) and not package(coalition-charts) and not ({CLUSTER}) and not ({SUITES})"),
        &s3.environment(),
    )
}

/// Without a cluster, so without root: Helm is all they need.
fn charts(gate: &Gate, tally: &mut Tally) -> Result<()> {
    let helm = go::install(&gate.cache, &go::HELM)?.display().to_string();
    let which = format!("package(coalition-charts) and not ({CLUSTER}) and not ({RIGHTS})");
    nextest(gate, tally, &which, &[(setup::cluster::VARIABLE, helm)])
}

/// The tests that start clusters: those in the folders of tests of the harness and of the roles, whose unit tests need none,
/// those of the plugin, and those that install the charts.
const CLUSTER: &str = "(package(coalition-cluster) and kind(test)) \
     or (package(coalition-charts) and (binary(install) or binary(images))) \
     or (package(coalition-hub) and kind(test)) or (package(coalition-site) and kind(test)) \
     or (package(coalition-cli) and (binary(cluster) or binary(pods)))";
/// The scenarios with everything installed.
const SUITES: &str = "package(coalition-suites) and kind(test)";
/// What compares the chart with what the scenarios used.
const RIGHTS: &str = "package(coalition-charts) and binary(rights)";
/// The variable by which scenarios and that test know where the one leaves and the other finds it.
const USED: &str = "COALITION_USED_RIGHTS";

fn cluster(gate: &Gate, tally: &mut Tally) -> Result<()> {
    nextest(gate, tally, CLUSTER, &with_images(gate)?)
}

fn suites(gate: &Gate, tally: &mut Tally) -> Result<()> {
    let folder = used();
    // What an earlier run used says nothing of this one.
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    let mut environment = with_images(gate)?;
    environment.push((USED, folder.display().to_string()));
    nextest(gate, tally, SUITES, &environment)
}

/// Where scenarios leave which rights they used.
fn used() -> PathBuf {
    root().join("target/used-rights")
}

fn rights(gate: &Gate, tally: &mut Tally) -> Result<()> {
    let mut environment = cluster_tools(gate)?;
    // Where no scenario can be run, nothing can be compared: the test says so.
    if !environment.is_empty() {
        environment.push((USED, used().display().to_string()));
    }
    nextest(gate, tally, RIGHTS, &environment)
}

/// The programs of clusters, and the images that run on them, built.
fn with_images(gate: &Gate) -> Result<Vec<(&'static str, String)>> {
    let environment = cluster_tools(gate)?;
    if !environment.is_empty() {
        images::dev()?;
    }
    Ok(environment)
}

/// Where tests find the programs of clusters; nothing where there can be none, which every test then says by itself.
fn cluster_tools(gate: &Gate) -> Result<Vec<(&'static str, String)>> {
    if let Some(why) = setup::cluster::impossible() {
        say::warn(why);
        return Ok(Vec::new());
    }
    let value = setup::cluster::value(&setup::cluster::install(&gate.cache)?)?;
    Ok(vec![(setup::cluster::VARIABLE, value.display().to_string())])
}

fn whole(gate: &Gate, tally: &mut Tally) -> Result<()> {
    let programs = gate.builder.programs()?.display().to_string();
    nextest(gate, tally, "package(coalition-e2e)", &[("COALITION_BIN_DIR", programs)])
}

/// Runs nextest with the profile `gate` and counts from its JUnit file. The tests are chosen by a filter, not by package:
/// another choice of packages is another choice of features, and most dependencies would be compiled again.
fn nextest(gate: &Gate, tally: &mut Tally, which: &str, environment: &[(&str, String)]) -> Result<()> {
    let program = tools::cargo_tool(&gate.cache, &tools::NEXTEST)?;
    // The store of the profile, as .config/nextest.toml has it by default.
    let file = root().join("target/nextest/gate/junit.xml");
    if file.exists() {
        fs::remove_file(&file).with_context(|| format!("cannot remove the old {}", file.display()))?;
    }
    let mut command = Command::new(program);
    gate.builder.environment(&mut command);
    command.args(["nextest", "run", "--locked", "--profile", "gate", "--workspace", "-E", which]);
    command.envs(environment.iter().map(|(name, value)| (*name, value.as_str())));
    let ran = proc::run(&mut command, "pass all tests");
    let Ok(xml) = fs::read_to_string(&file) else {
        // Nothing was run: the build failed.
        ran?;
        bail!("nextest wrote no {}", file.display());
    };
    let before = tally.failed;
    let tests = junit::add(tally, &xml);
    say::line(&format!("{tests} tests"));
    if tests == 0 {
        bail!("nextest ran no test");
    }
    match ran {
        // Counted already, each by its name.
        Err(_) if tally.failed > before => Ok(()),
        other => other,
    }
}

fn doctest(gate: &Gate, tally: &mut Tally) -> Result<()> {
    let mut cargo = gate.builder.cargo();
    cargo.args(["test", "--locked", "--workspace", "--doc"]);
    let said = proc::tee(&mut cargo, "run the documentation's examples")?;
    let before = tally.failed;
    let tests = tally.add_libtest(&said.text, "doctest");
    if !said.success && tally.failed == before {
        bail!("`{}` {}", proc::show(&cargo), said.how);
    }
    if tests == 0 {
        bail!("`{}` tested nothing", proc::show(&cargo));
    }
    say::line(&format!("{tests} examples"));
    Ok(())
}

fn doc(gate: &Gate, tally: &mut Tally) -> Result<()> {
    let mut cargo = gate.builder.cargo();
    cargo.args(["doc", "--quiet", "--locked", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    check(tally, &mut cargo, "build the documentation without warnings")
}

fn quickstart(gate: &Gate, tally: &mut Tally) -> Result<()> {
    quickstart::short(&gate.builder)?;
    tally.pass();
    Ok(())
}
