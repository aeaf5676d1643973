//! A trainer without a model, for tests of the runner: it speaks every message, exchanges real contributions and writes real
//! checkpoints, and its "training" moves a few numbers by a rule of the positions it was leased. Same leases, same bits.
//!
//! It must never be taken for a trainer by people: it is an example target, built for tests only.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs, reason = "part of the tests")]
mod gateway;
mod state;
mod supervise;
mod work;

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Deserialize;

/// The part of a worker's configuration that it needs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    pub run: coalition_protocol::RunId,
    pub site: coalition_protocol::SiteId,
    pub worker: u32,
    pub gateway: String,
    pub token_file: PathBuf,
    pub store: String,
    #[serde(default)]
    pub test: Switches,
}

/// Switches for tests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Switches {
    #[serde(default)]
    pub step_pause_millis: u64,
    /// Every worker ends with this code at once.
    #[serde(default)]
    pub fail_with: Option<u8>,
    /// Only at sites that have a file of this name in their store, and as long as they do.
    #[serde(default)]
    pub fail_while: Option<String>,
}

/// Completes when standard input closes: whoever started this process is gone.
fn orphaned() -> tokio::sync::oneshot::Receiver<()> {
    let (gone, orphaned) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        let _ = gone.send(());
    });
    orphaned
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let [_, command, flag, path] = args.as_slice() else { return ExitCode::from(64) };
    if flag != "--config" {
        return ExitCode::from(64);
    }
    let config: Config = serde_json::from_slice(&std::fs::read(path).expect("a configuration")).expect("valid");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let code = match command.as_str() {
        "supervise" => runtime.block_on(supervise::supervise(config, path)),
        "work" => runtime.block_on(work::work(config)),
        _ => 64,
    };
    // Threads that wait for standard input must not hold the process.
    std::process::exit(i32::from(code))
}
