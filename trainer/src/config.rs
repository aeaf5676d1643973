//! What a worker is told when it starts: one JSON file, given with `--config`, and arguments that replace some of its fields, so
//! that one file serves all workers of a gang. Must not know what the run trains; that comes from the gateway.
use std::path::PathBuf;

use coalition_protocol::{RunId, SiteId, exit};
use serde::{Deserialize, Serialize};
use ureq::http::Uri;

use crate::cli::WorkerArgs;
use crate::failure::Failure;

/// A larger configuration file is refused: this one has a dozen short fields.
const LARGEST: u64 = 1 << 20;
/// Environment variable with the bearer token, for those who pass secrets that way.
const TOKEN_ENV: &str = "COALITION_TOKEN";
/// A worker's index that was given nowhere: no gang has so many workers.
const NOT_GIVEN: u32 = u32::MAX;

/// The configuration of one worker; its supervisor reads the same file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkerConfig {
    /// The run.
    pub run: RunId,
    /// The site.
    pub site: SiteId,
    /// Index of this worker, 0 to workers − 1; its rank. `--worker` replaces it; one of them must say it.
    #[serde(default = "not_given")]
    pub worker: u32,
    /// Workers of the site's gang.
    pub workers: u32,
    /// Base address of the site's gateway, `http://HOST:PORT`, with or without a path.
    pub gateway: String,
    /// File with the bearer token, read again for every request, for tokens may rotate; absent: the environment variable
    /// `COALITION_TOKEN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// The site's store: `file:///DIR`, or `s3://BUCKET/PREFIX`.
    pub store: String,
    /// The prepared data set: its folder, or `s3://BUCKET/PREFIX/NAME`, from where it is brought into `data_cache`.
    pub data: String,
    /// Folder for data sets that come from a bucket. They stay, for the next process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_cache: Option<PathBuf>,
    /// Threads inside an operation, pinned: part of the class (D1).
    pub threads: u32,
    /// Where this worker's collective listens, `HOST:PORT`; port 0 takes a free one. `--listen` replaces it.
    #[serde(default = "loopback")]
    pub listen: String,
    /// Where the supervisor answers `GET /readyz`, `HOST:PORT`; absent: nowhere. `--health` replaces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
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

const fn not_given() -> u32 {
    NOT_GIVEN
}

/// `HOST:PORT` with the brackets that an IPv6 address needs: a pod is told `$(POD_IP):0`, whatever its address is.
fn bracketed(address: &str) -> String {
    match address.rsplit_once(':') {
        Some((host, port)) if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
        _ => address.to_owned(),
    }
}

impl WorkerConfig {
    /// Reads a configuration file, lets the arguments replace what they name, and checks the result.
    pub fn read(args: &WorkerArgs) -> Result<Self, Failure> {
        let path = args.config.as_path();
        let bad = |what: String| Failure::new(exit::CONFIG, format!("{}: {what}", path.display()));
        let size = std::fs::metadata(path).map_err(|e| bad(format!("cannot be read: {e}")))?.len();
        if size > LARGEST {
            return Err(bad(format!("{size} bytes, a worker's configuration has at most {LARGEST}")));
        }
        let text = std::fs::read_to_string(path).map_err(|e| bad(format!("cannot be read: {e}")))?;
        let mut config: Self =
            serde_json::from_str(&text).map_err(|e| bad(format!("is not a worker's configuration: {e}")))?;
        config.worker = args.worker.unwrap_or(config.worker);
        config.listen = bracketed(args.listen.as_ref().unwrap_or(&config.listen));
        config.health = args.health.clone().or(config.health).map(|h| bracketed(&h));
        config.check().map_err(bad)?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.worker == NOT_GIVEN {
            return Err("worker: is missing, and --worker does not say it either: give one of them".to_owned());
        }
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
        let wrong = |what: &str| Err(format!("gateway {:?}: {what}", self.gateway));
        if !self.gateway.starts_with("http://") {
            return wrong("must begin with http://");
        }
        if self.gateway.contains(['?', '#']) || self.gateway.parse::<Uri>().is_err() {
            return wrong("must be http://HOST:PORT, with or without a path, and nothing behind it");
        }
        match (self.bucket(), self.data_cache.as_deref()) {
            (Some(url), None) => {
                Err(format!("data {url}: lies in a bucket, so dataCache must name the folder it is brought into"))
            }
            (None, _) if self.data.contains("://") => {
                Err(format!("data {}: must be a folder's path or s3://BUCKET/PREFIX/NAME", self.data))
            }
            _ => Ok(()),
        }
    }

    /// The data set's address, if it lies in a bucket.
    pub fn bucket(&self) -> Option<&str> {
        self.data.starts_with("s3://").then_some(self.data.as_str())
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

#[cfg(test)]
mod tests {
    use super::bracketed;

    #[test]
    fn addresses_of_both_kinds_take_a_port() {
        for (given, meant) in [
            ("10.0.0.1:0", "10.0.0.1:0"),
            ("fd00::1:0", "[fd00::1]:0"),
            ("[fd00::1]:0", "[fd00::1]:0"),
            ("::1:80", "[::1]:80"),
            ("localhost:0", "localhost:0"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(bracketed(given), meant);
        }
    }
}
