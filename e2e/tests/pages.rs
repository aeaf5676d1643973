//! What people read holds together and says what the code says: links lead somewhere, every runbook is in the index and has its
//! parts, whoever needs help is led to one, and figures and reasons of the code have their rows. Reads files alone.

#![allow(clippy::expect_used)] // a page that cannot be read has failed

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The root of the sources.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// What every runbook answers; one about a decision of people has no failure to explain.
const PARTS: [&str; 3] = ["## What you do", "## Over when", "## Do not"];

/// Files of this kind below `folder`, but for what is hidden or built.
fn files(folder: &Path, kind: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the sources") {
        let entry = entry.expect("an entry");
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let is = entry.file_type().expect("a kind");
        if is.is_dir() && !name.starts_with('.') && name != "target" && name != "venv" {
            files(&path, kind, found);
        } else if is.is_file() && path.extension().is_some_and(|x| x == kind) {
            found.push(path);
        }
    }
}

fn all(folder: &str, kind: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&Path::new(ROOT).join(folder), kind, &mut found);
    assert!(!found.is_empty(), "{folder} has no .{kind}");
    found
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("text")
}

fn page(path: &str) -> String {
    text(&Path::new(ROOT).join(path))
}

/// The targets of the links of a page, but for those into the web and to places on the page itself.
fn links(page: &str) -> Vec<String> {
    let ends = page.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    let inside = ends.filter(|t| !t.contains("://") && !t.starts_with('#') && !t.contains(char::is_whitespace));
    inside.map(|t| t.split('#').next().unwrap_or(t).to_owned()).collect()
}

/// The rows of all tables of a page: cells without spaces around them.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let lines = page.lines().filter(|l| l.starts_with("| "));
    lines.map(|l| l.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The code of a source file before its tests.
fn code(source: &str) -> &str {
    source.split("#[cfg(test)]").next().unwrap_or(source)
}

#[test]
fn every_link_leads_to_a_file() {
    let mut broken = Vec::new();
    let mut seen = 0;
    for path in all(".", "md") {
        let folder = path.parent().expect("a folder");
        for link in links(&text(&path)) {
            seen += 1;
            if !folder.join(&link).exists() {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(seen > 100, "only {seen} links were found");
}

#[test]
fn every_runbook_is_in_the_index_and_has_its_parts() {
    let folder = "operator/docs/runbooks";
    let index: BTreeSet<String> = links(&page(&format!("{folder}/README.md"))).into_iter().collect();
    let mut count = 0;
    for path in all(folder, "md") {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if name == "README.md" {
            continue;
        }
        count += 1;
        assert!(index.contains(&name), "README.md of the runbooks does not lead to {name}");
        let page = text(&path);
        for part in PARTS {
            let is = |l: &str| l.starts_with(part) || (part == "## What you do" && l.ends_with(", and what you do"));
            assert!(page.lines().any(is), "{name} has no part `{part}`");
        }
        let lines = page.lines().count();
        assert!((25..=60).contains(&lines), "{name} has {lines} lines: whoever reads it is in a hurry");
    }
    assert!(count >= 15, "only {count} runbooks");
}

/// Stalled, failed or failing over: there somebody has to know more than a cell of a table holds.
#[test]
fn whoever_needs_help_is_led_to_a_runbook() {
    let conditions = page("operator/docs/conditions.md");
    let mut seen = 0;
    for row in rows(&conditions).iter().filter(|r| r.len() == 8) {
        if row[4] == "True" || row[0] == "FailingOver" {
            seen += 1;
            assert!(row[7].contains("](runbooks/"), "{} {} leads to no runbook", row[0], row[1]);
        }
    }
    assert!(seen >= 15, "the table has another form now: {seen} rows were found");
}

/// Names between quotes in a source that have the form of a reason.
fn reasons(source: &str) -> BTreeSet<String> {
    let quoted = code(source).split('"').skip(1).step_by(2);
    let is = |w: &&str| w.len() > 2 && w.starts_with(char::is_uppercase) && w.chars().all(|c| c.is_ascii_alphabetic());
    let not = ["Ready", "True", "False", "Site"];
    quoted.filter(is).filter(|w| !not.contains(w)).map(str::to_owned).collect()
}

#[test]
fn every_reason_of_the_other_kinds_has_a_row_and_no_row_is_of_another() {
    let conditions = page("operator/docs/conditions.md");
    let sources = [
        ("Site", "operator/hub/src/sites.rs"),
        ("Checkpoint", "operator/hub/src/checkpoints.rs"),
        ("Gang", "operator/site/src/gang/report.rs"),
    ];
    for (kind, source) in sources {
        let of = rows(&conditions);
        let of = of.iter().filter(|r| r.len() == 4 && r[0] == kind);
        let told: BTreeSet<String> = of.map(|r| r[1].trim_matches('*').to_owned()).collect();
        assert_eq!(told, reasons(&page(source)), "{kind}: conditions.md and {source}");
    }
}

#[test]
fn every_figure_has_a_row_and_no_row_is_of_another() {
    let metrics = page("operator/docs/metrics.md");
    let table = rows(&metrics);
    let rows: Vec<&Vec<&str>> = table.iter().filter(|r| r.len() == 5 && r[0].starts_with("`coalition_")).collect();
    assert!(rows.iter().all(|r| r.iter().enumerate().all(|(n, cell)| n == 2 || !cell.is_empty())), "a cell is empty");
    // Counters and infos get an ending of their own when they are shown.
    let bare = |name: &str| name.trim_end_matches("_total").trim_end_matches("_info").to_owned();
    let told: BTreeSet<String> = rows.iter().map(|r| bare(r[0].trim_matches('`'))).collect();
    let mut known = BTreeSet::new();
    for path in all("operator", "rs") {
        let source = text(&path);
        for rest in code(&source).split("register(").skip(1) {
            let Some(rest) = rest.trim_start().strip_prefix('"') else { continue };
            known.extend(rest.split('"').next().map(|name| format!("coalition_{name}")));
        }
    }
    assert!(known.len() > 8, "{known:?}");
    assert_eq!(told, known, "operator/docs/metrics.md and the sources");
}
