//! `status` and `why` of a local run: what the runner last wrote about a run, and whether it is still at work.
use std::path::Path;

use coalition_local::lock::RunnerLock;
use coalition_local::{Layout, LocalError, Snapshot, durable, exit_code, paste};
use coalition_planner::status::{Phase, SiteStatus};

use crate::args::Output;
use crate::out::{note, say};
use crate::show;
use crate::style;
use crate::table;

/// The last word of a runner on the run, and whether it is at work.
fn read(layout: &Layout) -> Result<(Snapshot, bool), LocalError> {
    let (status, damage) = durable::read_or_absent(&layout.status())?;
    let resume = paste::command("resume", layout.dir());
    let what = match damage {
        Some(_) => format!("it is damaged, and only a view of the run: `{resume}` writes it anew"),
        None => format!("the run has not started yet: `{resume}` starts it"),
    };
    let s: Snapshot = status.ok_or_else(|| LocalError::Input { path: layout.status(), what })?;
    let at_work = RunnerLock::is_held(layout);
    if let Some(pid) = RunnerLock::holder(layout).filter(|pid| at_work && *pid != s.runner) {
        let text =
            format!("a runner has just started (process {pid}): what follows is the last word of the one before it");
        note!("{}", style::warning(&text));
    }
    Ok((s, at_work))
}

/// Shows the status.
pub fn status(dir: &Path, output: Output) -> Result<u8, LocalError> {
    let layout = crate::find::layout(dir)?;
    let (snapshot, at_work) = read(&layout)?;
    let bug = |e: String| LocalError::Bug(e);
    match output {
        Output::Json => say!("{}", serde_json::to_string_pretty(&snapshot).map_err(|e| bug(e.to_string()))?),
        Output::Yaml => say!("{}", serde_saphyr::to_string(&snapshot).map_err(|e| bug(e.to_string()))?.trim_end()),
        wide => {
            say!("{}", show::run(&snapshot, at_work));
            say!("{}", sites(&snapshot, at_work, wide == Output::Wide));
            if let Some(c) = &snapshot.status.checkpoint {
                let copies: Vec<&str> = c.copies.iter().map(coalition_protocol::SiteId::as_str).collect();
                say!(
                    "checkpoint of record {} at {}{}; {} tokens were committed since",
                    c.seq,
                    copies.join(", "),
                    if c.consistent { "" } else { " (not at enough sites yet)" },
                    show::count(c.tokens_since)
                );
            }
            if let Some((first, last)) = show::bits(&snapshot) {
                say!("held-out: {first:.3} bits a byte before, {last:.3} {}", show::measured(&snapshot));
            }
            way_on(&layout, &snapshot, at_work);
        }
    }
    Ok(exit_code::OK)
}

fn way_on(layout: &Layout, s: &Snapshot, at_work: bool) {
    if !at_work && !matches!(s.status.phase, Phase::Complete | Phase::Failed) {
        let text = format!("no runner is at work: `{}` goes on", paste::command("resume", layout.dir()));
        say!("{}", style::warning(&text));
    }
}

fn sites(s: &Snapshot, at_work: bool, wide: bool) -> String {
    let mut header = vec!["SITE", "STATE", "WORKERS", "ROUND", "STEP", "LOSS (NATS/TOKEN)", "TOKENS/S", "WAITS FOR"];
    if wide {
        header.extend(["INCARNATION", "ATTEMPT", "STEPS", "MISSED", "TRAINING", "WAITING", "AWAY"]);
    }
    let mut rows = Vec::new();
    for l in &s.status.sites {
        let state = show::state_of(s, l);
        // Of a runner that is gone this is what was, and no speed.
        let was = !at_work && !show::is_at_rest(s);
        let (round, step) =
            show::place(s, l).map_or(("-".to_owned(), "-".to_owned()), |(r, step)| (r.to_string(), step));
        let mut row = vec![
            l.site.to_string(),
            if was { format!("was {state}") } else { state.to_owned() },
            format!("{}/{}", l.workers_ready, l.workers),
            round,
            step,
            show::loss(l.loss),
            show::rate(l.tokens_per_second.filter(|_| at_work)),
            if l.waiting_for.is_empty() || was { "-".to_owned() } else { l.waiting_for.clone() },
        ];
        if wide {
            let spent = s.spent.get(&l.site).copied().unwrap_or_default();
            row.extend([
                l.incarnation.to_string(),
                l.attempt.to_string(),
                s.steps.get(&l.site).map_or(l.step, coalition_local::Steps::total).to_string(),
                l.missed.to_string(),
                show::duration(spent.training),
                show::duration(spent.waiting),
                show::duration(spent.away),
            ]);
        }
        rows.push(row);
    }
    table::plain(&header, rows)
}

/// Says what is happening, why, and what comes next.
pub fn why(dir: &Path) -> Result<u8, LocalError> {
    let layout = crate::find::layout(dir)?;
    let (s, at_work) = read(&layout)?;
    let name = format!("{} ({})", show::doing(&s, at_work), s.status.reason);
    let name = match s.status.phase {
        Phase::Stalled | Phase::Failed => style::error(&name),
        Phase::FailingOver => style::warning(&name),
        _ if !at_work && !show::is_at_rest(&s) => style::warning(&name),
        _ => style::good(&name),
    };
    say!("{}: {name}", style::strong(s.run.as_str()));
    if !at_work && !show::is_at_rest(&s) {
        let was = |l: &SiteStatus| format!("{} was {}", l.site, show::state_of(&s, l));
        let sites: Vec<String> = s.status.sites.iter().map(was).collect();
        say!("  when its runner was last at work: {}; {}", s.status.message, sites.join(", "));
    } else {
        say!("  {}", s.status.message);
        s.status.sites.iter().for_each(|l| why_site(&s, l));
    }
    if !s.events.is_empty() {
        say!("{}", style::faint("lately:"));
        for t in s.events.iter().rev().take(8).rev() {
            let text = format!("  {:>8}  {}", show::duration(t.seconds), t.event.message);
            say!("{}", if t.event.warning { style::warning(&text) } else { style::faint(&text) });
        }
    }
    way_on(&layout, &s, at_work);
    Ok(exit_code::OK)
}

/// What a site is doing, what it waits for, and what comes next.
fn why_site(s: &Snapshot, l: &SiteStatus) {
    let phrase = if s.down.contains_key(&l.site) { "is down on request" } else { show::phrase(l.state) };
    say!("{} {phrase}", style::strong(l.site.as_str()));
    if !l.waiting_for.is_empty() {
        say!("  waits for {}", l.waiting_for);
    }
    if !l.next.is_empty() {
        say!("  next: {}", l.next);
    }
}
