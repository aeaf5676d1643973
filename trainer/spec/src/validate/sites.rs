//! What must hold in sites, their shapes, checkpoints and the failure policy.
use super::Checks;
use crate::run::Interval;
use crate::{Problem, RunSpec};

/// Sites of one run; the budgets of the hub's objects are counted for so many.
const SITES: u64 = 64;
/// A day, in seconds.
const DAY: u64 = 86_400;
/// Ten years, in seconds: a longer wait is a mistake.
const LONG: u64 = 3650 * DAY;

pub(super) fn check(c: &mut Checks, run: &RunSpec) {
    let s = &run.sites;
    c.whole("sites.max", u64::from(s.max), (1, SITES), "sites");
    c.whole("sites.min", u64::from(s.min), (1, SITES), "sites");
    c.that(s.min <= s.max, || {
        Problem::new("sites.min", s.min, format!("must be at most sites.max = {}", s.max), "Lower min or raise max.")
    });
    c.whole("sites.replaceAfterSeconds", s.replace_after_seconds, (1, DAY), "seconds");
    templates(c, run);
    checkpoint(c, run);
    failure(c, run);
    if let Some(seconds) = run.active_deadline_seconds {
        c.whole("activeDeadlineSeconds", seconds, (1, LONG), "seconds");
    }
}

fn templates(c: &mut Checks, run: &RunSpec) {
    c.that(!run.site_templates.is_empty(), || {
        Problem::new("siteTemplates", "", "must have at least one entry", "Add `- workers: 1`.")
    });
    let mut catch_all = None;
    for (i, t) in run.site_templates.iter().enumerate() {
        let at = |key: &str| format!("siteTemplates[{i}].{key}");
        c.whole(&at("workers"), u64::from(t.shape.workers), (1, 1024), "workers");
        c.whole(&at("cpuThreads"), u64::from(t.shape.cpu_threads), (1, 1024), "threads");
        if let Some(first) = catch_all {
            c.problems.push(Problem::new(
                format!("siteTemplates[{i}]"),
                "",
                format!("is never used: siteTemplates[{first}] before it matches every site, and the first match wins"),
                "Put the template without a selector last.",
            ));
        } else if t.selector.is_empty() {
            catch_all = Some(i);
        }
    }
}

fn checkpoint(c: &mut Checks, run: &RunSpec) {
    let p = &run.checkpoint;
    match p.interval {
        Interval::Steps(n) => c.whole("checkpointPolicy.interval.steps", n, (1, 1_000_000_000), "steps"),
        Interval::Seconds(n) => c.whole("checkpointPolicy.interval.seconds", n, (1, 7 * DAY), "seconds"),
    }
    c.whole("checkpointPolicy.keep.everyRounds", p.keep_every_rounds, (1, 1_000_000), "rounds");
    c.whole("checkpointPolicy.retention.last", u64::from(p.retain_last), (1, 1000), "checkpoints");
}

fn failure(c: &mut Checks, run: &RunSpec) {
    let f = &run.failure_policy;
    c.whole("failurePolicy.maxRestarts", u64::from(f.max_restarts), (0, 1_000_000), "restarts");
    c.whole("failurePolicy.windowSeconds", f.window_seconds, (1, LONG), "seconds");
    let last = f.rules.len().saturating_sub(1);
    for (i, r) in f.rules.iter().enumerate() {
        for code in &r.on_exit_codes {
            c.that((1..=255).contains(code), || {
                Problem::new(
                    format!("failurePolicy.rules[{i}].onExitCodes"),
                    code,
                    "must be 1 to 255: 0 is success",
                    "See the table of exit codes: 64 is a bad configuration, 75 asks to be tried again.",
                )
            });
        }
        c.that(i == last || !(r.on_exit_codes.is_empty() && r.on_reasons.is_empty()), || {
            Problem::new(
                format!("failurePolicy.rules[{i}]"),
                "",
                "matches every failure, so the rules after it are never used",
                "Move it to the end, or give it onExitCodes or onReasons.",
            )
        });
    }
}
