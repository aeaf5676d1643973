//! Least privilege: what the chart grants is what its programs used in the scenarios, no less and no more. The scenarios
//! (e2e/suites) leave what was asked of their API servers in a folder; `rights.yaml` beside this file has what they cannot show.
//! `cargo xtask test --only suites --only rights` runs both.

use anyhow::{Context, Result, ensure};
use coalition_charts::rights::{Grant, Use, grants, scenarios};
use coalition_charts::{Helm, objects, root};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Names the folder; `cargo xtask` sets it.
const VARIABLE: &str = "COALITION_USED_RIGHTS";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    unseen: Vec<Unseen>,
    beyond: Vec<Beyond>,
    refused: Vec<Beyond>,
}

/// Rights that the scenarios need not show.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unseen {
    role: String,
    group: String,
    resource: String,
    verbs: Vec<String>,
    /// True if a scenario may show them, as it happens: what is there for the moment in which something is late.
    #[serde(default)]
    by_chance: bool,
    /// What they are for.
    why: String,
    /// The test that fails without them: `FILE FUNCTION`.
    test: String,
}

/// Requests that no right of the chart covers, or that may be refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Beyond {
    account: String,
    group: String,
    /// A resource or a path.
    resource: String,
    verbs: Vec<String>,
    why: String,
}

impl Unseen {
    fn is(&self, verb: &str, grant: &Grant) -> bool {
        (self.role.as_str(), self.group.as_str(), self.resource.as_str(), verb)
            == (grant.role.as_str(), grant.group.as_str(), grant.resource.as_str(), grant.verb.as_str())
    }

    fn has(&self, grant: &Grant) -> bool {
        self.verbs.iter().any(|verb| self.is(verb, grant))
    }
}

impl Beyond {
    fn is(&self, one: &Use) -> bool {
        (self.account == "any" || self.account == one.account)
            && self.group == one.group
            && self.resource == one.path.as_deref().unwrap_or(&one.resource)
            && self.verbs.contains(&one.verb)
    }
}

fn table() -> Result<Table> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rights.yaml");
    serde_saphyr::from_str(&fs::read_to_string(path)?).context("tests/rights.yaml")
}

#[test]
fn the_chart_grants_what_is_used_and_nothing_else() -> Result<()> {
    let Some(folder) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
        println!("SKIPPED: no scenario was run: `cargo xtask test --only suites --only rights` runs them and compares");
        return Ok(());
    };
    let scenarios = scenarios(&folder)?;
    let helm = Helm::find()?;
    let Table { unseen, beyond, refused } = table()?;
    let (mut granted, mut used, mut wrong) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let mut asked = 0;
    let values = tempfile::tempdir()?;
    let file = values.path().join("values.json");
    for (name, scenario) in &scenarios {
        fs::write(&file, scenario.values.to_string())?;
        let said = helm.template("coalition", &scenario.namespace, &[&file])?;
        ensure!(said.good, "the values of scenario {name} are refused: {}", said.err);
        let here = grants(&objects(&said.out)?)?;
        for one in &scenario.uses {
            asked += 1;
            if one.is_refused() {
                // An API server that comes up knows no Role yet, and refuses for a moment what it allowed before and after.
                let at_times = scenario.uses.iter().any(|other| !other.is_refused() && one.is_as(other));
                if !at_times && !refused.iter().any(|row| row.is(one)) {
                    wrong.push(format!("refused in {name}: {one}"));
                }
                continue;
            }
            for verb in one.verbs() {
                let by = one.covered(verb, &here);
                if by.is_empty() && !beyond.iter().any(|row| row.is(one)) {
                    wrong.push(format!("allowed in {name} by no right of the chart: {one} ({verb})"));
                }
                used.extend(by.into_iter().cloned());
            }
        }
        granted.extend(here);
    }
    ensure!(granted.len() > 50 && asked > 50, "{} rights, {asked} requests: nothing was compared", granted.len());
    for grant in granted.difference(&used).filter(|grant| !unseen.iter().any(|row| row.has(grant))) {
        wrong.push(format!("granted, and nobody used it: {grant}"));
    }
    for row in &unseen {
        let (role, what) = (&row.role, &row.resource);
        for verb in &row.verbs {
            if !granted.iter().any(|grant| row.is(verb, grant)) {
                wrong.push(format!("rights.yaml has what is not granted: {role}: {verb} {what}"));
            } else if !row.by_chance && used.iter().any(|grant| row.is(verb, grant)) {
                wrong.push(format!("rights.yaml calls unseen what a scenario uses: {role}: {verb} {what}"));
            }
        }
    }
    let names: Vec<&str> = scenarios.keys().map(String::as_str).collect();
    let names = names.join(", ");
    println!("{} rights, {} used in {asked} kinds of requests of {names}", granted.len(), used.len());
    ensure!(wrong.is_empty(), "compared with {names}:\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn every_row_says_why_and_names_a_test_that_stands() -> Result<()> {
    let Table { unseen, beyond, refused } = table()?;
    for row in &unseen {
        let (path, function) = row.test.split_once(' ').with_context(|| format!("{} is no test", row.test))?;
        let text = fs::read_to_string(root().join(path)).with_context(|| format!("there is no {path}"))?;
        ensure!(text.contains(&format!("fn {function}()")), "{path} has no test {function}");
        ensure!(row.why.len() > 20, "{}: {} says too little: {:?}", row.role, row.resource, row.why);
    }
    for row in beyond.iter().chain(&refused) {
        ensure!(row.why.len() > 20, "{}: {} says too little: {:?}", row.account, row.resource, row.why);
    }
    Ok(())
}
