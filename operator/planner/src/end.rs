//! How a run ends (D11): the budget reached and its last state safe, the deadline passed, or failed.
use coalition_protocol::record::{Body, End, Outcome};

use crate::checkpoints::STAY;
use crate::standing::Standing;
use crate::time::{Millis, seconds, words};
use crate::{checkpoints, restarts};

/// When the run's own deadline passes.
pub fn deadline(s: &Standing<'_>) -> Option<Millis> {
    Some(s.world.began.plus(seconds(s.world.spec.active_deadline_seconds?)))
}

/// The last record, if it is due for another reason than success.
pub fn early(s: &Standing<'_>) -> Option<Body> {
    if let Some(message) = restarts::fatal(&s.memory.restarts, &s.world.spec.failure_policy, s.now) {
        return Some(end(s, Outcome::Failed, message));
    }
    let at = deadline(s).filter(|t| s.now >= *t)?;
    let message = format!(
        "activeDeadlineSeconds passed: {} since the run was asked for. Raise it for a new one. {STAY}",
        words(at.since(s.world.began))
    );
    Some(end(s, Outcome::DeadlineExceeded, message))
}

/// The last record of a run whose budget is committed: once the state is agreed on and k sites hold its checkpoint.
pub fn complete(s: &Standing<'_>) -> Option<Body> {
    if s.view.tokens() < s.world.spec.training.tokens {
        return None;
    }
    let (newest, ..) = s.view.last_commit();
    s.view.state(newest)?;
    let body = end(s, Outcome::Complete, String::new());
    let Body::End(e) = &body else { return None };
    (e.confirmers.len() >= checkpoints::copies(s)).then_some(body)
}

fn end(s: &Standing<'_>, outcome: Outcome, message: String) -> Body {
    let (of, ..) = s.view.last_commit();
    let confirmers = checkpoints::stored(s).remove(&of).unwrap_or_default();
    Body::End(End {
        outcome,
        message,
        tokens: s.view.tokens(),
        of,
        state: s.view.state(of).map(|(d, _)| d),
        confirmers: confirmers.into_iter().collect(),
    })
}
