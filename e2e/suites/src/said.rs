//! What a failed scenario prints: conditions, pods, events, the last lines of logs. All of it as far as it can be had: what is
//! broken may be the API server. Must not judge.

use crate::installed::{Installed, RUNS, SYSTEM, WORKERS};
use std::fmt::Write as _;

/// Lines of a log: the end of what every container says.
const LINES: &str = "--tail=25";
/// Pods of a namespace whose logs are shown: the rest of hundreds says the same.
const PODS: usize = 12;
/// Events shown: the newest.
const EVENTS: usize = 40;

impl Installed {
    /// Everything there is to see, for a person who looks why.
    pub fn said(&self) -> String {
        let mut out = String::new();
        let mut ask = |title: &str, args: &[&str], newest: usize| {
            let said = self.hub().kubectl(args).unwrap_or_else(|error| format!("cannot be had: {error:#}"));
            let lines: Vec<&str> = said.lines().collect();
            let shown = &lines[lines.len().saturating_sub(newest)..];
            let _ = write!(out, "\n--- {title}\n{}\n", shown.join("\n"));
        };
        let conditions = "jsonpath={range .items[*]}{.metadata.name}{\"\\n\"}{range .status.conditions[?(@.status==\"True\")]}\
                          {\"  \"}{.type}{\" \"}{.reason}{\" \"}{.message}{\"\\n\"}{end}{end}";
        ask("conditions of runs that hold", &["get", "trainingruns", "-A", "-o", conditions], usize::MAX);
        ask("our objects", &["get", "training", "-A", "-o", "wide"], usize::MAX);
        ask("pods", &["get", "pods", "-A", "-o", "wide"], usize::MAX);
        ask("nodes", &["get", "nodes"], usize::MAX);
        ask("newest events", &["get", "events", "-A", "--sort-by=.metadata.creationTimestamp"], EVENTS);
        for namespace in [SYSTEM, WORKERS, RUNS] {
            let all = ["get", "pods", "-n", namespace, "-o", "jsonpath={.items[*].metadata.name}"];
            for pod in self.hub().kubectl(&all).unwrap_or_default().split_whitespace().take(PODS) {
                let logs = ["logs", "-n", namespace, pod, "--all-containers", "--prefix", LINES];
                ask(&format!("log of {namespace}/{pod}"), &logs, usize::MAX);
            }
        }
        out
    }
}
