//! `logs` of a cluster's run: the logs of its workers' pods in the site's own cluster, as one; where the pods are gone, what is
//! left of their failures. Must not know how lines are put in order: that is `lines`.
use std::collections::BTreeMap;
use std::time::Duration;

use coalition_crds::{Gang, TrainingRun};
use coalition_local::exit_code;
use futures::{AsyncBufReadExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::{Api, ResourceExt};
use tokio::sync::mpsc;

use super::error::Asked;
use super::lines::{self, Line};
use super::{Cluster, ClusterError, block, connect, pods, reports};
use crate::args::Logs;
use crate::out::{note, say};
use crate::style;

/// The container of a worker's pod that trains.
const CONTAINER: &str = "trainer";
/// How often new pods are looked for while logs are followed: a worker that is made anew takes longer to start.
const LOOK: Duration = Duration::from_secs(2);
/// Lines that wait to be written: more than a terminal takes at once, little memory.
const WAITING: usize = 1024;

/// Shows the logs of a run, of one of its sites, or of one worker.
pub fn logs(run: &str, site: Option<&str>, l: &Logs) -> Result<u8, ClusterError> {
    block(async {
        let context = l.site_context.as_deref().or(l.reach.context.as_deref());
        let cluster = connect::cluster(&l.reach, context).await?;
        let all = pods::gangs(&cluster, l.site_namespace.as_deref(), run, l.reach.namespace.as_deref()).await?;
        let gangs: Vec<&Gang> = all.iter().filter(|g| site.is_none_or(|s| s == pods::site(g))).collect();
        if gangs.is_empty() {
            return elsewhere(run, site, l, &cluster, &all).await;
        }
        let mut last = BTreeMap::new();
        let mut logs = Vec::new();
        for gang in &gangs {
            match of_gang(&cluster, gang, l, &mut last).await? {
                Some(found) => logs.extend(found),
                None => gone(gang, l.worker),
            }
        }
        for line in lines::merge(logs, l.by_rank) {
            say!("{}", line.shown(l.output));
        }
        if l.follow {
            follow(&cluster, &gangs, l, last).await?;
        }
        Ok(exit_code::OK)
    })
}

/// The logs of a gang's workers so far; none if there is no pod to ask. Notes how far each was read.
async fn of_gang(
    cluster: &Cluster,
    gang: &Gang,
    l: &Logs,
    last: &mut BTreeMap<String, Timestamp>,
) -> Result<Option<Vec<Vec<Line>>>, ClusterError> {
    let workers = pods::newest(cluster, gang).await?;
    let asked: Vec<(u32, Pod)> = workers.into_iter().filter(|(n, _)| l.worker.is_none_or(|w| w == *n)).collect();
    if asked.is_empty() {
        return Ok(None);
    }
    let api: Api<Pod> = cluster.api(gang.namespace().as_deref());
    let mut out = Vec::new();
    for (worker, pod) in asked {
        let who = format!("{}/{worker}", pods::site(gang));
        if let Some(why) = pods::waits(&pod) {
            note!("{}", style::warning(&format!("{who}: {why}")));
            continue;
        }
        let params = LogParams { tail_lines: i64::try_from(l.tail).ok(), ..params() };
        let name = pod.name_any();
        let namespace = gang.namespace();
        let asked = cluster.asked::<Pod>("get", namespace.as_deref(), &name);
        let asked = Asked { resource: "pods/log".to_owned(), ..asked };
        match cluster.answer(asked, api.logs(&name, &params)).await {
            Ok(text) => {
                let log = lines::log(pods::site(gang), worker, &text);
                last.extend(log.last().map(|line| (name, line.at)));
                out.push(log);
            }
            // A node that does not answer keeps nobody from the others' lines.
            Err(e) => note!("{}", style::warning(&format!("{who}: its log cannot be read: {e}"))),
        }
    }
    Ok(Some(out))
}

fn params() -> LogParams {
    LogParams { container: Some(CONTAINER.to_owned()), timestamps: true, ..LogParams::default() }
}

/// What is left where a gang has no pods.
fn gone(gang: &Gang, worker: Option<u32>) {
    let site = pods::site(gang);
    let failures = gang.status.as_ref().map(|s| s.failures.clone()).unwrap_or_default();
    match reports::words(site, &failures, worker) {
        Some(text) => {
            note!("{}", style::warning(&format!("{site} has no such pod now: what is left of its failures")));
            say!("{text}");
        }
        None => note!("{}", style::warning(&format!("{site} has no such pod now, and no failure was noted"))),
    }
}

/// Nothing of the run is in the cluster that was looked into: what its sites told the hub.
async fn elsewhere(
    run: &str,
    site: Option<&str>,
    l: &Logs,
    cluster: &Cluster,
    there: &[Gang],
) -> Result<u8, ClusterError> {
    let hub = connect::hub(&l.reach).await?;
    let object: TrainingRun = hub.get(run).await?;
    let sites: Vec<&str> = object.status.iter().flat_map(|s| &s.sites).map(|s| s.name.as_str()).collect();
    if let Some(site) = site.filter(|s| !sites.contains(s)) {
        let what = format!("the run has no site of this name: it has {}", sites.join(", "));
        return Err(ClusterError::Argument { argument: format!("logs {site}"), what });
    }
    let who = site.map_or_else(|| format!("run {run}"), |s| format!("site {s}"));
    let here: Vec<&str> = there.iter().map(pods::site).collect();
    let here = if here.is_empty() { String::new() } else { format!(" (those of {} are)", here.join(", ")) };
    let called = &cluster.called;
    note!(
        "{}",
        style::warning(&format!(
            "the workers of {who} are not in the cluster of {called}{here}: --site-context NAME leads to their own. What sites \
             reported to the hub of their failures:"
        ))
    );
    let mut told = 0;
    for (site, failures) in reports::of(&hub, &object, site).await? {
        if let Some(text) = reports::words(&site, &failures, l.worker) {
            say!("{text}");
            told += 1;
        }
    }
    if told == 0 {
        note!("nothing has failed, as far as it was reported");
    }
    Ok(exit_code::OK)
}

/// What a follower says.
enum Said {
    /// A line of a pod.
    Line(String, Line),
    /// It has come to the end of a pod's log, or lost it.
    Ended(String),
}

/// Writes what comes, of new pods too, until nothing of the run is left here.
async fn follow(
    cluster: &Cluster,
    gangs: &[&Gang],
    l: &Logs,
    mut last: BTreeMap<String, Timestamp>,
) -> Result<(), ClusterError> {
    let (sender, mut said) = mpsc::channel(WAITING);
    let mut followed: BTreeMap<String, bool> = BTreeMap::new();
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            Some(word) = said.recv() => match word {
                Said::Line(pod, line) => {
                    say!("{}", line.shown(l.output));
                    last.insert(pod, line.at);
                }
                Said::Ended(pod) => { followed.insert(pod, false); }
            },
            _ = look.tick() => {
                let mut left = 0;
                for gang in gangs {
                    for (worker, pod) in pods::newest(cluster, gang).await? {
                        left += 1;
                        let name = pod.name_any();
                        let over = matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"));
                        let asked = l.worker.is_none_or(|w| w == worker) && pods::waits(&pod).is_none();
                        // One that has ended is read to its end once.
                        let due = followed.get(&name).is_none_or(|at_work| !at_work && !over);
                        if asked && due {
                            let api = cluster.api::<Pod>(gang.namespace().as_deref());
                            let from = last.get(&name).copied();
                            let site = pods::site(gang).to_owned();
                            tokio::spawn(read(api, name.clone(), site, worker, from, sender.clone()));
                            followed.insert(name, true);
                        }
                    }
                }
                if left == 0 && !followed.values().any(|at_work| *at_work) {
                    note!("{}", style::faint("no pod of the run is left here"));
                    return Ok(());
                }
            }
        }
    }
}

/// Passes on the lines of one pod after `from`, until its log ends.
async fn read(api: Api<Pod>, pod: String, site: String, worker: u32, from: Option<Timestamp>, to: mpsc::Sender<Said>) {
    // Servers take whole seconds: what was shown already comes again and is left out here.
    let params = LogParams { follow: true, since_time: from, ..params() };
    if let Ok(stream) = api.log_stream(&pod, &params).await {
        let mut before = Timestamp::MIN;
        let mut raw = stream.lines();
        while let Some(Ok(text)) = raw.next().await {
            let line = Line::of(&site, worker, &text, before);
            before = line.at;
            let shown = from.is_some_and(|f| line.at <= f);
            if !shown && to.send(Said::Line(pod.clone(), line)).await.is_err() {
                return;
            }
        }
    }
    // Nobody is left to tell when the command has ended.
    let _ = to.send(Said::Ended(pod)).await;
}
