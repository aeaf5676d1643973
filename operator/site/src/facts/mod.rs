//! What the site tells the hub of itself: the report named `site`, written when what it says changes. Must not know runs beyond
//! their names.
mod capacity;
mod data;
mod probe;
mod quantity;

use std::sync::Arc;
use std::time::Duration;

use coalition_crds::names::site_namespace;
use coalition_crds::site::{DataSetFacts, Facts, StoreFacts, Versions};
use coalition_crds::site_report::{SITE, SiteAnswer, SiteReport, SiteReportSpec};
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::time::{Instant, sleep_until, timeout};

use crate::admit::FEATURES;
use crate::context::Context;
use crate::report_object::HUB_ANSWERS;

/// Between two looks at capacity and store: a hub need not know sooner that a node came.
const TURN: Duration = Duration::from_secs(30);
/// While the hub has heard nothing yet: a run waits for it.
const FIRST: Duration = Duration::from_secs(2);
/// Data sets that stand are looked at again after so long; one that is missing with every turn.
const DATA: Duration = Duration::from_mins(10);
/// Runs that one report names.
const RUNS: usize = 256;

/// Tells the hub what the site has, until it is dropped.
pub async fn tell(ctx: Arc<Context>) {
    let mut teller = Teller { api: None, held: None, data: Vec::new(), looked: None, kubernetes: None };
    let mut told = false;
    loop {
        let facts = teller.facts(&ctx).await;
        let heard = match timeout(HUB_ANSWERS, teller.write(&ctx, facts)).await {
            Ok(Ok(())) => true,
            Ok(Err(e)) => {
                teller.held = None;
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(error = %e, "the hub was not told what this site has; it is tried again");
                }
                false
            }
            Err(_) => false,
        };
        if heard {
            told = false;
        }
        sleep_until(Instant::now() + if heard { TURN } else { FIRST }).await;
    }
}

struct Teller {
    api: Option<Api<SiteReport>>,
    held: Option<SiteReport>,
    data: Vec<DataSetFacts>,
    looked: Option<Instant>,
    kubernetes: Option<String>,
}

impl Teller {
    async fn facts(&mut self, ctx: &Context) -> Facts {
        if self.kubernetes.is_none() {
            self.kubernetes = ctx.local.apiserver_version().await.ok().map(|v| v.git_version);
        }
        let complete = self.data.len() == ctx.settings.data_sets.len();
        if !complete || self.looked.is_none_or(|at| at.elapsed() >= DATA) {
            // What cannot be read now and could before is still there, as far as is known.
            let before = std::mem::take(&mut self.data);
            self.data = data::look(&ctx.settings, before).await;
            self.looked = Some(Instant::now());
        }
        let (state, message) = probe::probe(&ctx.store, ctx.settings.name.as_str()).await;
        let mut namespaces: Vec<String> = ctx.settings.namespaces.iter().map(|p| p.hub.clone()).collect();
        namespaces.sort();
        let stopped = &ctx.settings.owner_stop;
        Facts {
            versions: Versions {
                operator: ctx.version.clone(),
                kubernetes: self.kubernetes.clone().unwrap_or_else(|| "unknown".to_owned()),
            },
            features: FEATURES.iter().map(|f| (*f).to_owned()).collect(),
            capacity: capacity::capacity(ctx).await,
            store: StoreFacts { place: ctx.settings.store.url.clone(), state, message },
            endpoint: ctx.settings.exchange.endpoint.clone(),
            data_sets: self.data.clone(),
            namespaces,
            refusal: (!stopped.is_empty()).then(|| format!("its owner stopped all training: {stopped}")),
        }
    }

    async fn write(&mut self, ctx: &Context, facts: Facts) -> Result<(), kube::Error> {
        let namespace = site_namespace(ctx.settings.name.as_str());
        let api = self.api.get_or_insert_with(|| Api::namespaced(ctx.hub.clone(), &namespace));
        if self.held.is_none() {
            self.held = api.get_opt(SITE).await?;
        }
        let gangs = ctx.sources.all_gangs();
        let mut runs: Vec<_> = gangs.iter().map(|g| g.spec.site_run.message.run.clone()).collect();
        runs.sort();
        runs.truncate(RUNS);
        let before = self.held.as_ref().and_then(|o| o.spec.site.as_ref());
        if before.is_some_and(|b| b.facts == facts && b.runs == runs) {
            return Ok(());
        }
        let counter = before.map_or(1, |b| b.counter.saturating_add(1));
        let spec = SiteReportSpec { run: None, site: Some(SiteAnswer { counter, facts, runs }) };
        let written = if let Some(old) = &self.held {
            api.replace(SITE, &PostParams::default(), &SiteReport { spec, ..old.clone() }).await?
        } else {
            let metadata = ObjectMeta { name: Some(SITE.to_owned()), ..ObjectMeta::default() };
            api.create(&PostParams::default(), &SiteReport { metadata, spec }).await?
        };
        self.held = Some(written);
        Ok(())
    }
}
