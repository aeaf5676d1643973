//! `why` of a cluster's run: what its hub says it does and why, each site with what it waits for and what comes next, and the
//! newest events. The words are the planner's and stand in the status; here they are put in order.
use coalition_crds::TrainingRun;
use coalition_local::exit_code;
use k8s_openapi::api::core::v1::Event;
use kube::ResourceExt;
use kube::api::ListParams;

use super::{ClusterError, block, connect, render};
use crate::args::Reach;
use crate::out::{note, say};
use crate::show;
use crate::style;

/// Events that are shown: as many as of a local run.
const EVENTS: usize = 8;

/// Says what is happening, why, and what comes next.
pub fn why(name: Option<&str>, reach: &Reach) -> Result<u8, ClusterError> {
    block(async {
        let hub = connect::hub(reach).await?;
        let run = hub.run(name).await?;
        say!("{}", words(&run));
        let of_it = format!("involvedObject.uid={}", run.uid().unwrap_or_default());
        match hub.list::<Event>(run.namespace().as_deref(), &ListParams::default().fields(&of_it)).await {
            Ok(all) => events(all).iter().for_each(|line| say!("{line}")),
            // The rest is worth more than nothing.
            Err(e) => note!("{}", style::faint(&format!("its events cannot be shown: {e}"))),
        }
        Ok(exit_code::OK)
    })
}

/// What the status says.
fn words(run: &TrainingRun) -> String {
    let title = style::strong(&render::title(run));
    let mut out = Vec::new();
    match render::told(run) {
        Some(s) => {
            out.push(format!("{title}: {}", render::doing(&s)));
            if !s.message.is_empty() {
                out.push(format!("  {}", s.message));
            }
        }
        None => out.push(format!("{title}: {}", style::warning("has no status yet"))),
    }
    for site in run.status.iter().flat_map(|s| &s.sites) {
        out.push(format!("{} {}", style::strong(&site.name), show::phrase(site.state)));
        if !site.waiting_for.is_empty() {
            out.push(format!("  waits for {}", site.waiting_for));
        }
        if !site.next.is_empty() {
            out.push(format!("  next: {}", site.next));
        }
    }
    out.extend(render::notes(run).iter().map(|n| style::warning(n)));
    out.join("\n")
}

/// The newest events, oldest first, each with the time at which its writer says it was.
fn events(mut all: Vec<Event>) -> Vec<String> {
    let time = |e: &Event| {
        let of_series = e.series.as_ref().and_then(|s| s.last_observed_time.as_ref()).map(|t| t.0);
        of_series.or(e.last_timestamp.as_ref().map(|t| t.0)).or(e.event_time.as_ref().map(|t| t.0)).or(e
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|t| t.0))
    };
    all.sort_by_key(|e| (time(e), e.name_any()));
    let from = all.len().saturating_sub(EVENTS);
    let mut out: Vec<String> = all
        .iter()
        .skip(from)
        .map(|e| {
            let at = time(e).map_or_else(String::new, |t| format!("{t:.0}"));
            let times = e.series.as_ref().and_then(|s| s.count).or(e.count).filter(|n| *n > 1);
            let times = times.map_or_else(String::new, |n| format!(" ({n} times)"));
            let text = format!("  {at}  {}{times}", e.message.as_deref().unwrap_or_default());
            if e.type_.as_deref() == Some("Warning") { style::warning(&text) } else { style::faint(&text) }
        })
        .collect();
    if !out.is_empty() {
        out.insert(0, style::faint("lately:"));
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_by_time_and_not_all() {
        let event = |n: u32, kind: &str, count: i32| -> Event {
            serde_json::from_value(serde_json::json!({
                "metadata": {"name": format!("e{n}")}, "involvedObject": {}, "type": kind, "count": count,
                "message": format!("round {n} was committed"), "lastTimestamp": format!("2026-01-01T00:00:{n:02}Z"),
            }))
            .unwrap()
        };
        assert!(events(vec![]).is_empty());
        let told = events((0..10).rev().map(|n| event(n, "Normal", 1 + i32::from(n == 9))).collect());
        assert_eq!(told.len(), 1 + EVENTS);
        assert_eq!(told.first().unwrap(), "lately:");
        assert_eq!(told.get(1).unwrap(), "  2026-01-01T00:00:02Z  round 2 was committed");
        assert_eq!(told.last().unwrap(), "  2026-01-01T00:00:09Z  round 9 was committed (2 times)");
    }
}
