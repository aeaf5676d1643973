//! What a worker's supervisor shall do next, and whose reports count. Pure.
use coalition_protocol::messages::{Desired, Orders, Permit, SiteRun, TrainerReport};

use crate::backend::Snapshot;
use crate::gang::GangState;
use crate::refusal::Refusal;

/// Restart while the site has a part in a run that goes on, or waits for one; else leave.
pub fn orders(snapshot: &Snapshot) -> Orders {
    match &snapshot.site_run {
        Some(run) if run.desired == Desired::Run && !snapshot.over => Orders::Restart,
        None if snapshot.pending && !snapshot.over => Orders::Restart,
        _ => Orders::Leave,
    }
}

/// The permit that goes with the orders. Its duration is without limit: `onHubLoss: Continue` is the one policy there is.
pub fn permit(snapshot: &Snapshot) -> Permit {
    Permit { millis: None, orders: orders(snapshot) }
}

/// Checks the fence of a trainer's report (D8): every part of it must be current.
pub fn check_fence(report: &TrainerReport, run: &SiteRun, gang: &GangState) -> Result<(), Refusal> {
    let stale = |what: &str, given: u64, valid: u64| {
        Err(Refusal::StaleFence(format!(
            "a report of {what} {given} came, valid is {what} {valid}: leave this gang and join again"
        )))
    };
    if report.epoch != run.epoch {
        return stale("epoch", report.epoch.0, run.epoch.0);
    }
    if report.incarnation != run.incarnation {
        return stale("incarnation", report.incarnation.0, run.incarnation.0);
    }
    // While a formation is open the newest formed attempt is still the only writer, so its reports still count.
    if report.attempt != gang.attempt {
        return stale("attempt", report.attempt.0, gang.attempt.0);
    }
    Ok(())
}
