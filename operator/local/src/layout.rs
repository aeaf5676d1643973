//! Where things lie in the folder of a local run.
//!
//! ```text
//! DIR/run.yaml, resolved.json       the manifest as it was given, and the resolved run
//! DIR/runner.lock, runner.json      held by the one runner; where it listens for commands
//! DIR/hub/key                       the hub's signing key, readable by its owner alone
//! DIR/hub/history/NNNNNNNN.json     the signed records: creating one is the compare-and-swap of an append
//! DIR/hub/reports/SITE.json         what each site reported last
//! DIR/hub/status.json               what is happening, why, and what comes next
//! DIR/hub/memory.json               what a later hub in this folder remembers; may be lost without harm
//! DIR/control/                      commands for the runner, a file each
//! DIR/sites/SITE/gang.json          the site's gang: attempts, members, failures
//! DIR/sites/SITE/store/             the site's object store
//! DIR/sites/SITE/logs/worker-N.log  what supervisor and worker N wrote
//! ```
use std::path::{Path, PathBuf};

use coalition_protocol::{Seq, SiteId};

/// The folder of one local run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout(PathBuf);

impl Layout {
    /// The run in `dir`, made absolute so that child processes find it.
    pub fn new(dir: &Path) -> std::io::Result<Self> {
        Ok(Self(std::path::absolute(dir)?))
    }
    /// The folder itself.
    pub fn dir(&self) -> &Path {
        &self.0
    }
    /// The manifest as it was given.
    pub fn manifest(&self) -> PathBuf {
        self.0.join("run.yaml")
    }
    /// The resolved run.
    pub fn resolved(&self) -> PathBuf {
        self.0.join("resolved.json")
    }
    /// Held by the runner.
    pub fn lock(&self) -> PathBuf {
        self.0.join("runner.lock")
    }
    /// Where the runner listens.
    pub fn runner(&self) -> PathBuf {
        self.0.join("runner.json")
    }
    /// The hub's folder.
    pub fn hub(&self) -> PathBuf {
        self.0.join("hub")
    }
    /// The hub's signing key.
    pub fn key(&self) -> PathBuf {
        self.hub().join("key")
    }
    /// The folder of records.
    pub fn history(&self) -> PathBuf {
        self.hub().join("history")
    }
    /// One record.
    pub fn record(&self, seq: Seq) -> PathBuf {
        self.history().join(format!("{:08}.json", seq.0))
    }
    /// The folder of reports.
    pub fn reports(&self) -> PathBuf {
        self.hub().join("reports")
    }
    /// One site's report.
    pub fn report(&self, site: &SiteId) -> PathBuf {
        self.reports().join(format!("{site}.json"))
    }
    /// What is happening.
    pub fn status(&self) -> PathBuf {
        self.hub().join("status.json")
    }
    /// What a later hub remembers.
    pub fn memory(&self) -> PathBuf {
        self.hub().join("memory.json")
    }
    /// Commands for the runner.
    pub fn control(&self) -> PathBuf {
        self.0.join("control")
    }
    /// One site's folder.
    pub fn site(&self, site: &SiteId) -> PathBuf {
        self.0.join("sites").join(site.as_str())
    }
    /// Its gang.
    pub fn gang(&self, site: &SiteId) -> PathBuf {
        self.site(site).join("gang.json")
    }
    /// Its store.
    pub fn store(&self, site: &SiteId) -> PathBuf {
        self.site(site).join("store")
    }
    /// Its logs.
    pub fn logs(&self, site: &SiteId) -> PathBuf {
        self.site(site).join("logs")
    }
    /// The log of one worker.
    pub fn log(&self, site: &SiteId, worker: u32) -> PathBuf {
        self.logs(site).join(format!("worker-{worker}.log"))
    }
    /// The configuration file of one worker.
    pub fn worker(&self, site: &SiteId, worker: u32) -> PathBuf {
        self.site(site).join(format!("worker-{worker}.json"))
    }
}
