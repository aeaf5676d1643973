//! A TrainingRun as lines and rows, in the words a local run has too. Pure: from objects to text.
use std::fmt::Write as _;

use coalition_crds::TrainingRun;
use coalition_crds::conditions::Phase;
use coalition_crds::names::STOP_ANNOTATION;
use coalition_crds::training_run::{SiteStatus, TrainingRunStatus};
use coalition_protocol::Real;
use kube::ResourceExt;

use super::words::{Said, said};
use crate::show;
use crate::style;
use crate::table;

/// Where nothing is known.
const NONE: &str = "-";

/// What a run is called, so that it cannot be taken for a local one.
pub fn title(run: &TrainingRun) -> String {
    format!("TrainingRun {}/{}", run.namespace().unwrap_or_default(), run.name_any())
}

/// What its hub says of it.
pub fn told(run: &TrainingRun) -> Option<Said> {
    said(&run.status.as_ref()?.conditions)
}

/// Phase and reason in colour.
pub fn doing(s: &Said) -> String {
    let text = format!("{} ({})", show::phase(s.phase), s.reason);
    match s.phase {
        Phase::Stalled | Phase::Failed => style::error(&text),
        Phase::FailingOver => style::warning(&text),
        Phase::Suspended if s.reason == "StopRequested" => style::warning(&text),
        _ => style::good(&text),
    }
}

/// One line: what it does, how far it is, how fast.
pub fn line(run: &TrainingRun) -> String {
    let Some((status, s)) = run.status.as_ref().zip(told(run)) else {
        return format!("{} {}", title(run), style::warning("has no status yet"));
    };
    let mut out = format!("{} {}", title(run), doing(&s));
    let Some(p) = &status.progress else { return out };
    let (tokens, rounds) = (count(p.tokens), show::rounds(unsigned(p.round)));
    let _ = write!(out, ": {rounds} committed, {tokens} of {} tokens ({} %)", budget(run), p.percent);
    if let Some(loss) = &p.loss {
        let _ = write!(out, ", loss {} nats/token", decimal(loss, 3));
    }
    if let Some(bits) = &p.bits_per_byte {
        let _ = write!(out, ", held-out {} bits/byte", decimal(bits, 3));
    }
    if let Some(speed) = &p.tokens_per_second {
        let _ = write!(out, ", {}", show::speed(speed.parse().ok().and_then(|x| Real::new(x).ok())));
    }
    if let Some(eta) = p.eta_seconds {
        let _ = write!(out, ", {} left", show::duration(eta as f64));
    }
    out
}

/// What concerns the whole run and stands in no other line: whether its hub has seen the newest spec, who stopped it.
pub fn notes(run: &TrainingRun) -> Vec<String> {
    let mut out = Vec::new();
    let Some(status) = &run.status else {
        return vec![
            "no hub has looked at it yet: is a coalition-operator with `--roles hub` running, and does it watch this namespace?"
                .to_owned(),
        ];
    };
    let (seen, newest) = (status.observed_generation, run.metadata.generation);
    if let (Some(seen), Some(newest)) = (seen, newest)
        && seen < newest
    {
        out.push(format!(
            "this is about generation {seen} of the spec: the hub has not acted on generation {newest} yet"
        ));
    }
    if run.metadata.deletion_timestamp.is_some() {
        out.push("it is being deleted".to_owned());
    }
    if let Some(why) = run.annotations().get(STOP_ANNOTATION) {
        let why = if why.is_empty() { "no reason was given" } else { why };
        out.push(format!("stopped by annotation {STOP_ANNOTATION}: {why}; `{}` goes on", command("resume", run)));
    }
    if run.spec.suspend {
        out.push("spec.suspend is true: whoever applies its manifest lets it go on with false".to_owned());
    }
    out
}

/// The sites of a run.
pub fn sites(status: &TrainingRunStatus, wide: bool) -> String {
    let mut header = vec!["SITE", "STATE", "WORKERS", "WAITS FOR"];
    if wide {
        header.extend(["NEXT", "INCARNATION", "ATTEMPT"]);
    }
    let row = |s: &SiteStatus| {
        let mut row = vec![
            s.name.clone(),
            show::state(s.state).to_owned(),
            format!("{}/{}", s.workers_ready, s.workers),
            or_none(&s.waiting_for),
        ];
        if wide {
            row.extend([or_none(&s.next), s.incarnation.to_string(), s.attempt.to_string()]);
        }
        row
    };
    table::plain(&header, status.sites.iter().map(row))
}

/// The newest kept checkpoint of a run.
pub fn checkpoint(status: &TrainingRunStatus) -> Option<String> {
    let c = status.checkpoint.as_ref()?;
    let enough = if c.consistent { "" } else { " (not at enough sites yet)" };
    let since = count(c.tokens_since);
    let copies = c.copies.join(", ");
    Some(format!("checkpoint {} of record {} at {copies}{enough}; {since} tokens were committed since", c.name, c.seq))
}

/// All of it, as `status RUN` shows it.
pub fn one(run: &TrainingRun, wide: bool) -> String {
    let mut out = vec![line(run)];
    if let Some(status) = &run.status {
        if !status.sites.is_empty() {
            out.push(sites(status, wide));
        }
        out.extend(checkpoint(status));
        if let Some(r) = status.restarts.filter(|r| r.charged + r.infrastructure > 0) {
            let (charged, other) = (r.charged, r.infrastructure);
            out.push(format!("restarts: {charged} counted against failurePolicy.maxRestarts, {other} not"));
        }
        if let (true, Some(h)) = (wide, &status.history) {
            let epoch = status.epoch.unwrap_or_default();
            out.push(format!("history: record {} in epoch {epoch}, digest {}", h.seq, h.digest));
        }
    }
    out.extend(notes(run).iter().map(|n| style::warning(n)));
    out.join("\n")
}

/// Many runs, as `status` shows them.
pub fn many(runs: &[TrainingRun], wide: bool, with_namespace: bool) -> String {
    let mut header = vec!["NAME", "PHASE", "REASON", "SITES", "ROUNDS", "TOKENS", "LOSS", "CHECKPOINT"];
    if with_namespace {
        header.insert(0, "NAMESPACE");
    }
    if wide {
        header.extend(["TOKENS/S", "LEFT", "EPOCH", "RESTARTS"]);
    }
    let row = |run: &TrainingRun| {
        let s = told(run);
        let status = run.status.clone().unwrap_or_default();
        let p = status.progress.unwrap_or_default();
        let mut row = vec![
            run.name_any(),
            s.as_ref().map_or(NONE.to_owned(), |s| show::phase(s.phase).to_owned()),
            s.map_or(NONE.to_owned(), |s| s.reason),
            status.sites_ready.unwrap_or_else(|| NONE.to_owned()),
            p.round.to_string(),
            format!("{} of {} ({} %)", count(p.tokens), budget(run), p.percent),
            p.loss.as_deref().map_or(NONE.to_owned(), |l| decimal(l, 3)),
            status.checkpoint.map_or(NONE.to_owned(), |c| c.name),
        ];
        if with_namespace {
            row.insert(0, run.namespace().unwrap_or_default());
        }
        if wide {
            let restarts = status.restarts.unwrap_or_default();
            row.extend([
                p.tokens_per_second
                    .map_or(NONE.to_owned(), |v| show::rate(v.parse().ok().and_then(|x| Real::new(x).ok()))),
                p.eta_seconds.map_or(NONE.to_owned(), |s| show::duration(s as f64)),
                status.epoch.map_or(NONE.to_owned(), |e| e.to_string()),
                (restarts.charged + restarts.infrastructure).to_string(),
            ]);
        }
        row
    };
    table::plain(&header, runs.iter().map(row))
}

/// A command about this run, as it can be pasted.
pub fn command(verb: &str, run: &TrainingRun) -> String {
    format!("kubectl coalition {verb} {} -n {}", run.name_any(), run.namespace().unwrap_or_default())
}

/// The budget as people read it.
fn budget(run: &TrainingRun) -> String {
    let text = run.spec.training.tokens.text();
    coalition_spec::tokens::parse(&text).map_or_else(|_| text.to_string(), show::count)
}

/// A count that the API carries with a sign.
pub fn count(n: i64) -> String {
    show::count(unsigned(n))
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or_default()
}

/// A decimal with so many places; as it stands if it is none.
fn decimal(text: &str, places: usize) -> String {
    text.parse::<f64>().map_or_else(|_| text.to_owned(), |x| format!("{x:.places$}"))
}

fn or_none(text: &str) -> String {
    if text.is_empty() { NONE.to_owned() } else { text.to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn run() -> TrainingRun {
        crate::cluster::object(include_str!("../../tests/objects/run.yaml"))
    }

    #[test]
    fn one_run_is_told_whole() {
        insta::assert_snapshot!(format!("{}\n\n{}", one(&run(), false), one(&run(), true)));
    }

    #[test]
    fn many_runs_are_rows() {
        let fresh = TrainingRun { status: None, ..run() };
        let all = [run(), fresh];
        insta::assert_snapshot!(format!("{}\n\n{}", many(&all, false, false), many(&all, true, true)));
    }

    #[test]
    fn what_is_behind_or_stopped_is_said() {
        let mut run = run();
        assert!(notes(&run).is_empty());
        run.metadata.generation = Some(2);
        run.spec.suspend = true;
        run.annotations_mut().insert(STOP_ANNOTATION.to_owned(), "the loss looks wrong".to_owned());
        insta::assert_snapshot!(notes(&run).join("\n"));
        run.status = None;
        assert!(
            line(&run).ends_with("has no status yet") && notes(&run).concat().contains("no hub has looked at it yet")
        );
    }
}
