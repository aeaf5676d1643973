//! Lines of several workers' logs as one: by time, each with the site and the worker that wrote it. Pure. The times are those of
//! the nodes, whose clocks differ: they put lines in order for people, and nothing else hangs on them.
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::args::LogOutput;
use crate::logs::readable;
use crate::style;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When its node took it.
    pub at: Timestamp,
    /// The site.
    pub site: String,
    /// The worker's rank in the site's gang.
    pub worker: u32,
    /// What was written.
    pub text: String,
}

impl Line {
    /// A line as the API server gives it with its time in front; one without a time has that of the line before.
    pub fn of(site: &str, worker: u32, raw: &str, before: Timestamp) -> Self {
        let parts = raw.split_once(' ').and_then(|(at, text)| Some((at.parse::<Timestamp>().ok()?, text)));
        // What has no text has no blank after the time either.
        let (at, text) = parts.or_else(|| Some((raw.parse().ok()?, ""))).unwrap_or((before, raw));
        // A clock that was set back does not change the order of one log.
        Self { at: at.max(before), site: site.to_owned(), worker, text: text.trim_end_matches(['\n', '\r']).to_owned() }
    }

    /// As it is shown.
    pub fn shown(&self, output: LogOutput) -> String {
        match output {
            LogOutput::Text => {
                let text = readable(&self.text).map_or_else(|| self.text.clone(), |t| t.trim_end().to_owned());
                format!("{} {text}", style::faint(&format!("{}/{}", self.site, self.worker)))
            }
            LogOutput::Json => {
                let event: Option<Value> = serde_json::from_str(&self.text).ok().filter(Value::is_object);
                let mut out = json!({"site": self.site, "worker": self.worker, "at": self.at.to_string()});
                match event {
                    Some(event) => out["event"] = event,
                    None => out["line"] = Value::String(self.text.clone()),
                }
                out.to_string()
            }
        }
    }
}

/// One log, oldest first.
pub fn log(site: &str, worker: u32, text: &str) -> Vec<Line> {
    let mut out: Vec<Line> = Vec::new();
    for raw in text.lines() {
        let before = out.last().map_or(Timestamp::MIN, |l| l.at);
        out.push(Line::of(site, worker, raw, before));
    }
    out
}

/// All logs as one; or, `by_rank`, one after the other.
pub fn merge(mut logs: Vec<Vec<Line>>, by_rank: bool) -> Vec<Line> {
    logs.sort_by(|a, b| {
        let key = |log: &[Line]| log.first().map(|l| (l.site.clone(), l.worker));
        key(a).cmp(&key(b))
    });
    let mut all: Vec<Line> = logs.into_iter().flatten().collect();
    if !by_rank {
        // Stable: lines of one instant stay in the order of site and worker.
        all.sort_by_key(|l| l.at);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const NORTH: &str = "2026-01-01T00:00:01.000000000Z INFO began\n\
        2026-01-01T00:00:03.500000000Z {\"event\":\"step\",\"ms\":3500,\"loss\":5.123456,\"step\":1}\n\
        2026-01-01T00:00:02.000000000Z after the clock was set back\n";
    const SOUTH: &str = "2026-01-01T00:00:03.000000000Z INFO joined\n2026-01-01T00:00:09Z\n";

    #[test]
    fn lines_of_all_workers_stand_in_order_of_time() {
        let logs = || vec![log("south", 1, SOUTH), log("north", 0, NORTH)];
        let shown =
            |by_rank| -> Vec<String> { merge(logs(), by_rank).iter().map(|l| l.shown(LogOutput::Text)).collect() };
        assert_eq!(
            shown(false),
            [
                "north/0 INFO began",
                "south/1 INFO joined",
                "north/0 3.500 s step loss=5.123 step=1",
                "north/0 after the clock was set back",
                "south/1 ",
            ]
        );
        assert_eq!(shown(true).last().map(String::as_str), Some("south/1 "));
        assert_eq!(shown(true).get(1).map(String::as_str), Some("north/0 3.500 s step loss=5.123 step=1"));
    }

    #[test]
    fn machines_get_site_and_worker_with_every_line() {
        let all = merge(vec![log("north", 0, NORTH)], false);
        let shown: Vec<String> = all.iter().map(|l| l.shown(LogOutput::Json)).collect();
        let parsed: Vec<Value> = shown.iter().filter_map(|l| serde_json::from_str(l).ok()).collect();
        assert_eq!(
            parsed.first(),
            Some(&json!({"site": "north", "worker": 0, "at": "2026-01-01T00:00:01Z", "line": "INFO began"}))
        );
        assert_eq!(parsed.get(1).and_then(|v| v.pointer("/event/loss")), Some(&json!(5.123_456)));
    }
}
