//! Report: the workers' pods and one condition in the Gang's status, written when they change. Views, but for the births, which
//! are noted elsewhere. Must not decide, and nothing may depend on what it writes.
use coalition_crds::budget::shorten;
use coalition_crds::gang::{GangStatus, PodPhase};
use coalition_planner::gang::Wanted;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::observe::Seen;

/// Characters of a condition's message: the bound of its schema.
const MESSAGE: usize = 1024;

/// Why a gang is as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What its workers shall do.
    pub wanted: Wanted,
    /// Words of the owner's stop, if there is one.
    pub owner_stop: Option<String>,
    /// Words of who holds it, if somebody does.
    pub hold: Option<String>,
    /// What the settings do not allow of it, in words.
    pub refused: Option<String>,
    /// Workers that take part, and that should.
    pub workers: (u32, u32),
    /// `metadata.generation` of the Gang.
    pub generation: Option<i64>,
}

impl Standing {
    fn told(&self, seen: &Seen) -> (bool, &'static str, String) {
        let (ready, workers) = self.workers;
        let taking_part = format!("{ready} of {workers} workers take part");
        if let Some(why) = &self.refused {
            return (false, "Refused", why.clone());
        }
        if let Some(why) = &self.owner_stop {
            return (false, "OwnerStop", format!("stopped by the site's owner: {why}"));
        }
        match self.wanted {
            Wanted::Leave => {
                return (false, "Leaving", "the run is suspended or over: workers save and leave".to_owned());
            }
            Wanted::Stop => return (false, "Stopped", "the hub wants no workers here".to_owned()),
            Wanted::Kill => {
                return (
                    false,
                    "StoreLost",
                    "the site's store was lost: what workers did could only be wrong".to_owned(),
                );
            }
            Wanted::Run => {}
        }
        if ready == workers && workers > 0 {
            return (true, "AsExpected", taking_part);
        }
        if let Some(why) = &self.hold {
            return (false, "Held", format!("{taking_part}; nothing starts anew while it is held: {why}"));
        }
        let trouble = seen.troubles.iter().next().map(|(pod, why)| format!("; {pod}: {why}"));
        (false, "WorkersMissing", format!("{taking_part}{}", trouble.unwrap_or_default()))
    }
}

/// Brings the status up to date. The time of a condition moves only when it flips; that a request was mirrored which changes
/// nothing here is no news by itself.
pub fn update(status: &mut GangStatus, seen: &Seen, standing: &Standing, now: &Time) {
    let before = status.clone();
    let generation = status.observed_generation;
    let quiet = Standing { generation, ..standing.clone() };
    set(status, seen, &quiet, now);
    if *status != before {
        set(status, seen, standing, now);
    }
}

fn set(status: &mut GangStatus, seen: &Seen, standing: &Standing, now: &Time) {
    for pod in &seen.pods {
        // Of a birth that was noted since nothing was seen yet.
        if let Some(slot) = status.pods.iter_mut().find(|p| p.name == pod.name) {
            slot.clone_from(pod);
        }
    }
    status.observed_generation = standing.generation;
    let (holds, reason, message) = standing.told(seen);
    let value = if holds { "True" } else { "False" };
    let old = status.conditions.iter().find(|c| c.type_ == "Ready");
    let since = old.filter(|c| c.status == value).map_or_else(|| now.clone(), |c| c.last_transition_time.clone());
    status.conditions = vec![Condition {
        type_: "Ready".to_owned(),
        status: value.to_owned(),
        reason: reason.to_owned(),
        message: shorten(&message, MESSAGE),
        observed_generation: standing.generation,
        last_transition_time: since,
    }];
}

/// Pods that run.
pub fn running(seen: &Seen) -> usize {
    seen.pods.iter().filter(|p| p.phase == PodPhase::Running).count()
}
