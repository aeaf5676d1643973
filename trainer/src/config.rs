//! What a worker is told when it starts: one JSON file, given with `--config`. Must not know what the run trains; that comes
//! from the gateway.
use std::path::{Path, PathBuf};

use coalition_protocol::{RunId, SiteId, exit};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// A larger configuration file is refused: this one has a dozen short fields.
const LARGEST: u64 = 1 << 20;
/// Environment variable with the bearer token, for those who pass secrets that way.
pub const TOKEN_ENV: &str = "COALITION_TOKEN";

/// The configuration of one worker; its supervisor reads the same file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkerConfig {
    /// The run.
    pub run: RunId,
    /// The site.
    pub site: SiteId,
    /// Index of this worker, 0 to workers − 1; its rank.
    pub worker: u32,
    /// Workers of the site's gang.
    pub workers: u32,
    /// Base address of the site's gateway, `http://HOST:PORT`.
    pub gateway: String,
    /// File with the bearer token; absent: the environment variable `COALITION_TOKEN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// The site's store: `file:///DIR`, or `s3://BUCKET/PREFIX`.
    pub store: String,
    /// Folder of the prepared data set.
    pub data: PathBuf,
    /// Threads inside an operation, pinned: part of the class (D1).
    pub threads: u32,
    /// Where this worker's collective listens, `HOST:PORT`; port 0 takes a free one.
    #[serde(default = "loopback")]
    pub listen: String,
    /// Switches for tests of the tests; never set in earnest.
    #[serde(default, skip_serializing_if = "TestSwitches::none")]
    pub test: TestSwitches,
}

/// Switches for tests of the tests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestSwitches {
    /// Every attention layer puts out zeros: a learning check must fail then.
    #[serde(default)]
    pub zero_attention: bool,
    /// Sleeps so many milliseconds after every inner step, so that a test can kill at a chosen step of a tiny model.
    #[serde(default)]
    pub step_pause_millis: u64,
    /// After so many milliseconds without a sign of life a worker counts as hung; absent: ten minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hang_millis: Option<u64>,
    /// Flips a bit of the outer state once, as failing memory would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flip: Option<Flip>,
}

/// One flipped bit: the highest of the mantissa of a chunk's first element, so that no later sum rounds it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Flip {
    /// After the commit of this round.
    pub round: u64,
    /// In this chunk of the list that is reported: θ's come first, then u's.
    pub chunk: usize,
    /// When.
    pub when: When,
}

/// When a bit is flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum When {
    /// Before the digest is taken: this state is wrong.
    Computed,
    /// After it: the states that follow are wrong, and this one, kept, cannot put them right.
    Kept,
}

impl TestSwitches {
    fn none(&self) -> bool {
        *self == Self::default()
    }
}

fn loopback() -> String {
    "127.0.0.1:0".to_owned()
}

impl WorkerConfig {
    /// Reads and checks a configuration file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bad = |what: String| Failure::new(exit::CONFIG, format!("{}: {what}", path.display()));
        let size = std::fs::metadata(path).map_err(|e| bad(format!("cannot be read: {e}")))?.len();
        if size > LARGEST {
            return Err(bad(format!("{size} bytes, a worker's configuration has at most {LARGEST}")));
        }
        let text = std::fs::read_to_string(path).map_err(|e| bad(format!("cannot be read: {e}")))?;
        let config: Self =
            serde_json::from_str(&text).map_err(|e| bad(format!("is not a worker's configuration: {e}")))?;
        config.check().map_err(bad)?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        // The bounds of the manifest's siteTemplates.
        if self.workers == 0 || self.workers > 1024 || self.worker >= self.workers {
            return Err(format!(
                "worker {} of workers {}: must be below workers, and workers 1 to 1024",
                self.worker, self.workers
            ));
        }
        if self.threads == 0 || self.threads > 1024 {
            return Err(format!("threads {}: must be 1 to 1024", self.threads));
        }
        if !self.gateway.starts_with("http://") {
            return Err(format!("gateway {:?}: must begin with http://", self.gateway));
        }
        Ok(())
    }

    /// The bearer token for the gateway.
    pub fn token(&self) -> Result<String, Failure> {
        let token = match &self.token_file {
            Some(f) => std::fs::read_to_string(f)
                .map_err(|e| Failure::new(exit::CONFIG, format!("tokenFile {}: cannot be read: {e}", f.display())))?,
            None => std::env::var(TOKEN_ENV).map_err(|_| {
                Failure::new(exit::CONFIG, format!("no tokenFile in the configuration and {TOKEN_ENV} is not set"))
            })?,
        };
        Ok(token.trim().to_owned())
    }
}
