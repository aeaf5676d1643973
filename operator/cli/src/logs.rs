//! `logs` of a local run: what supervisors and workers of a site wrote.
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use coalition_local::control::POLL;
use coalition_local::{Layout, LocalError, exit_code};
use coalition_protocol::SiteId;
use serde_json::Value;

use crate::args::{LogOutput, Logs};
use crate::find;
use crate::out::{self, say};
use crate::style;

/// Most of a log that is read for its last lines.
const TAIL: u64 = 4 << 20;

/// One worker's log, open.
struct Open {
    site: SiteId,
    worker: u32,
    path: PathBuf,
    file: File,
    /// The beginning of a line whose end is not written yet.
    begun: Vec<u8>,
}

/// Shows logs of one site, or of all.
pub fn logs(dir: &Path, site: Option<&str>, l: &Logs) -> Result<u8, LocalError> {
    let (layout, chosen) = if let Some(site) = site {
        find::site("logs", site, dir).map(|(layout, site)| (layout, vec![site]))?
    } else {
        let layout = find::layout(dir)?;
        let all = sites(&layout).iter().filter_map(|s| s.parse().ok()).collect();
        (layout, all)
    };
    let mut open = Vec::new();
    for site in &chosen {
        for worker in workers(&layout, site).into_iter().filter(|w| l.worker.is_none_or(|x| x == *w)) {
            let path = layout.log(site, worker);
            let file = File::open(&path).map_err(|e| LocalError::read(&path, &e))?;
            open.push(Open { site: site.clone(), worker, path, file, begun: Vec::new() });
        }
    }
    if open.is_empty() {
        return Err(no_log(&layout, &chosen, l.worker));
    }
    let many = (chosen.len() > 1, open.len() > 1);
    for log in &mut open {
        head(many, log);
        last_lines(&log.path, &mut log.file, l.tail, l.output)?;
    }
    if !l.follow {
        return Ok(exit_code::OK);
    }
    let mut spoke = None;
    loop {
        std::thread::sleep(POLL);
        for (n, log) in open.iter_mut().enumerate() {
            log.file.read_to_end(&mut log.begun).map_err(|e| LocalError::read(&log.path, &e))?;
            let whole = log.begun.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
            let new: Vec<u8> = log.begun.drain(..whole).collect();
            if !new.is_empty() {
                if spoke != Some(n) {
                    head(many, log);
                    spoke = Some(n);
                }
                show(&new, l.output);
            }
        }
    }
}

/// Why there is no log to show.
fn no_log(layout: &Layout, chosen: &[SiteId], worker: Option<u32>) -> LocalError {
    let (path, all) = match chosen {
        [site] => (worker.map_or_else(|| layout.logs(site), |w| layout.log(site, w)), workers(layout, site)),
        _ => (layout.dir().join("sites"), chosen.iter().flat_map(|s| workers(layout, s)).collect()),
    };
    let (whose, has) =
        if let [_] = chosen { ("of this site", "this site has") } else { ("of any site", "its sites have") };
    let what = if all.is_empty() {
        format!("no such log: no worker {whose} has started yet")
    } else {
        let there = all.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        format!("no such log: {has} those of worker {there}")
    };
    LocalError::Input { path, what }
}

/// Whose lines follow, where there are several: `many` sites, or logs.
fn head(many: (bool, bool), log: &Open) {
    let who = match many {
        (true, _) => format!("{} worker {}", log.site, log.worker),
        (false, true) => format!("worker {}", log.worker),
        (false, false) => return,
    };
    say!("{}", style::strong(&format!("==> {who} <==")));
}

fn last_lines(path: &Path, file: &mut File, lines: usize, output: LogOutput) -> Result<(), LocalError> {
    let unreadable = |e: std::io::Error| LocalError::read(path, &e);
    let size = file.metadata().map_err(unreadable)?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL))).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    let ends: Vec<usize> = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(n, _)| n + 1).collect();
    let from = ends.len().checked_sub(lines.saturating_add(1)).map_or(0, |n| ends[n]);
    show(&bytes[from..], output);
    Ok(())
}

/// Writes lines of a log.
fn show(lines: &[u8], output: LogOutput) {
    match output {
        LogOutput::Json => out::bytes(lines),
        LogOutput::Text => {
            let text = String::from_utf8_lossy(lines);
            let shown = text.split_inclusive('\n').map(|l| readable(l).unwrap_or_else(|| l.to_owned()));
            out::bytes(shown.collect::<String>().as_bytes());
        }
    }
}

/// An event that a trainer wrote as JSON, as people read it: when, what, and its fields as key=value. None for other lines.
/// `at` is the time of day, `ms` the machine's monotonic clock, which puts lines of several workers in order.
pub fn readable(line: &str) -> Option<String> {
    let mut fields: serde_json::Map<String, Value> = serde_json::from_str(line).ok()?;
    let event = fields.remove("event")?;
    let at = fields.remove("at").and_then(|v| v.as_str().map(str::to_owned));
    let ms = fields.remove("ms").and_then(|v| v.as_u64());
    let at = at.or_else(|| Some(format!("{:.3} s", ms? as f64 / 1000.0))).unwrap_or_default();
    let fields: Vec<String> = fields.iter().map(|(k, v)| format!("{k}={}", plain(v))).collect();
    Some(format!("{at} {} {}", plain(&event), fields.join(" ")).trim().to_owned() + "\n")
}

/// Strings without quotes unless they need them, fractions with four significant digits; everything else as in JSON, where all
/// digits stand (`-o json`).
fn plain(value: &Value) -> String {
    if let Some(x) = value.as_f64().filter(|x| value.is_f64() && x.is_finite()) {
        return significant(x);
    }
    match value.as_str() {
        Some(s) if !s.is_empty() && !s.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"') => {
            s.to_owned()
        }
        _ => value.to_string(),
    }
}

/// A number with four significant digits, and no zeros behind them.
fn significant(x: f64) -> String {
    let magnitude = if x == 0.0 { 0 } else { x.abs().log10().floor() as i32 };
    if !(-4..9).contains(&magnitude) {
        return format!("{x:.3e}");
    }
    let text = format!("{x:.*}", (3 - magnitude).max(0) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Sites of a state folder, by name.
pub fn sites(layout: &Layout) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(layout.dir().join("sites")) else { return Vec::new() };
    let mut names: Vec<String> = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn workers(layout: &Layout, site: &SiteId) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(layout.logs(site)) else { return Vec::new() };
    let number = |name: &str| name.strip_prefix("worker-")?.strip_suffix(".log")?.parse().ok();
    let mut all: Vec<u32> = entries.flatten().filter_map(|e| number(&e.file_name().to_string_lossy())).collect();
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::{readable, significant};

    #[test]
    fn numbers_have_four_digits() {
        for (x, text) in [
            (0.123_456_789, "0.1235"),
            (5.0, "5"),
            (12_345.678, "12346"),
            (0.000_3, "0.0003"),
            (0.000_001_234_56, "1.235e-6"),
            (-2.5, "-2.5"),
            (0.0, "0"),
        ] {
            assert_eq!(significant(x), text);
        }
        let line = r#"{"event":"step","ms":1000,"gradientNorm":0.7312345678901234,"step":12}"#;
        assert_eq!(readable(line).as_deref(), Some("1.000 s step gradientNorm=0.7312 step=12\n"));
    }

    #[test]
    fn events_are_lines_for_people() {
        let with_time = r#"{"event":"committed","at":"2026-01-01T00:00:00Z","ms":12345,"round":3,"site":"north","why":"two words"}"#;
        let told = readable(with_time);
        assert_eq!(told.as_deref(), Some("2026-01-01T00:00:00Z committed round=3 site=north why=\"two words\"\n"));
        assert_eq!(readable(r#"{"event":"ready","ms":12345}"#).as_deref(), Some("12.345 s ready\n"));
        for other in ["INFO something", "{\"half", "{\"ms\":1}", "[1]", ""] {
            assert_eq!(readable(other), None, "{other}");
        }
    }
}
