//! What nextest's JUnit file says: each test's name, time, whether it failed, and whether it skipped itself.
//!
//! A test that cannot do its work here (no root, no server) prints a line beginning with `SKIPPED:` and a reason, and
//! returns. The runner counts it as passed; the gate counts it as skipped.

use super::tally::Tally;

/// Adds the tests of a JUnit file to `tally` and returns how many there were. The file is nextest's own, so a small
/// reader of its regular form is enough.
pub fn add(tally: &mut Tally, xml: &str) -> u32 {
    let mut tests = 0;
    for case in xml.split("<testcase ").skip(1) {
        let (head, rest) = case.split_once('>').unwrap_or((case, ""));
        let body = if head.ends_with('/') { "" } else { rest.split("</testcase>").next().unwrap_or("") };
        let name = format!("{} {}", attribute(head, "classname"), attribute(head, "name"));
        tests += 1;
        tally.time(attribute(head, "time").parse().unwrap_or(0.0), &name);
        if body.contains("<failure") || body.contains("<error") {
            tally.fail(&name);
        } else if let Some(reason) = skipped(body) {
            tally.skip(&format!("{name}: {reason}"));
        } else {
            tally.pass();
        }
    }
    tests
}

fn skipped(body: &str) -> Option<String> {
    let at = body.find("SKIPPED:")?;
    let line = body[at + "SKIPPED:".len()..].lines().next().unwrap_or("");
    Some(unescape(line.split('<').next().unwrap_or(line).trim()))
}

fn attribute(head: &str, name: &str) -> String {
    let mark = format!("{name}=\"");
    head.match_indices(&mark)
        // `classname` ends in `name`: only a whole word counts.
        .find(|(at, _)| *at == 0 || head[..*at].ends_with(char::is_whitespace))
        .and_then(|(at, _)| head[at + mark.len()..].split('"').next())
        .map(unescape)
        .unwrap_or_default()
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What nextest writes: a pass, a skip that says so, a failure.
    const FILE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="gate" tests="3" failures="1" errors="0">
  <testsuite name="coalition-store" tests="3" disabled="0" errors="0" failures="1">
    <testcase name="folder::create_only" classname="coalition-store" timestamp="2026-01-01T00:00:00Z" time="0.012"/>
    <testcase name="s3::conformance" classname="coalition-store" time="1.5">
      <system-err>SKIPPED: no S3 server &amp; no way to it
running</system-err>
    </testcase>
    <testcase name="broken" classname="coalition-store" time="0.2">
      <failure message="panicked" type="test failure">assertion</failure>
      <system-err>SKIPPED: nothing, it failed</system-err>
    </testcase>
  </testsuite>
</testsuites>"#;

    #[test]
    fn passes_failures_and_skips_are_told_apart() {
        let mut tally = Tally::default();
        assert_eq!(add(&mut tally, FILE), 3);
        assert_eq!(tally.to_string(), "1 passed, 1 failed, 1 skipped");
        assert_eq!(tally.skips, ["coalition-store s3::conformance: no S3 server & no way to it"]);
        assert_eq!(tally.failures, ["coalition-store broken"]);
        assert_eq!(tally.slowest(1), [(1.5, "coalition-store s3::conformance")]);
    }
}
