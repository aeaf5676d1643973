//! The log: lines on standard error, for people or as JSON. What is logged, and by whom, is not its matter.
use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;

/// What is logged unless the environment variable `RUST_LOG` says otherwise: ours from info on, others' warnings. Not the
/// client's line for each request that failed, many a second while a server is away: `kit::outage` says it once.
const FILTER: &str = "warn,coalition=info,kube_client::client::builder=off";

/// Starts the log.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(FILTER));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    fn logged(filter: EnvFilter) -> String {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let to = lines.clone();
        let write = move || Lines(to.clone());
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(write).with_ansi(false).finish();
        tracing::subscriber::with_default(log, || {
            tracing::error!(target: "kube_client::client::builder", "one request");
            tracing::warn!(target: "kube_client::client::auth", "their warning");
            tracing::info!(target: "coalition_kit::outage", "our word");
        });
        String::from_utf8(lines.lock().unwrap().clone()).unwrap()
    }

    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_failed_request_is_no_line_unless_asked_for() {
        let lines = logged(EnvFilter::new(FILTER));
        assert!(!lines.contains("one request"), "{lines}");
        assert!(lines.contains("their warning") && lines.contains("our word"), "{lines}");
        assert!(logged(EnvFilter::new("warn")).contains("one request"), "whoever asks for it gets it");
    }
}
