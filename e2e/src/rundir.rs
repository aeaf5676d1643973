//! The folder of a local run, read from outside: records, the view that follows from them, what sites reported. Reads only
//! what is documented, so that a test sees what a person with `cat` would see.

use anyhow::{Context, Result, bail};
use coalition_data::dataset::{Dataset, Verify};
use coalition_data::samples::Samples;
use coalition_protocol::history::View;
use coalition_protocol::messages::SiteReport;
use coalition_protocol::sign::SignedRecord;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A run's folder.
#[derive(Clone, Debug)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// The run in `dir`.
    pub fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The store of a site.
    pub fn store(&self, site: &str) -> PathBuf {
        self.0.join("sites").join(site).join("store")
    }

    /// The sites that have a folder, by name.
    pub fn sites(&self) -> Result<Vec<String>> {
        let folder = self.0.join("sites");
        let mut names: Vec<String> = fs::read_dir(&folder)
            .with_context(|| format!("cannot list {}", folder.display()))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        Ok(names)
    }

    /// All records so far, in order. A file that is not a record is an error: records appear whole.
    pub fn records(&self) -> Result<Vec<SignedRecord>> {
        let folder = self.0.join("hub/history");
        let mut records = Vec::new();
        loop {
            let path = folder.join(format!("{:08}.json", records.len()));
            let text = match fs::read_to_string(&path) {
                Ok(text) => text,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(records),
                Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
            };
            let record = serde_json::from_str(&text).with_context(|| format!("{} is not a record", path.display()))?;
            records.push(record);
        }
    }

    /// Whether record `seq` stands.
    pub fn has_record(&self, seq: u64) -> bool {
        self.0.join("hub/history").join(format!("{seq:08}.json")).is_file()
    }

    /// The samples that the run draws from the data set in `data`, as its genesis record says.
    pub fn samples(&self, data: &Path) -> Result<Samples> {
        let view = self.view()?;
        let genesis = view.genesis();
        let dataset = Dataset::open(data, Verify::Small).context("the data cannot be opened")?;
        let length = usize::try_from(genesis.sequence_length).context("the sequence length")?;
        let samples = Samples::new(Arc::new(dataset), length, genesis.seed).context("the data has no such samples")?;
        if samples.per_pass() != genesis.samples_per_pass {
            bail!(
                "{} has {} samples a pass, the run was begun with {}: it is other data",
                data.display(),
                samples.per_pass(),
                genesis.samples_per_pass
            );
        }
        Ok(samples)
    }

    /// What follows from the records: every link, signature and transition is checked on the way.
    pub fn view(&self) -> Result<View> {
        let records = self.records()?;
        match View::replay(&records) {
            Ok(Some(view)) => Ok(view),
            Ok(None) => bail!("{} holds no record yet: the run has not begun", self.0.display()),
            Err(violation) => bail!("the history in {} is not legal: {violation}", self.0.display()),
        }
    }

    /// What `site` reported last, if anything.
    pub fn report(&self, site: &str) -> Result<Option<SiteReport>> {
        let path = self.0.join("hub/reports").join(format!("{site}.json"));
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(
                serde_json::from_str(&text).with_context(|| format!("{} is not a site's report", path.display()))?,
            )),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }
}
