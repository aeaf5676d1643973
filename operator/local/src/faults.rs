//! Faults on request: a site that loses its power at a step and comes back later, a process killed every so often.
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use coalition_protocol::SiteId;
use rustix::process::{Pid, Signal, kill_process};

use crate::runner::Runner;

/// A site to kill at a step, as `SITE@STEP` or `SITE@STEP+SECONDS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillPlan {
    /// The site.
    pub site: SiteId,
    /// Once it has done so many inner steps in the run.
    pub step: u64,
    /// Seconds after which it comes back; none = never.
    pub return_after: Option<u64>,
}

impl FromStr for KillPlan {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let form = || format!("{s:?} is not SITE@STEP or SITE@STEP+SECONDS, such as south@40+20");
        let (site, at) = s.split_once('@').ok_or_else(form)?;
        let (step, back) = match at.split_once('+') {
            Some((step, back)) => (step, Some(back)),
            None => (at, None),
        };
        Ok(Self {
            site: site.parse().map_err(|e: coalition_protocol::ids::BadName| e.to_string())?,
            step: step.parse().map_err(|_| form())?,
            return_after: back.map(|b| b.parse().map_err(|_| form())).transpose()?,
        })
    }
}

impl fmt::Display for KillPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.site, self.step)?;
        self.return_after.map_or(Ok(()), |s| write!(f, "+{s}"))
    }
}

/// Carries out the plans; ends when all are done.
pub async fn kills(runner: Arc<Runner>, mut plans: Vec<KillPlan>) {
    let mut snapshot = runner.snapshot();
    // A run that goes on may have passed the step long ago: killing there now would be something else than was asked.
    let begun = snapshot.borrow_and_update().clone();
    plans.retain(|p| {
        let done = begun.status.sites.iter().find(|l| l.site == p.site).map_or(0, |l| l.step);
        if done > p.step {
            let what = format!("has done {done} steps already: `--kill {p}` is passed over");
            runner.tell(&p.site, "KillPassedOver", &what);
        }
        done <= p.step
    });
    while !plans.is_empty() {
        let now = snapshot.borrow_and_update().clone();
        let due = |p: &KillPlan| now.status.sites.iter().any(|l| l.site == p.site && l.step >= p.step);
        let (hit, rest): (Vec<_>, Vec<_>) = plans.into_iter().partition(due);
        plans = rest;
        for plan in hit {
            if let Err(e) = runner.kill_site(&plan.site).await {
                tracing::error!(error = %e, "the site could not be killed");
                continue;
            }
            if let Some(seconds) = plan.return_after {
                runner.comes_back(&plan.site);
                let runner = runner.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                    if let Err(e) = runner.return_site(&plan.site).await {
                        tracing::error!(error = %e, "the site could not be started again");
                    }
                });
            }
        }
        if snapshot.changed().await.is_err() {
            return;
        }
    }
}

/// Kills one process of the run, a worker or a supervisor, every `period`, by lot.
pub async fn kill_every(runner: Arc<Runner>, period: Duration) {
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    loop {
        interval.tick().await;
        let mut pids = BTreeMap::new();
        for p in runner.processes().await {
            pids.extend(p.workers.iter().map(|pid| (*pid, (p.site.clone(), "worker"))));
            pids.insert(p.supervisor, (p.site, "supervisor"));
        }
        let mut draw = [0; 8];
        if pids.is_empty() || getrandom::fill(&mut draw).is_err() {
            continue;
        }
        let Some((pid, (site, role))) = pids.iter().nth(u64::from_le_bytes(draw) as usize % pids.len()) else {
            continue;
        };
        // One that has ended by itself in between is no kill.
        if let Some(raw) = i32::try_from(*pid).ok().and_then(Pid::from_raw)
            && kill_process(raw, Signal::KILL).is_ok()
        {
            runner.tell(site, "ProcessKilled", &format!("lost a {role} (process {pid}) to --kill-every"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        let p: KillPlan = "south@40+20".parse().unwrap();
        assert_eq!((p.site.as_str(), p.step, p.return_after), ("south", 40, Some(20)));
        assert_eq!(
            (p.to_string(), "b@0".parse::<KillPlan>().unwrap().to_string()),
            ("south@40+20".into(), "b@0".into())
        );
        assert_eq!("south@40".parse::<KillPlan>().unwrap().return_after, None);
        for bad in ["south", "south@", "south@x", "south@1+", "South@1", "@1"] {
            assert!(bad.parse::<KillPlan>().is_err(), "{bad}");
        }
    }
}
