//! Apply: the record first, durably, then what follows from it. Every step may be repeated after a crash.
use coalition_planner::{Decision, Intent, Millis, World};

use crate::LocalError;
use crate::hub::history::Chain;
use crate::hub::link::Exchange;

/// Carries out a decision. True once nothing more will ever be decided: the run has ended, or it is suspended and stopped.
pub fn apply(
    world: &mut World,
    chain: &mut Chain,
    exchange: &Exchange,
    decision: &Decision,
    now: Millis,
) -> Result<bool, LocalError> {
    for signed in &decision.adopt {
        chain.adopt(signed.clone())?;
        world
            .adopted(&signed.record, now)
            .map_err(|e| LocalError::Bug(format!("record {} came back and does not apply: {e}", signed.record.seq)))?;
        exchange.show_history(chain.records());
    }
    if let Some(record) = &decision.append {
        chain.append(record.clone())?;
        world
            .appended(record, now)
            .map_err(|e| LocalError::Bug(format!("record {} was appended and does not apply: {e}", record.seq)))?;
        exchange.show_history(chain.records());
    }
    for intent in &decision.intents {
        match intent {
            Intent::AskSite(run) => {
                exchange.ask(&run.site, Some(std::sync::Arc::new((**run).clone())));
                world.asked(&run.site, (**run).clone());
            }
            // In a cluster an object that outlives the run; here the stores themselves are what stays.
            Intent::AnnounceCheckpoint(notice) => world.announced(notice.seq),
        }
    }
    Ok(decision.is_quiet() && is_over(world))
}

/// True once the workers of every site that is heard have left after the end, or after saving.
fn is_over(world: &World) -> bool {
    let ended = world.view.as_ref().is_some_and(|v| v.ended().is_some());
    if world.view.is_none() {
        return world.suspend;
    }
    let stopped = |s: &coalition_planner::Site| s.report.value().is_none_or(|r| r.gang.stopped);
    ended || (world.suspend && world.sites.values().all(stopped))
}
