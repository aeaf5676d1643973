//! Coalition's charts on a cluster, by helm as its users call it. Must not know what they render.

use crate::archives::root;
use crate::data;
use crate::installed::{DATASET, Installed, RUNS, SITE, STORE_SECRET, SYSTEM, WORKERS, merge};
use anyhow::{Context, Result};
use coalition_cluster::S3;
use serde_json::{Value, json};
use std::fs;

/// How long an install may wait for its pods: two replicas of a small program, beside a build.
const WAIT: &str = "--timeout=180s";

/// The values of a release that is hub and site at once, with its store at `s3`.
fn values(s3: &S3) -> Value {
    json!({
        "hub": {"sites": [{"name": SITE}]},
        "site": {
            "settings": {
                "name": SITE,
                "namespaces": [{"hub": RUNS, "site": WORKERS}],
                // A drained or suspended worker saves a few kilobytes.
                "worker": {"terminationGracePeriodSeconds": 30},
                "store": {
                    "url": format!("s3://{}/coalition", s3.bucket),
                    "endpoint": s3.endpoint,
                    "region": s3.region,
                    "secretName": STORE_SECRET,
                    "plainHttp": true,
                },
                "datasets": [{"name": DATASET, "url": data::url(s3)}],
            },
        },
    })
}

impl Installed {
    /// Installs the kinds and the operator, and waits until its pods are ready.
    pub(crate) fn install(&self) -> Result<()> {
        self.helm(&["install", "coalition-crds", "CHARTS/coalition-crds"])?;
        self.release("install", &[])
    }

    /// Upgrades the operator with `more` settings, each `NAME=VALUE`, and waits until the new pods are ready.
    pub fn upgrade(&self, more: &[&str]) -> Result<()> {
        self.release("upgrade", more)
    }

    /// Removes the operator; the kinds and every object of theirs stay.
    pub fn uninstall(&self) -> Result<()> {
        self.helm(&["uninstall", "coalition", "--namespace", SYSTEM, "--wait", WAIT])
    }

    /// The values of its release.
    pub(crate) fn all_values(&self) -> Result<Value> {
        let mut all = values(&self.hub().s3()?);
        merge(&mut all, self.values().clone());
        Ok(all)
    }

    fn release(&self, verb: &str, more: &[&str]) -> Result<()> {
        let file = self.world().folder().join("values.json");
        fs::write(&file, self.all_values()?.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
        let file = file.display().to_string();
        let mut args =
            vec![verb, "coalition", "CHARTS/coalition", "--namespace", SYSTEM, "--values", &file, "--wait", WAIT];
        for setting in more {
            args.extend(["--set-string", setting]);
        }
        self.helm(&args)
    }

    fn helm(&self, args: &[&str]) -> Result<()> {
        let charts = root().join("charts").display().to_string();
        let args: Vec<String> = args.iter().map(|word| word.replace("CHARTS", &charts)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.hub().helm(&args).map(drop).with_context(|| self.said())
    }
}
