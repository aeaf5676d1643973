//! Numbers and lines as people read them. Pure.
use std::fmt::Write as _;
use std::path::Path;

use coalition_local::Snapshot;
use coalition_local::paste::{path, quoted};
use coalition_planner::status::{Phase, SiteState, SiteStatus};
use coalition_protocol::{Real, RunId, Seq, SiteId};

use crate::view::fit::{Part, fit};

/// A count with a decimal suffix: 950, 4.2k, 1.05M.
pub fn count(n: u64) -> String {
    let x = n as f64;
    match n {
        0..1000 => n.to_string(),
        1000..1_000_000 => format!("{}k", short(x / 1e3)),
        1_000_000..1_000_000_000 => format!("{}M", short(x / 1e6)),
        1_000_000_000..1_000_000_000_000 => format!("{}G", short(x / 1e9)),
        _ => format!("{}T", short(x / 1e12)),
    }
}

/// Three significant digits.
fn short(x: f64) -> String {
    let text = if x < 10.0 {
        format!("{x:.2}")
    } else if x < 100.0 {
        format!("{x:.1}")
    } else {
        return format!("{x:.0}");
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Bytes with a decimal unit: 950 B, 4.2 kB, 1.05 GB.
pub fn bytes(n: u64) -> String {
    let text = count(n);
    match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(unit) => format!("{} {}B", &text[..unit], &text[unit..]),
        None => format!("{text} B"),
    }
}

/// Seconds in words: 42 s, 3 min 20 s, 2 h 05 min.
pub fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match s {
        0..120 => format!("{s} s"),
        120..7200 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
    }
}

/// Now, UTC, to the second: RFC 3339, as every line in a file begins.
pub fn time_of_day() -> String {
    format!("{:.0}", jiff::Timestamp::now())
}

/// A loss with the digits that mean something, nats a token.
pub fn loss(x: Option<Real>) -> String {
    x.map_or_else(|| "-".to_owned(), |x| format!("{:.3}", x.get()))
}

/// A speed, where its unit stands elsewhere.
pub fn rate(x: Option<Real>) -> String {
    x.map_or_else(|| "-".to_owned(), |x| count(x.get() as u64))
}

/// A speed.
pub fn speed(x: Option<Real>) -> String {
    x.map_or_else(|| "-".to_owned(), |_| format!("{} tokens/s", rate(x)))
}

/// The command that writes text from a run checkpoint, whole, so that it can be pasted.
pub fn generate(trainer: &Path, store: &Path, run: &RunId, seq: Seq, data: &Path) -> String {
    let store = quoted(&format!("file://{}", store.display()));
    let (trainer, data) = (path(trainer), path(data));
    format!("{trainer} generate --store {store} --run {run} --seq {seq} --data {data}")
}

/// Committed share of the budget.
pub fn percent(s: &Snapshot) -> u64 {
    (s.status.tokens * 100).checked_div(s.status.budget).unwrap_or(0).min(100)
}

/// Bits a byte at the first and at the newest measurement.
pub fn bits(s: &Snapshot) -> Option<(f64, f64)> {
    Some((s.evaluations.first()?.bits_per_byte.get(), s.evaluations.last()?.bits_per_byte.get()))
}

/// At which commit the newest measurement was made: "now" if none came after it.
pub fn measured(s: &Snapshot) -> String {
    match &s.measured {
        Some(m) if m.round == s.status.round => "now".to_owned(),
        Some(m) => format!("at round {} with {} tokens, the newest measured", m.round, m.tokens),
        None => "at the newest measurement".to_owned(),
    }
}

/// Inner steps of a site over all its incarnations.
pub fn steps(s: &Snapshot, site: &SiteId) -> String {
    let steps = s.steps.get(site).copied().unwrap_or_default();
    match steps.earlier {
        0 => format!("{} steps", steps.total()),
        _ => format!("{} steps, {} of them in incarnation {}", steps.total(), steps.newest, steps.incarnation),
    }
}

/// What a site is doing, in one word: down, if someone asked for that.
pub fn state_of(s: &Snapshot, line: &SiteStatus) -> &'static str {
    if s.down.contains_key(&line.site) { "down" } else { state(line.state) }
}

/// What a site is doing, in one word.
pub fn state(s: SiteState) -> &'static str {
    match s {
        SiteState::Idle => "idle",
        SiteState::Starting => "starting",
        SiteState::Training => "training",
        SiteState::Offered => "offered",
        SiteState::CatchingUp => "catching up",
        SiteState::Silent => "silent",
        SiteState::SetAside => "set aside",
        SiteState::Retired => "retired",
        SiteState::Stopped => "stopped",
        SiteState::Finished => "finished",
    }
}

/// One line for a site within `width` columns: state, round, step, loss, speed, what it waits for.
pub fn site(s: &Snapshot, line: &SiteStatus, width: usize) -> String {
    let state = state_of(s, line);
    let mut parts = vec![Part::new(0, format!("{:<10} {state:<11}", line.site.as_str()))];
    if let Some((round, step)) = place(s, line) {
        parts.push(Part::new(2, format!("round {round:<3} step {step:>7}")));
        parts.push(Part::new(4, format!("loss {:<6} nats/token", loss(line.loss))));
        parts.push(Part::new(3, format!("{:>15}", speed(line.tokens_per_second))));
    }
    if !line.waiting_for.is_empty() {
        parts.push(Part::new(1, format!("waits for {}", line.waiting_for)));
    }
    fit(&parts, width)
}

/// The round that a site works on, and its step in it; none where it works on none. A site is in the round after the last one for
/// an instant, in which there is nothing to do.
pub fn place(s: &Snapshot, line: &SiteStatus) -> Option<(u64, String)> {
    let over = matches!(s.status.phase, Phase::Finishing | Phase::Complete | Phase::Failed);
    if line.inner_steps == 0 || (over && line.round > s.status.round) {
        return None;
    }
    Some((line.round.0, format!("{}/{}", line.inner_step, line.inner_steps)))
}

/// The newest measurement on held-out text, with the round it is of.
pub fn held_out(s: &Snapshot) -> Option<String> {
    let (_, now) = bits(s)?;
    let round = s.measured.map_or_else(String::new, |m| format!(" (round {})", m.round));
    Some(format!("held-out {now:.3} bits/byte{round}"))
}

/// What the run is doing, or was when its runner was last at work.
pub fn doing(s: &Snapshot, at_work: bool) -> String {
    let phase = phase(s.status.phase);
    if at_work || is_at_rest(s) { phase.to_owned() } else { format!("not running (was {phase})") }
}

/// True for a run that is over or saved: that no runner is at work is as it should be.
pub const fn is_at_rest(s: &Snapshot) -> bool {
    matches!(s.status.phase, Phase::Complete | Phase::Failed | Phase::Suspended)
}

/// One line for the run; `at_work` says whether its runner is.
pub fn run(s: &Snapshot, at_work: bool) -> String {
    let status = &s.status;
    let mut out = format!(
        "{} {}: {} committed, {} of {} tokens ({} %)",
        s.run,
        doing(s, at_work),
        rounds(status.round.0),
        count(status.tokens),
        count(status.budget),
        percent(s)
    );
    if status.loss.is_some() {
        let _ = write!(out, ", loss {} nats/token", loss(status.loss));
    }
    if let Some(text) = held_out(s) {
        let _ = write!(out, ", {text}");
    }
    if at_work {
        for text in pace(s) {
            let _ = write!(out, ", {text}");
        }
    }
    out
}

/// Speed and time left.
pub fn pace(s: &Snapshot) -> Vec<String> {
    let eta = s.status.eta_seconds.map(|eta| format!("{} left", duration(eta as f64)));
    s.status.tokens_per_second.map(|v| speed(Some(v))).into_iter().chain(eta).collect()
}

/// A number of rounds.
pub fn rounds(n: u64) -> String {
    if n == 1 { "1 round".to_owned() } else { format!("{n} rounds") }
}

/// What a site is doing, as the end of a sentence that begins with its name.
pub fn phrase(s: SiteState) -> &'static str {
    match s {
        SiteState::Idle => "is no member of the run",
        SiteState::Starting => "is starting its workers",
        SiteState::Training => "is training",
        SiteState::Offered => "has offered its contribution to the round",
        SiteState::CatchingUp => "is catching up with the newest state",
        SiteState::Silent => "is away: nothing is heard of it",
        SiteState::SetAside => "is set aside for a while",
        SiteState::Retired => "is retired: its part of the run is given up",
        SiteState::Stopped => "has saved and stopped",
        SiteState::Finished => "has finished",
    }
}

/// What the run is doing, in words.
pub fn phase(p: Phase) -> &'static str {
    match p {
        Phase::Queued => "queued",
        Phase::Starting => "starting",
        Phase::Training => "training",
        Phase::FailingOver => "failing over",
        Phase::Suspending => "suspending",
        Phase::Suspended => "suspended",
        Phase::Finishing => "finishing",
        Phase::Stalled => "stalled",
        Phase::Complete => "complete",
        Phase::Failed => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (n, text) in
            [(0, "0"), (999, "999"), (1000, "1k"), (4_194_304, "4.19M"), (12_500, "12.5k"), (300_000_000_000, "300G")]
        {
            assert_eq!(count(n), text);
        }
        let speeds = [12_500.0, 950.0].map(|x| speed(Real::new(x).ok()));
        assert_eq!((speeds, speed(None).as_str()), (["12.5k tokens/s".to_owned(), "950 tokens/s".to_owned()], "-"));
        assert_eq!((bytes(950).as_str(), bytes(4_194_304).as_str()), ("950 B", "4.19 MB"));
        for (s, text) in [(0.4, "0 s"), (119.0, "119 s"), (200.0, "3 min 20 s"), (7500.0, "2 h 05 min")] {
            assert_eq!(duration(s), text);
        }
        // Twenty letters: a date, T, a time, Z.
        assert_eq!(time_of_day().len(), "2026-01-01T00:00:00Z".len());
        assert!(time_of_day().ends_with('Z'));
    }

    #[test]
    fn the_command_that_writes_text_is_whole() {
        let path = |p| Path::new(p);
        let run = "quickstart".parse().unwrap();
        assert_eq!(
            generate(path("/b/coalition-trainer"), path("/s/north/store"), &run, Seq(57), path("/d")),
            "/b/coalition-trainer generate --store file:///s/north/store --run quickstart --seq 57 --data /d"
        );
    }
}
