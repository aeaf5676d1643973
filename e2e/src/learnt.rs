//! What a run has learnt, in one object: bits per byte before and after, counting models on the same bytes, and where the
//! checkpoint lies. Reads a run's folder from outside, as a person would.

use crate::rundir::RunDir;
use crate::{audit, yardstick};
use anyhow::{Context, Result};
use coalition_data::Samples;
use coalition_data::samples::MEASURED;
use coalition_protocol::history::{Commit, View};
use coalition_protocol::{Seq, keys};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// What was learnt.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Learnt {
    /// The run.
    pub run: String,
    /// Bits per byte of the initial parameters on held-out text.
    pub before: f64,
    /// Bits per byte of the newest ones that were measured.
    pub after: f64,
    /// The record whose state `after` was measured on.
    pub after_seq: u64,
    /// Rounds committed.
    pub rounds: usize,
    /// What each site had in them.
    pub sites: Vec<Share>,
    /// Rounds after which so many sites reported the digest that the history fixed, by that number.
    pub agreed_by: BTreeMap<usize, usize>,
    /// How processes that were lost came back, in the order of their logs.
    pub returns: Vec<Return>,
    /// Bytes that committed work was fed, and the counting models fitted on them.
    pub counted: yardstick::Yardstick,
    /// A site that holds the newest run checkpoint.
    pub site: String,
    /// That site's store.
    pub store: PathBuf,
    /// The checkpoint's folder.
    pub checkpoint: PathBuf,
}

/// What a site had in the rounds of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// The site.
    pub site: String,
    /// Rounds committed with its contribution.
    pub contributed: usize,
    /// The longest it stood still between an offer and the commit it then applied, seconds.
    pub longest_wait: f64,
    /// True if it had to start from the committed state on the way: left out twice in a row, or given a new incarnation.
    pub started_anew: bool,
}

/// A gang that came back after it had lost a process.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Return {
    /// Its site.
    pub site: String,
    /// `exact`, `reshard` or `outer`.
    pub how: String,
    /// The inner step of the run it went on from.
    pub step: u64,
}

/// A measurement on held-out text, as a trainer logs it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Measured {
    seq: u64,
    bits_per_byte: f64,
}

/// Reads `run`, whose samples are `samples`.
pub fn read(run: &RunDir, samples: &Samples) -> Result<Learnt> {
    let view = run.view()?;
    let account = audit::account(&run.records()?)?;
    // From the logs, not from the run's status: the last commit is measured after the run has ended.
    let (mut all, mut returns, mut sites) = (Vec::new(), Vec::new(), Vec::new());
    let contributed = |site: &str| {
        let has = |commit: &Commit| match commit {
            Commit::Outer(outer) => outer.included.iter().any(|i| i.key.site.as_str() == site),
            Commit::Step(step) => step.site.as_str() == site,
            Commit::Genesis => false,
        };
        view.commits().filter(|(.., commit)| has(commit)).count()
    };
    for site in run.sites()? {
        let path = run.path().join("sites").join(&site).join("logs/worker-0.log");
        let log = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        all.extend(measured(&log));
        returns.extend(returned(&log, &site));
        sites.push(Share {
            contributed: contributed(&site),
            longest_wait: longest_wait(&log),
            started_anew: started_anew(&view, &site),
            site,
        });
    }
    let mut agreed_by = BTreeMap::new();
    let rounds = view.commits().filter(|(.., commit)| !matches!(commit, Commit::Genesis));
    let rounds = rounds
        .inspect(|(seq, ..)| {
            let confirmers = view.state(*seq).map_or(0, |(_, confirmers)| confirmers.len());
            *agreed_by.entry(confirmers).or_default() += 1;
        })
        .count();
    let (Some(first), Some(last)) = (all.iter().min_by_key(|m| m.seq), all.iter().max_by_key(|m| m.seq)) else {
        anyhow::bail!("no trainer of {} has measured held-out text yet", run.path().display());
    };
    let (site, seq) = newest_checkpoint(run)?;
    let store = run.store(&site);
    Ok(Learnt {
        run: view.run().to_string(),
        before: first.bits_per_byte,
        after: last.bits_per_byte,
        after_seq: last.seq,
        rounds,
        sites,
        agreed_by,
        returns,
        counted: yardstick::measure(samples, &account.used, MEASURED)?,
        checkpoint: store.join(keys::checkpoint(view.run(), seq)),
        site,
        store,
    })
}

/// True if the history sends `site` back to the committed state somewhere.
fn started_anew(view: &View, site: &str) -> bool {
    let member = view.members().iter().find(|(id, _)| id.as_str() == site);
    let returned = |commit: &Commit| match commit {
        Commit::Outer(outer) => outer.left_out.iter().any(|l| l.site.as_str() == site && l.returned),
        Commit::Step(_) | Commit::Genesis => false,
    };
    member.is_some_and(|(_, m)| m.incarnation.0 > 1) || view.commits().any(|(.., commit)| returned(commit))
}

/// The events of one kind in a trainer's log, which may end in half a line.
fn events(log: &str, kind: &'static str) -> impl Iterator<Item = Value> {
    log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(move |line| line["event"] == kind)
}

/// The restarts that went on from something, in the log of a site's first worker.
fn returned(log: &str, site: &str) -> impl Iterator<Item = Return> {
    events(log, "restored").filter_map(move |line| {
        let how = line["how"].as_str().filter(|how| *how != "fresh")?;
        Some(Return { site: site.to_owned(), how: how.to_owned(), step: line["step"].as_u64()? })
    })
}

/// The longest time between an offer and the application of a commit after it, in the log of a site's first worker. A
/// restart in between begins anew: what it cost is told elsewhere.
fn longest_wait(log: &str) -> f64 {
    let (mut offered, mut longest) = (None, 0);
    for line in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let now = line["ms"].as_u64();
        match line["event"].as_str() {
            Some("offered") => offered = now,
            Some("applied") => {
                if let (Some(from), Some(to)) = (offered.take(), now) {
                    longest = longest.max(to.saturating_sub(from));
                }
            }
            Some("started") => offered = None,
            _ => {}
        }
    }
    longest as f64 / 1000.0
}

/// The measurements in a trainer's log.
fn measured(log: &str) -> impl Iterator<Item = Measured> {
    events(log, "evaluated")
        .filter_map(|line| Some(Measured { seq: line["seq"].as_u64()?, bits_per_byte: line["bitsPerByte"].as_f64()? }))
}

/// The site that reported the newest run checkpoint, and its record.
fn newest_checkpoint(run: &RunDir) -> Result<(String, Seq)> {
    let mut newest: Option<(Seq, String)> = None;
    for site in run.sites()? {
        let Some(report) = run.report(&site)? else { continue };
        if let Some(seq) = report.checkpoints.iter().map(|c| c.seq).max()
            && newest.as_ref().is_none_or(|(best, _)| seq > *best)
        {
            newest = Some((seq, site));
        }
    }
    let (seq, site) =
        newest.with_context(|| format!("no site of {} holds a run checkpoint yet", run.path().display()))?;
    Ok((site, seq))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_lies_between_an_offer_and_its_commit() {
        let line = |event: &str, ms: u64| format!("{{\"event\":\"{event}\",\"ms\":{ms}}}\n");
        let log = [("started", 0), ("offered", 1000), ("applied", 1400), ("offered", 3000), ("evaluated", 8000)]
            .map(|(event, ms)| line(event, ms))
            .concat();
        assert!((longest_wait(&log) - 0.4).abs() < 1e-9);
        assert!((longest_wait(&(log.clone() + &line("applied", 8500))) - 5.5).abs() < 1e-9);
        let restarted = log + &line("started", 8100) + &line("applied", 8500);
        assert!((longest_wait(&restarted) - 0.4).abs() < 1e-9);
    }

    #[test]
    fn measurements_are_found_among_other_lines() {
        let log = "{\"event\":\"step\",\"seq\":1}\nplain words\n\
                   {\"event\":\"evaluated\",\"seq\":7,\"bitsPerByte\":2.5}\n{\"event\":\"evaluated\",\"se";
        assert_eq!(returned("{\"event\":\"restored\",\"how\":\"fresh\",\"step\":0}", "south").count(), 0);
        let back = "{\"event\":\"restored\",\"how\":\"exact\",\"step\":23}";
        let expected = Return { site: "south".to_owned(), how: "exact".to_owned(), step: 23 };
        assert_eq!(returned(back, "south").collect::<Vec<_>>(), [expected]);
        assert_eq!(measured(log).collect::<Vec<_>>(), [Measured { seq: 7, bits_per_byte: 2.5 }]);
    }
}
