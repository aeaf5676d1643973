//! Its worker: joins, follows the view, trains what it is leased, offers, applies, leaves.
use std::time::Duration;

use coalition_outer::ContributionManifest;
use coalition_protocol::bits::BatchHash;
use coalition_protocol::history::{Head, View};
use coalition_protocol::keys::ContributionKey;
use coalition_protocol::messages::{
    Desired, JoinReply, JoinRequest, Offer, Progress, Resume, StepOffer, TrainerReport, ViewReply,
};
use coalition_protocol::record::LeaseUse;
use coalition_protocol::{Attempt, Digest, Real, Seq};
use coalition_spec::RunSpec;
use coalition_store::{Store, contribution};

use crate::Config;
use crate::gateway::Gateway;
use crate::state::{State, delta};

pub async fn work(config: Config) -> u8 {
    tokio::select! {
        code = train(config) => code,
        _ = crate::orphaned() => 75,
    }
}

async fn train(config: Config) -> u8 {
    let store = std::path::Path::new(config.store.trim_start_matches("file://"));
    let fails = config.test.fail_while.as_ref().is_none_or(|name| store.join(name).exists());
    if let Some(code) = config.test.fail_with.filter(|_| fails) {
        return code;
    }
    let gateway = Gateway::new(&config);
    let process = format!("p{}", std::process::id());
    let mut after: Option<Attempt> = None;
    loop {
        let listen = format!("127.0.0.1:{}", 1 + config.worker);
        let request =
            JoinRequest { worker: config.worker, process: process.clone(), listen, class: Digest::ZERO, after };
        let joined: JoinReply = match gateway.post("/v1/join", &request).await {
            Ok(j) => j,
            Err(reason) if reason == "RunOver" => return 69,
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        if let Some(code) = attempt(&config, &gateway, joined.attempt).await {
            return code;
        }
        after = Some(joined.attempt);
    }
}

struct Leader<'a> {
    config: &'a Config,
    gateway: &'a Gateway,
    store: Store,
    attempt: Attempt,
    counter: u64,
    state: State,
    offers: Vec<Offer>,
    step: Option<StepOffer>,
    steps: u64,
    trained: Option<Seq>,
    applied: Option<Head>,
}

/// One attempt; none to join again.
async fn attempt(config: &Config, gateway: &Gateway, attempt: Attempt) -> Option<u8> {
    let mut view: Option<View> = None;
    let mut known = String::new();
    let mut leader: Option<Leader<'_>> = None;
    loop {
        let after = view.as_ref().map(|v| format!("&after={}", v.head().seq)).unwrap_or_default();
        let Ok(reply) = gateway.get::<ViewReply>(&format!("/v1/view?waitMillis=1000{known}{after}")).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        known = format!("&version={}&gateway={}", reply.version, reply.gateway);
        if reply.attempt > attempt {
            return None;
        }
        for r in &reply.records {
            match &mut view {
                None => view = Some(View::start(r).expect("a valid genesis")),
                Some(v) => v.extend(r).expect("a valid record"),
            }
        }
        let Some(v) = &view else { continue };
        let run = &reply.site_run;
        if reply.store_lost {
            continue;
        }
        if config.worker == 0 {
            let spec: RunSpec = serde_json::from_value(run.spec.clone()).expect("a resolved run");
            let l = leader.get_or_insert_with(|| Leader {
                config,
                gateway,
                store: Store::open(&config.store.parse().expect("a location")).expect("a store"),
                attempt,
                counter: 0,
                state: State::new(&spec),
                offers: Vec::new(),
                step: None,
                steps: 0,
                trained: None,
                applied: None,
            });
            match l.act(v, &reply, &spec).await {
                Ok(()) => {}
                Err(reason) if reason == "StaleFence" => return None,
                Err(_) => continue,
            }
        }
        if v.ended().is_some() {
            return Some(0);
        }
        match run.desired {
            Desired::Run => {}
            Desired::Suspend => return Some(143),
            Desired::Stop => return Some(69),
        }
    }
}

impl Leader<'_> {
    async fn act(&mut self, view: &View, reply: &ViewReply, spec: &RunSpec) -> Result<(), String> {
        let run = &reply.site_run;
        if !self.state.advance(self.config, &self.store, view, spec).await {
            return self.report(view, run.incarnation, "contributions").await;
        }
        self.applied = Some(view.head());
        for seq in &run.save {
            self.state.save(&self.store, view, *seq).await;
        }
        let open: Vec<Seq> = view.open_plans().map(|(s, _)| s).collect();
        self.offers.retain(|o| open.contains(&o.key.plan));
        self.step = self.step.take().filter(|s| open.contains(&s.plan));
        if run.desired == Desired::Run
            && let Some((seq, plan)) = view.current_plan()
            && let Some(part) = plan.part(&self.config.site).filter(|p| p.incarnation == run.incarnation)
            && view.state(Seq(0)).is_some()
            && self.trained != Some(seq)
        {
            self.report(view, run.incarnation, "").await?;
            for _ in 0..part.inner_steps {
                tokio::time::sleep(Duration::from_millis(self.config.test.step_pause_millis)).await;
                self.steps += 1;
                self.report(view, run.incarnation, "").await?;
            }
            self.offer(view, seq, part.incarnation).await;
            self.trained = Some(seq);
        }
        self.report(view, run.incarnation, "the others").await
    }

    async fn offer(&mut self, view: &View, plan: Seq, incarnation: coalition_protocol::Incarnation) {
        let open: Vec<Seq> = view.open_plans().map(|(s, _)| s).collect();
        let mine = view.ledger().leases(&self.config.site);
        let used: Vec<LeaseUse> = mine
            .filter(|(s, l)| (*s == plan || !open.contains(s)) && !l.ranges.is_empty())
            .map(|(s, l)| LeaseUse { plan: s, used: l.ranges.clone() })
            .collect();
        if used.is_empty() {
            // The budget has nothing left for this site.
            return;
        }
        let positions = || used.iter().flat_map(|u| u.used.iter());
        let batch_hash = positions().fold(BatchHash::default(), |h, p| h.plus(BatchHash::of(p, &[])));
        let tokens = positions().count() as u64 * view.genesis().sequence_length;
        if view.plan(plan).is_some_and(coalition_protocol::record::Plan::one_member) {
            let state = self.state.stepped(&used).digest();
            let checkpoint = Digest::of(b"fake");
            self.step = Some(StepOffer { plan, checkpoint, entry: 0, state, tokens, used, batch_hash });
            return;
        }
        let delta = delta(&self.state.layout, &used);
        let key = ContributionKey {
            site: self.config.site.clone(),
            epoch: view.head().epoch,
            incarnation,
            plan,
            fragment: 0,
            entry: 0,
        };
        let m = ContributionManifest::describe(key, &delta, tokens, used, batch_hash).expect("finite");
        let data = coalition_outer::contribution::encode(&delta);
        contribution::put(&self.store, view.run(), &m, data.into()).await.expect("it is stored");
        self.offers.push(m.offer().expect("canonical"));
    }

    async fn report(
        &mut self,
        view: &View,
        incarnation: coalition_protocol::Incarnation,
        waiting_for: &str,
    ) -> Result<(), String> {
        // Nothing applied: nothing to say.
        let Some(head) = self.applied else { return Ok(()) };
        self.counter += 1;
        let report = TrainerReport {
            epoch: view.head().epoch,
            incarnation,
            attempt: self.attempt,
            counter: self.counter,
            head,
            state: self.state.report.clone(),
            offers: self.offers.clone(),
            step: self.step.clone(),
            checkpoints: self.state.checkpoints.clone(),
            progress: Progress {
                step: self.steps,
                round: view.last_round().next(),
                tokens_per_second: Real::new(1000.0).ok(),
                waiting_for: waiting_for.to_owned(),
                resumed: Some(Resume::Fresh),
                ..Progress::default()
            },
            saved: true,
        };
        self.gateway.post::<_, serde_json::Value>("/v1/report", &report).await.map(|_| ())
    }
}
