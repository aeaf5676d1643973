//! `cargo xtask test`: the gate. Every check and test in order of cost, each stage with its time; what CI calls.

mod junit;
mod s3;
mod stages;
mod tally;

use crate::build::Builder;
use crate::cache::Cache;
use crate::need;
use crate::say;
use anyhow::{Result, bail};
use stages::{Gate, STAGES};
use std::time::{Duration, Instant};
use tally::Tally;

/// Options of `test`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask test                  everything, as CI does\n  \
    cargo xtask test --list           name the stages\n  \
    cargo xtask test --only unit      one stage\n  \
    cargo xtask test --from doc       that stage and all after it\n\n\
    The last line reads `N passed, N failed, N skipped`: tests of all runners plus one for each other check. The exit code\n\
    is 0 only if nothing failed.")]
pub struct Args {
    /// Name the stages and stop
    #[arg(long)]
    list: bool,
    /// Run only these stages
    #[arg(long, value_name = "STAGE", conflicts_with = "from")]
    only: Vec<String>,
    /// Run this stage and those after it
    #[arg(long, value_name = "STAGE")]
    from: Option<String>,
    /// Stop at the first stage that fails
    #[arg(long)]
    fail_fast: bool,
}

/// Runs the chosen stages; whether nothing failed.
pub fn run(args: &Args) -> Result<bool> {
    if args.list {
        for stage in STAGES {
            say::line(&format!("{:<11} {}", stage.name, stage.what));
        }
        return Ok(true);
    }
    let chosen = choose(args)?;
    let start = Instant::now();
    say::title("setup");
    if chosen.contains(&"unit") || chosen.contains(&"cluster") {
        // The S3 server of the store's tests and Kubernetes, wanted late: whoever lacks it shall hear so first.
        need::all(&[&need::CC, &need::CXX, &need::PYTHON, &need::GO])?;
    }
    let cache = Cache::open()?;
    let gate = Gate { builder: Builder::prepare(&cache)?, cache };
    let mut tally = Tally::default();
    let mut times = vec![("setup", start.elapsed(), true)];
    for stage in STAGES.iter().filter(|stage| chosen.contains(&stage.name)) {
        say::title(&format!("{}: {}", stage.name, stage.what));
        let begun = Instant::now();
        let failed_before = tally.failed;
        if let Err(error) = (stage.run)(&gate, &mut tally) {
            say::error(&format!("{error:#}"));
            tally.fail(&format!("stage {}", stage.name));
        }
        let ok = tally.failed == failed_before;
        times.push((stage.name, begun.elapsed(), ok));
        say::line(&format!(
            "-- {} {} in {}",
            stage.name,
            if ok { "passed" } else { "FAILED" },
            say::time(begun.elapsed())
        ));
        if !ok && args.fail_fast {
            break;
        }
    }
    close(&tally, &times, start.elapsed());
    Ok(tally.failed == 0)
}

/// The stages asked for, by name, in the gate's order.
fn choose(args: &Args) -> Result<Vec<&'static str>> {
    let all: Vec<&'static str> = STAGES.iter().map(|stage| stage.name).collect();
    for name in args.only.iter().chain(&args.from) {
        if !all.contains(&name.as_str()) {
            bail!("there is no stage `{name}`; the stages are {}", all.join(", "));
        }
    }
    Ok(match &args.from {
        Some(from) => all.into_iter().skip_while(|name| name != from).collect(),
        None if args.only.is_empty() => all,
        None => all.into_iter().filter(|name| args.only.iter().any(|only| only == name)).collect(),
    })
}

/// The closing lines: times, slowest tests, skips, failures, and the count alone on the last line.
fn close(tally: &Tally, times: &[(&str, Duration, bool)], total: Duration) {
    say::title("times");
    for (name, time, ok) in times {
        say::line(&format!("{:<11} {:>14}{}", name, say::time(*time), if *ok { "" } else { "  FAILED" }));
    }
    say::line(&format!("{:<11} {:>14}", "total", say::time(total)));
    let slow = tally.slowest(10);
    if !slow.is_empty() {
        say::title("slowest tests");
        for (seconds, name) in slow {
            say::line(&format!("{seconds:>8.2} s  {name}"));
        }
    }
    if !tally.skips.is_empty() {
        say::title(&format!("SKIPPED: {}", tally.skips.len()));
        for skip in &tally.skips {
            say::line(&format!("SKIPPED {skip}"));
        }
    }
    if !tally.failures.is_empty() {
        say::title(&format!("FAILED: {}", tally.failures.len()));
        for failure in &tally.failures {
            say::line(&format!("FAILED {failure}"));
        }
    }
    say::line("");
    say::line(&tally.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(only: &[&str], from: Option<&str>) -> Args {
        let only = only.iter().map(|&s| s.to_owned()).collect();
        Args { list: false, only, from: from.map(str::to_owned), fail_fast: false }
    }

    #[test]
    fn stages_are_chosen_in_the_order_of_the_gate() {
        assert_eq!(choose(&args(&[], None)).unwrap().len(), STAGES.len());
        assert_eq!(choose(&args(&["unit", "format"], None)).unwrap(), ["format", "unit"]);
        let from = choose(&args(&[], Some("unit"))).unwrap();
        assert_eq!(from.first(), Some(&"unit"));
        let wrong = choose(&args(&["units"], None)).unwrap_err().to_string();
        assert!(wrong.contains("units") && wrong.contains("clippy"), "{wrong}");
    }
}
