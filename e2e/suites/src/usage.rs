//! What programs cost: memory and processor time as the kernel counts them, writes as the API server counts them. Must not know
//! what is allowed.

use crate::installed::Installed;
use anyhow::{Context, Result};
use std::path::Path;

/// The kernel counts processor time in these, on every Linux that runs here: `getconf CLK_TCK`.
const TICKS: f64 = 100.0;
/// The kernel cuts the names of processes after so many bytes.
const COMM: usize = 15;

/// What one process takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// Its number on its node.
    pub pid: u32,
    /// Resident memory, bytes.
    pub memory: u64,
    /// Processor time since its start, seconds.
    pub cpu: f64,
}

impl Installed {
    /// What every process of `program` on the real nodes takes.
    pub fn usage(&self, program: &str) -> Result<Vec<Usage>> {
        let comm = program.get(..COMM).unwrap_or(program);
        let script = format!(
            "for p in /proc/[0-9]*; do read -r c < $p/comm && [ \"$c\" = {comm} ] && echo \"$(cat $p/stat) RSS $(cat $p/statm)\"; done; true"
        );
        let mut out = Vec::new();
        for node in 1..=self.nodes() {
            let said = self.on_node(node, Path::new("/bin/sh"), &["-c", &script])?;
            for line in said.lines() {
                out.push(read(line).with_context(|| format!("not as /proc writes it: {line}"))?);
            }
        }
        Ok(out)
    }

    /// Requests that change something, counted by the API server since it started, by everybody but kubelets and kwok (whose
    /// heartbeats say nothing of us) as far as it tells them apart: by kind.
    pub fn writes(&self) -> Result<u64> {
        Ok(count(&self.kubectl(&["get", "--raw", "/metrics"])?))
    }
}

/// Reads a line of `stat`, then `RSS`, then `statm`.
fn read(line: &str) -> Option<Usage> {
    let (stat, statm) = line.split_once(" RSS ")?;
    let pid = stat.split(' ').next()?.parse().ok()?;
    // The name stands in brackets and may hold anything; what follows begins with the third field.
    let rest: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = rest.get(11)?.parse::<f64>().ok()? + rest.get(12)?.parse::<f64>().ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(Usage { pid, memory: pages * 4096, cpu: ticks / TICKS })
}

fn count(metrics: &str) -> u64 {
    let writes = metrics.lines().filter(|line| line.starts_with("apiserver_request_total{")).filter(|line| {
        ["POST", "PUT", "PATCH", "APPLY", "DELETE"].iter().any(|verb| line.contains(&format!("verb=\"{verb}\"")))
            && !["nodes", "leases", "pods", "events"].iter().any(|kind| line.contains(&format!("resource=\"{kind}\"")))
    });
    writes.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_as_the_kernel_writes_it() {
        let line = "77 (a) b) S 1 77 77 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 4 0 1 2 3 RSS 500 256 9 9 0 9 0";
        assert_eq!(read(line), Some(Usage { pid: 77, memory: 1 << 20, cpu: 2.0 }));
        assert_eq!(read("77 (a) S 1"), None);
    }

    #[test]
    fn writes_are_counted_and_reads_and_heartbeats_are_not() {
        let metrics = "# HELP x\n\
            apiserver_request_total{code=\"200\",resource=\"siteruns\",verb=\"PUT\"} 3\n\
            apiserver_request_total{code=\"201\",resource=\"gangs\",verb=\"POST\"} 4\n\
            apiserver_request_total{code=\"200\",resource=\"leases\",verb=\"PUT\"} 50\n\
            apiserver_request_total{code=\"200\",resource=\"gangs\",verb=\"GET\"} 60\n";
        assert_eq!(count(metrics), 7);
    }
}
