//! What a site waits for, and what will happen next if nothing changes, and when. In words for people; decides nothing.
use coalition_protocol::SiteId;

use crate::standing::Standing;
use crate::status::SiteState;
use crate::time::{Millis, words};
use crate::{lost, members, restarts, void, windows};

/// (what it waits for, what comes next); empty where there is nothing to say.
pub fn why(s: &Standing<'_>, site: &SiteId, state: SiteState) -> (String, String) {
    let member = !matches!(state, SiteState::Silent | SiteState::Retired | SiteState::Finished | SiteState::Stopped);
    if let Some(hindered) = member.then(|| hindrance(s, site)).flatten() {
        return hindered;
    }
    match state {
        SiteState::Silent => silent(s, site),
        SiteState::SetAside => {
            let reason = s.member(site).and_then(|m| m.set_aside.clone()).unwrap_or_default();
            let next = "taken back once a round is committed without it and it shows the state after that";
            (format!("a round without it (set aside: {reason})"), next.to_owned())
        }
        SiteState::CatchingUp => {
            let what = if s.reaches(site) { "applying the newest commit" } else { "fetching the newest state" };
            (what.to_owned(), "takes part in rounds again once it shows the newest state".to_owned())
        }
        SiteState::Offered => offered(s),
        SiteState::Starting => {
            let more = s.report(site).map_or(0, |r| r.gang.workers.saturating_sub(r.gang.workers_ready));
            let waits =
                if more == 0 { "its workers to join".to_owned() } else { format!("{more} of its workers to join") };
            let next = "loads its state and trains once all have joined";
            // Why they are not there: whoever sees this again and again should not have to look into a log first.
            let ended = s.report(site).and_then(|r| r.gang.last_failure.as_ref()).map_or_else(String::new, |f| {
                format!("; the newest failure: worker {} {}", f.worker, restarts::meaning(f))
            });
            (waits, format!("{next}{ended}"))
        }
        SiteState::Training => (String::new(), training(s, site)),
        SiteState::Retired => {
            let next = match s.world.sites.get(site).and_then(|x| x.refusal.clone()) {
                Some(refusal) => format!("stays out: {refusal}"),
                None => "joins under a new incarnation once it is heard and sites.max has room for it".to_owned(),
            };
            (String::new(), next)
        }
        SiteState::Stopped if s.world.suspend => (String::new(), "`resume` starts it again".to_owned()),
        SiteState::Idle | SiteState::Stopped | SiteState::Finished => (String::new(), String::new()),
    }
}

/// What keeps a site that is heard from doing its part: its gang does nothing, or its store takes nothing.
pub fn hindrance(s: &Standing<'_>, site: &SiteId) -> Option<(String, String)> {
    let after = s.world.spec.sites.replace_after_seconds;
    let alone = lost::irreplaceable(s, site);
    let retired = |least: &str| {
        if alone {
            "the run waits for it: it alone has what the newest commit needs".to_owned()
        } else {
            format!("it is retired after sites.replaceAfterSeconds = {after}{least}, and joins again once it can")
        }
    };
    let still = s.still(site);
    if still > 0 {
        let next = format!(
            "a worker without a sign of life for 10 minutes is killed and started again; {}",
            retired(", 2 minutes at the least")
        );
        return Some((format!("its gang, which has shown no sign of life for {}", words(still)), next));
    }
    let failure = s.store_failure(site)?;
    let round = s.plan().map_or_else(String::new, |_| format!("{}; ", without(s)));
    Some((format!("its own store: {failure}"), format!("{round}{}", retired(""))))
}

fn left(s: &Standing<'_>, t: Millis) -> String {
    words(t.since(s.now))
}

fn names(list: &[SiteId]) -> String {
    list.iter().map(SiteId::as_str).collect::<Vec<_>>().join(", ")
}

/// What the others do meanwhile, and what becomes of its part.
fn silent(s: &Standing<'_>, site: &SiteId) -> (String, String) {
    let since = s.silent_since(site).map_or(0, |t| s.now.since(t));
    let waits = format!("a sign of life, for {}", words(since));
    if s.world.suspend {
        return (waits, "starts again from its last site checkpoint after `resume`".to_owned());
    }
    if lost::irreplaceable(s, site) {
        return (waits, "the run waits for it: it alone has what the newest commit needs".to_owned());
    }
    let Some(retired) = members::retire_at(s, site) else { return (waits, String::new()) };
    let after = s.world.spec.sites.replace_after_seconds;
    let next = format!(
        "{}; retired in {} if it stays silent (sites.replaceAfterSeconds = {after}), then it may join anew",
        without(s),
        left(s, retired)
    );
    (waits, next)
}

/// What becomes of the open round without those that are silent: the grace in which they could have offered is over, for a
/// site counts as silent after one grace.
pub fn without(s: &Standing<'_>) -> String {
    let Some((_, plan)) = s.plan() else { return "no round is open".to_owned() };
    let there = plan.parts.iter().filter(|p| s.gives(&p.site) && s.heard(&p.site)).count();
    let round = plan.round;
    if s.enough() && there >= plan.quorum as usize {
        return match windows::window(s) {
            windows::Window::Offers { until, .. } | windows::Window::Holds { until, .. } => {
                format!("round {round} goes on without it in {} at the latest", left(s, until))
            }
            windows::Window::Training | windows::Window::Closed => {
                format!("round {round} does not wait for it: it is committed once the others have offered")
            }
        };
    }
    match void::deadline(s) {
        Some(t) => format!("round {round} waits for it, and is planned anew in {}", left(s, t)),
        None => format!("round {round} waits for it"),
    }
}

fn offered(s: &Standing<'_>) -> (String, String) {
    match windows::window(s) {
        windows::Window::Training => {
            let n = s.quorum();
            let next = format!(
                "once {n} sites have offered, the others get at most {} more; then the round is committed",
                words(s.grace())
            );
            (format!("offers of others: the quorum is {n}"), next)
        }
        windows::Window::Offers { until, waiting_for } => {
            let who = names(&waiting_for);
            (format!("the offer of {who}"), format!("goes on without {who} in {}", left(s, until)))
        }
        windows::Window::Holds { until, waiting_for } => {
            let who = names(&waiting_for);
            let next = format!("commits without what {who} could not fetch in {}", left(s, until));
            (format!("{who} to hold the contributions"), next)
        }
        windows::Window::Closed if windows::apart(s) => {
            let next = windows::apart_until(s)
                .map_or_else(String::new, |t| format!("the lighter side is set aside in {}", left(s, t)));
            ("members that do not reach each other".to_owned(), next)
        }
        windows::Window::Closed => ("the commit".to_owned(), "trains the next round after it".to_owned()),
    }
}

/// When it will offer, by its measured speed.
fn training(s: &Standing<'_>, site: &SiteId) -> String {
    let Some(p) = s.report(site).map(|r| &r.progress).filter(|p| p.inner_steps > 0) else { return String::new() };
    let more = p.inner_steps.saturating_sub(p.inner_step);
    if more == 0 {
        return format!("offers its contribution to round {}", p.round);
    }
    let tokens = more.saturating_mul(s.view.genesis().batch_tokens) as f64;
    let when = p.tokens_per_second.map(coalition_protocol::Real::get).filter(|v| *v > 0.0);
    let when = when.map_or_else(String::new, |v| format!(", in about {}", words((tokens / v * 1000.0) as u64)));
    format!(
        "offers its contribution to round {} after {more} more inner step{}{when}",
        p.round,
        if more == 1 { "" } else { "s" }
    )
}
