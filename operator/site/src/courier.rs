//! Passes of one gang's courier, after every change of what the hub asks, of the history, of the trainer's report, and when a
//! transfer ended; and the report that follows from each. Must not know what is moved.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use coalition_courier::{Courier, Findings, Input};
use coalition_crds::site_report::SiteReportSpec;
use coalition_gateway::SiteBackend as _;
use coalition_protocol::Incarnation;
use coalition_protocol::history::names_work_of;
use coalition_protocol::messages::SiteRun;
use coalition_protocol::sign::SignedRecord;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource as _;

use crate::backend::ClusterSite;
use crate::context::Context;
use crate::names;

/// A pass at least so often, though nothing is heard: other hands work in the store too. What a worker does there it reports, and
/// that is heard at once; a store that was lost while nobody works is found within this time. Two requests to the store each.
const TURN: Duration = Duration::from_mins(1);
/// The first pause after a report that was not written; reports that come meanwhile are tried at once.
const AGAIN: Duration = Duration::from_secs(1);

/// Keeps the gang's courier until it is dropped.
pub async fn keep(ctx: Arc<Context>, site: Arc<ClusterSite>, mut courier: Courier) {
    let mut history = site.history().changes();
    let (mut woken, mut changes) = (courier.woken(), site.changes());
    let endpoint = ctx
        .exchange
        .as_ref()
        .map(|e| names::exchange(e, site.object().seen().meta().name.as_deref().unwrap_or_default()));
    let mut told = BTreeSet::new();
    let mut unwritten = false;
    loop {
        history.borrow_and_update();
        changes.borrow_and_update();
        woken.borrow_and_update();
        // Before the hub's history was seen nothing can be compared with it, and an answer to its leader would be a lie.
        if let Some(run) = site.asked().filter(|_| site.history().is_seen())
            && let Some(input) = input(&site, &courier, run).await
        {
            let mut findings = courier.pass(&input).await;
            findings.problems.extend(refusals(&ctx, &site));
            tell(&ctx, &site.object().seen().object_ref(&()), &mut told, &findings).await;
            site.found(findings, endpoint.as_deref(), &input.site_run.nonce);
        }
        let wait = match site.publish().await {
            Ok(()) => {
                if std::mem::take(&mut unwritten) {
                    tracing::info!(gang = site.object().seen().meta().name, "the hub takes reports again");
                }
                TURN
            }
            Err(e) => {
                if !std::mem::replace(&mut unwritten, true) {
                    tracing::warn!(gang = site.object().seen().meta().name, error = %e, "the report was not written");
                }
                AGAIN
            }
        };
        tokio::select! {
            _ = history.changed() => site.touch(),
            _ = changes.changed() => {}
            _ = woken.changed() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn input(site: &ClusterSite, courier: &Courier, run: Arc<SiteRun>) -> Option<Input> {
    let newest = site.history().newest();
    match site.history().after(courier.head().map(|h| h.seq), usize::MAX).await {
        Ok(records) => {
            Some(Input { opened: opened(site, &run, &newest), applied: site.applied(&run), records, site_run: run })
        }
        Err(e) => {
            tracing::warn!(run = %run.run, error = %e, "the mirrored history cannot be read");
            None
        }
    }
}

/// The incarnation whose opening entry the store must hold. A report that is gone must not hide that it held one.
fn opened(site: &ClusterSite, run: &SiteRun, newest: &[SignedRecord]) -> Option<Incarnation> {
    let reported =
        site.durable().filter(|d| d.run == run.run).and_then(|d| d.opened).or_else(|| site.object().opened());
    let known = reported == Some(run.incarnation) || names_work_of(newest, &run.site, run.incarnation);
    if known { Some(run.incarnation) } else { reported }
}

/// What the settings do not allow of a gang that runs already.
fn refusals(ctx: &Context, site: &ClusterSite) -> std::collections::BTreeMap<String, String> {
    crate::admit::admit(&ctx.settings, &site.object().seen().spec.site_run).err().unwrap_or_default()
}

/// Makes what the courier cannot do an event, once until it can again. Transfers that are tried again, and a lost store, which
/// the hub sees, are told elsewhere.
async fn tell(ctx: &Context, about: &ObjectReference, told: &mut BTreeSet<String>, findings: &Findings) {
    told.retain(|reason| findings.problems.contains_key(reason));
    for (reason, what) in &findings.problems {
        let elsewhere = ["TransferFailed", "StoreLost"].contains(&reason.as_str());
        if !elsewhere && told.insert(reason.clone()) {
            ctx.events.warn(about, reason, what).await;
        }
    }
}

/// The report of a run that the site refuses: it says why, and nothing else.
pub fn refusal(run: &SiteRun, refusals: std::collections::BTreeMap<String, String>) -> Option<SiteReportSpec> {
    let parts = coalition_courier::compose::Parts {
        findings: Findings { problems: refusals, ..Findings::default() },
        ..coalition_courier::compose::Parts::default()
    };
    let message = coalition_courier::compose::compose(run, None, &parts);
    SiteReportSpec::fit(message).ok()
}
