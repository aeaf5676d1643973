//! `ready`: asks the supervisor of a worker what a probe of a pod asks. Must not know how it is found out.
use std::time::Duration;

use coalition_protocol::exit;

use crate::cli::WorkerArgs;
use crate::config::WorkerConfig;
use crate::failure::Failure;
use crate::out::say;
use crate::supervisor::READY_PATH;

/// A supervisor answers from memory; one that does not in this time is stopped.
const LIMIT: Duration = Duration::from_secs(1);

/// Prints the answer; an error unless it is yes.
pub fn ready(args: &WorkerArgs) -> Result<u8, Failure> {
    let config = WorkerConfig::read(args)?;
    let Some(health) = &config.health else {
        let what =
            "health: is missing, and --health does not say it either: give the address that the supervisor was given";
        return Err(Failure::new(exit::CONFIG, format!("{}: {what}", args.config.display())));
    };
    // What listens everywhere is asked here.
    let address = health.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(LIMIT))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .new_agent();
    let no = |what: String| Failure::new(exit::TRY_AGAIN, format!("not ready: {what}"));
    let asked = agent.get(format!("http://{address}{READY_PATH}")).call();
    let mut answer = asked.map_err(|e| no(format!("no supervisor answers at {address}: {e}")))?;
    let text = answer.body_mut().read_to_string().unwrap_or_default();
    if !answer.status().is_success() {
        return Err(no(text.trim().to_owned()));
    }
    say!("ready: {}", text.trim());
    Ok(0)
}
