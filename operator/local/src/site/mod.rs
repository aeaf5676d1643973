//! One pretended site: gateway, courier and gang over a folder, with a line to the hub. Starting it is a site that comes up;
//! dropping it is a site that loses its power.
pub mod backend;
pub mod gang;
pub mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use coalition_courier::{Courier, Findings, Input};
use coalition_protocol::history::names_work_of;
use coalition_protocol::messages::SiteRun;
use coalition_protocol::sign::SignedRecord;
use coalition_protocol::{Incarnation, RunId, SiteId};
use coalition_store::{Location, Store};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::LocalError;
use crate::hub::link::Link;
use crate::layout::Layout;
use backend::LocalSite;
use gang::{Gang, GangOptions};

/// How often a site that has nothing to say tells the hub that it is there. Well below the shortest grace (1 s in tests).
const HEARTBEAT: Duration = Duration::from_millis(250);

/// What a writer staged and did not finish for so long was left by one that was killed: an orphan ends within a second.
const STAGED: Duration = Duration::from_mins(1);

/// What all sites of a runner share.
#[derive(Clone, Debug)]
pub struct SiteOptions {
    /// The run.
    pub run: RunId,
    /// The trainer program.
    pub trainer: std::path::PathBuf,
    /// Folder of the data set.
    pub data: std::path::PathBuf,
    /// The bearer token between couriers.
    pub exchange_token: String,
    /// By site: how long its courier waits before it fetches a contribution.
    pub lag: BTreeMap<SiteId, Duration>,
    /// Switches for tests; null for none.
    pub test: serde_json::Value,
}

/// The shape of one site's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Workers.
    pub workers: u32,
    /// Compute threads of a worker.
    pub threads: u32,
}

/// A site that is up.
#[derive(Debug)]
pub struct Site {
    state: Arc<LocalSite>,
    draining: watch::Sender<bool>,
    gang: Arc<tokio::sync::Mutex<Gang>>,
    pids: watch::Receiver<Vec<Option<u32>>>,
    _tasks: JoinSet<()>,
}

impl Site {
    /// Brings a site up.
    pub async fn start(
        layout: &Layout,
        site: &SiteId,
        shape: Shape,
        link: Link,
        options: &SiteOptions,
    ) -> Result<Self, LocalError> {
        let state = LocalSite::open(layout, site, shape.workers, link)?;
        let folder = layout.store(site);
        let store = Store::open(&Location::Folder(folder.clone()))
            .map_err(|e| LocalError::Write { path: folder, what: e.to_string() })?;
        if let Some(before) = SystemTime::now().checked_sub(STAGED)
            && let Err(e) = store.sweep_staged(before).await
        {
            tracing::warn!(%site, "what killed writers left stays: {e}");
        }
        let token = random_hex()?;
        let (gateway, gateway_url) = listen().await?;
        let (exchange, endpoint) = listen().await?;
        let mut tasks = JoinSet::new();

        let service = coalition_gateway::router(
            state.clone(),
            coalition_gateway::Options::new(shape.workers, coalition_gateway::SharedToken::new(&token)),
            random_hex()?,
        );
        tasks.spawn(async move {
            let _ = axum::serve(gateway, service).await;
        });
        let service = coalition_courier::router(store.clone(), options.run.clone(), &options.exchange_token);
        tasks.spawn(async move {
            let _ = axum::serve(exchange, service).await;
        });
        let lag = options.lag.get(site).copied().unwrap_or_default();
        let courier = coalition_courier::Options { site: site.clone(), token: options.exchange_token.clone(), lag };
        let courier = Courier::new(courier, store).map_err(|e| LocalError::Bug(e.to_string()))?;
        tasks.spawn(courier_loop(state.clone(), courier, endpoint));

        let gang_options = GangOptions {
            trainer: options.trainer.clone(),
            data: options.data.clone(),
            threads: shape.threads,
            gateway: gateway_url,
            test: options.test.clone(),
        };
        let gang = Gang::new(layout, &state, &options.run, &gang_options, &token)?;
        let gang = Arc::new(tokio::sync::Mutex::new(gang));
        let draining = watch::Sender::new(false);
        let (pids_to, pids) = watch::channel(Vec::new());
        tasks.spawn(gang_loop(state.clone(), gang.clone(), draining.subscribe(), pids_to));
        Ok(Self { state, draining, gang, pids, _tasks: tasks })
    }

    /// Its state.
    pub fn state(&self) -> &Arc<LocalSite> {
        &self.state
    }

    /// Supervisors that run, by worker, each with the processes it started.
    pub fn processes(&self) -> Vec<(u32, u32, Vec<u32>)> {
        let pids = self.pids.borrow().clone();
        pids.into_iter().enumerate().filter_map(|(w, pid)| pid.map(|p| (w as u32, p, process::children(p)))).collect()
    }

    /// Stops the gang after it saved, and waits for that.
    pub async fn drain(&self) {
        self.draining.send_replace(true);
        let mut pids = self.pids.clone();
        let _ = pids.wait_for(|p| p.iter().all(Option::is_none)).await;
    }

    /// Takes the site's power: every process killed, every task stopped. What is on disk stays.
    pub async fn kill(self) {
        // Connections outlive the server that took them: what they carry must not count any more.
        self.state.lose_power();
        self.gang.lock().await.kill();
    }
}

/// The incarnation whose opening entry the store must hold. A report that is damaged or gone must not hide that it held one.
fn opened(state: &LocalSite, run: &SiteRun, records: &[SignedRecord]) -> Option<Incarnation> {
    let reported = state.durable().filter(|d| d.run == run.run).and_then(|d| d.opened);
    let known = reported == Some(run.incarnation)
        || state.link().is_damaged()
        || names_work_of(records, state.site(), run.incarnation);
    if known { Some(run.incarnation) } else { reported }
}

/// Passes of the courier: after every change of what the hub asks, of the history, of the trainer's report, and when a
/// transfer ended; and a sign of life in between.
async fn courier_loop(state: Arc<LocalSite>, mut courier: Courier, endpoint: String) {
    let (mut asked, mut history) = (state.link().site_run(), state.link().history());
    let (mut woken, mut changes) = (courier.woken(), coalition_gateway::SiteBackend::changes(&*state));
    let mut told = false;
    let mut problems = BTreeSet::new();
    loop {
        history.borrow_and_update();
        changes.borrow_and_update();
        woken.borrow_and_update();
        let run = asked.borrow_and_update().clone();
        if let Some(run) = run {
            let after = courier.head().map(|h| h.seq);
            let records = history.borrow().clone();
            let start = after.map_or(0, |a| records.partition_point(|r| r.record.seq <= a));
            let input = Input {
                opened: opened(&state, &run, &records),
                applied: state.applied(&run),
                records: records.iter().skip(start).cloned().collect(),
                site_run: run,
            };
            let findings = courier.pass(&input).await;
            tell_problems(&state, &mut problems, &findings);
            state.found(findings, &endpoint, &input.site_run.nonce);
        }
        state.stillness(|s| s.pass(std::time::Instant::now()));
        match state.publish().await {
            Ok(()) => told = false,
            Err(e) => {
                tracing::warn!(site = %state.site(), error = %e, "the report was not written");
                // Tried again with every pass; said once.
                if !std::mem::replace(&mut told, true) {
                    let site = state.site();
                    let what =
                        format!("{site}'s report was not written: {e}; the hub hears of no progress there until it is");
                    state.link().tell("ReportNotWritten", what);
                }
            }
        }
        tokio::select! {
            _ = asked.changed() => state.touch(),
            _ = history.changed() => state.touch(),
            _ = changes.changed() => {}
            _ = woken.changed() => {}
            () = tokio::time::sleep(HEARTBEAT) => state.link().alive(),
        }
    }
}

/// Makes what the courier cannot do an event, once until it can again: a site whose mirror is not readable gives the hub no
/// answer, and a person must learn why. Transfers that are tried again, and a lost store, which the hub sees, are told elsewhere.
fn tell_problems(state: &LocalSite, told: &mut BTreeSet<String>, findings: &Findings) {
    told.retain(|reason| findings.problems.contains_key(reason));
    for (reason, what) in &findings.problems {
        let elsewhere = ["TransferFailed", "StoreLost"].contains(&reason.as_str());
        if !elsewhere && told.insert(reason.clone()) {
            state.link().tell(reason, format!("{}: {what}", state.site()));
        }
    }
}

/// Keeps the gang as the hub asks.
async fn gang_loop(
    state: Arc<LocalSite>,
    gang: Arc<tokio::sync::Mutex<Gang>>,
    mut draining: watch::Receiver<bool>,
    pids: watch::Sender<Vec<Option<u32>>>,
) {
    let mut changes = coalition_gateway::SiteBackend::changes(&*state);
    loop {
        changes.borrow_and_update();
        {
            let gang = gang.lock().await;
            let wanted = gang::wanted(&state, *draining.borrow_and_update(), gang.is_running());
            gang.want(wanted);
            if let Some(why) = gang.failure() {
                tracing::error!(site = %state.site(), error = why, "a supervisor cannot be started");
            }
            let now = gang.pids();
            let mut abandoned = Vec::new();
            state.stillness(|s| {
                s.keep(|worker| now.get(worker as usize).is_some_and(Option::is_some));
                abandoned = s.abandoned();
            });
            for pid in abandoned.iter().filter_map(|worker| now.get(*worker as usize).copied().flatten()) {
                tracing::error!(site = %state.site(), pid, "a supervisor and its worker do nothing: they are killed");
                process::kill_group(pid);
            }
            pids.send_if_modified(|old| std::mem::replace(old, now.clone()) != now);
        }
        tokio::select! {
            _ = changes.changed() => {}
            _ = draining.changed() => {}
            () = tokio::time::sleep(HEARTBEAT / 5) => {}
        }
    }
}

async fn listen() -> Result<(TcpListener, String), LocalError> {
    let unable = |e: std::io::Error| LocalError::Program {
        program: "a listener on 127.0.0.1".into(),
        what: format!("{e}: local runs need loopback networking"),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(unable)?;
    let address = listener.local_addr().map_err(unable)?;
    Ok((listener, format!("http://{address}")))
}

/// 32 random bytes, hexadecimal.
pub fn random_hex() -> Result<String, LocalError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| LocalError::Bug(format!("the system gives no random bytes: {e}")))?;
    Ok(hex::encode(bytes))
}
