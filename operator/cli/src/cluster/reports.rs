//! What is left of a worker's log when its pod is gone: the last lines of failures, as the gang keeps them and the site reports
//! them to the hub.
use coalition_crds::names::site_namespace;
use coalition_crds::{SiteReport, TrainingRun};
use coalition_protocol::exit;
use coalition_protocol::messages::Failure;

use super::{Cluster, ClusterError, history};
use crate::out::note;
use crate::style;

/// The failures that sites reported to the hub for a run, by site. What may not be read is said and left out.
pub async fn of(
    hub: &Cluster,
    run: &TrainingRun,
    site: Option<&str>,
) -> Result<Vec<(String, Vec<Failure>)>, ClusterError> {
    let name = run.metadata.name.as_deref();
    let id = match history::of(hub, name).await {
        Ok(history) => history.spec.run_id,
        // No site was assigned to it yet: nothing can have failed.
        Err(ClusterError::NotFound { .. }) => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let sites = run.status.iter().flat_map(|s| &s.sites).map(|s| s.name.as_str());
    let mut out = Vec::new();
    for site in sites.filter(|s| site.is_none_or(|x| x == *s)) {
        match hub.get_in::<SiteReport>(&site_namespace(site), &id).await {
            Ok(report) => {
                let Some(message) = report.spec.run else { continue };
                out.push((site.to_owned(), newest(message.gang.failures, message.gang.last_failure)));
            }
            Err(ClusterError::NotFound { .. }) => {}
            Err(e) => note!("{}", style::warning(&format!("what {site} reported cannot be read: {e}"))),
        }
    }
    Ok(out)
}

/// Failures oldest first, the newest with its whole log.
pub fn newest(mut failures: Vec<Failure>, last: Option<Failure>) -> Vec<Failure> {
    if let Some(last) = last {
        failures.retain(|f| f.number != last.number);
        failures.push(last);
    }
    failures.sort_by_key(|f| f.number);
    failures
}

/// Failures in words, each with the lines that are left of its log; `worker` chooses one.
pub fn words(site: &str, failures: &[Failure], worker: Option<u32>) -> Option<String> {
    let mut out = Vec::new();
    for f in failures.iter().filter(|f| worker.is_none_or(|w| w == f.worker)) {
        let (number, code) = (f.number, f.exit_code);
        let head = format!("==> {site}/{}: failure {number}, exit code {code}: {} <==", f.worker, exit::meaning(code));
        out.push(style::strong(&head));
        let log = f.log.trim_end();
        out.push(if log.is_empty() { style::faint("(no line of its log is left)") } else { log.to_owned() });
    }
    (!out.is_empty()).then(|| out.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(number: u64, worker: u32, log: &str) -> Failure {
        Failure { number, worker, exit_code: 70, log: log.to_owned() }
    }

    #[test]
    fn failures_are_told_oldest_first_with_what_is_left_of_their_logs() {
        // A report holds the newest one's log once, beside the list.
        let all = newest(vec![failure(2, 1, ""), failure(1, 0, "first\n")], Some(failure(2, 1, "second\nlines\n")));
        assert_eq!(
            words("north", &all, None).as_deref(),
            Some(
                "==> north/0: failure 1, exit code 70: bug in the trainer <==\nfirst\n\
                 ==> north/1: failure 2, exit code 70: bug in the trainer <==\nsecond\nlines"
            )
        );
        assert!(words("north", &all, Some(1)).is_some_and(|t| !t.contains("first")));
        assert!(
            words("north", &[failure(3, 0, "")], None).is_some_and(|t| t.ends_with("(no line of its log is left)"))
        );
        assert_eq!(words("north", &all, Some(7)), None);
    }
}
