//! Failures and the budget they are charged to: the first rule that matches decides; what the machines did is not charged
//! unless a rule says so.
use std::collections::BTreeMap;

use coalition_protocol::messages::Failure;
use coalition_protocol::record::Members;
use coalition_protocol::{SiteId, exit};
use coalition_spec::run::{FailureAction, FailurePolicy, FailureReason};
use serde::{Deserialize, Serialize};

use crate::members::reason;
use crate::time::{Millis, seconds};
use crate::world::World;

/// What was seen and charged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Restarts {
    /// By site: the number of its newest failure that was looked at. Numbers rise over all its incarnations.
    #[serde(default)]
    pub seen: BTreeMap<SiteId, u64>,
    /// Charged restarts, oldest first; those beyond the window fall out.
    #[serde(default)]
    pub charged: Vec<Charge>,
    /// Restarts that were not charged.
    #[serde(default)]
    pub infrastructure: u64,
    /// A failure that ends the run by rule, in words.
    #[serde(default)]
    pub fatal: Option<String>,
}

/// One charged restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Charge {
    /// Where.
    pub site: SiteId,
    /// When it was seen.
    pub at: Millis,
    /// What happened, in words.
    pub what: String,
}

impl Restarts {
    /// Looks at failures that were not looked at before.
    pub(crate) fn fold(&mut self, world: &World, now: Millis) {
        let policy = &world.spec.failure_policy;
        for (name, site) in &world.sites {
            let Some(report) = site.report.value() else { continue };
            let seen = self.seen.get(name).copied().unwrap_or(0);
            for f in report.gang.failures.iter().filter(|f| f.number > seen) {
                let (reason, what) = describe(name, f);
                self.judge(policy, name, Some(f.exit_code), reason, what, now);
            }
            let newest = report.gang.failures.iter().map(|f| f.number).max().unwrap_or(0).max(seen);
            self.seen.insert(name.clone(), newest);
        }
        let window = seconds(policy.window_seconds);
        self.charged.retain(|c| now.since(c.at) < window);
    }

    /// Looks at incarnations that were retired.
    pub(crate) fn membership(&mut self, policy: &FailurePolicy, members: &Members, now: Millis) {
        for r in &members.retired {
            let kind = if r.reason == reason::STORE_LOST { FailureReason::StoreLost } else { FailureReason::SiteLost };
            let what = format!("{} incarnation {} was retired: {}", r.site, r.incarnation, r.reason);
            self.judge(policy, &r.site, None, Some(kind), what, now);
        }
    }

    fn judge(
        &mut self,
        policy: &FailurePolicy,
        site: &SiteId,
        code: Option<i32>,
        reason: Option<FailureReason>,
        what: String,
        now: Millis,
    ) {
        let ruled = policy.rules.iter().any(|r| {
            (r.on_exit_codes.is_empty() && r.on_reasons.is_empty())
                || code.is_some_and(|c| r.on_exit_codes.contains(&c))
                || reason.is_some_and(|x| r.on_reasons.contains(&x))
        });
        // Without a rule, what the machines did is nobody's fault: killed processes, lost sites, temporary failures.
        // A damaged store is: its site begins anew, and what failed was a disk.
        let temporary = [exit::TRY_AGAIN, exit::CHECKPOINT].map(|c| Some(i32::from(c)));
        let infrastructure = reason.is_some() || temporary.contains(&code);
        match policy.action(code, reason) {
            FailureAction::FailRun => self.fatal = self.fatal.take().or(Some(what)),
            FailureAction::Restart if ruled || !infrastructure => {
                self.charged.push(Charge { site: site.clone(), at: now, what });
            }
            _ => self.infrastructure += 1,
        }
    }
}

/// Characters of a worker's last line that a record repeats: a damaged file's path, two digests and the way out, which comes
/// last, must fit.
const SHOWN: usize = 600;

/// How the last line of a failure begins that was killed for its memory: the site knows it from the pod, and writes it there.
pub const OUT_OF_MEMORY: &str = "out of memory";

/// How a failure ended, in words.
pub fn meaning(f: &Failure) -> &str {
    let last = last_line(f);
    if last.starts_with(OUT_OF_MEMORY) { last } else { exit::meaning(f.exit_code) }
}

fn last_line(f: &Failure) -> &str {
    f.log.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("").trim()
}

fn describe(site: &SiteId, f: &Failure) -> (Option<FailureReason>, String) {
    // 143 is what a worker that was asked to stop leaves with; every other code above 128 is a signal.
    let killed = f.exit_code > 128 && f.exit_code != i32::from(exit::STOPPED);
    let shown: String = last_line(f).chars().take(SHOWN).collect();
    let what = format!(
        "worker {} of {site} ended with exit code {} ({}){}{shown}",
        f.worker,
        f.exit_code,
        exit::meaning(f.exit_code),
        if shown.is_empty() { "" } else { ": " }
    );
    (killed.then_some(FailureReason::WorkerKilled), what)
}

/// Why the run must end as failed, in words; none if it need not.
pub fn fatal(restarts: &Restarts, policy: &FailurePolicy, now: Millis) -> Option<String> {
    if let Some(what) = &restarts.fatal {
        return Some(format!("a failure rule ends the run: {what}"));
    }
    let window = seconds(policy.window_seconds);
    let inside: Vec<&Charge> = restarts.charged.iter().filter(|c| now.since(c.at) < window).collect();
    let newest = inside.last()?;
    (inside.len() > policy.max_restarts as usize).then(|| {
        format!(
            "{} charged restarts within {} s, failurePolicy.maxRestarts is {}; the newest: {}",
            inside.len(),
            policy.window_seconds,
            policy.max_restarts,
            newest.what
        )
    })
}
