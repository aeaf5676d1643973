//! The gang of one pretended site: its workers' supervisors, and what each shall be given what the hub asks.
use std::path::PathBuf;
use std::sync::Arc;

use coalition_gateway::orders;
use coalition_gateway::{SiteBackend, gang::is_failure};
use coalition_protocol::RunId;
use coalition_protocol::messages::{Desired, ExitReport, Orders};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::LocalError;
use crate::durable::{self, Mode};
use crate::layout::Layout;
use crate::site::backend::LocalSite;
use crate::site::process::{self, Ended, Program, Wanted};

/// What the workers of a gang are told when they start.
#[derive(Clone, Debug)]
pub struct GangOptions {
    /// The trainer.
    pub trainer: PathBuf,
    /// Folder of the data set.
    pub data: PathBuf,
    /// Compute threads of a worker.
    pub threads: u32,
    /// Base address of the gateway.
    pub gateway: String,
    /// Switches for tests, as the trainer's configuration has them; null for none.
    pub test: serde_json::Value,
}

/// The gang's supervisors. Dropping it kills them.
#[derive(Debug)]
pub struct Gang {
    wanted: watch::Sender<Wanted>,
    pids: Vec<watch::Receiver<Option<u32>>>,
    failed: Arc<watch::Sender<Option<String>>>,
    tasks: JoinSet<()>,
}

impl Gang {
    /// Writes the workers' configuration and gets ready; nothing runs before [`Gang::want`].
    pub fn new(
        layout: &Layout,
        site: &Arc<LocalSite>,
        run: &RunId,
        options: &GangOptions,
        token: &str,
    ) -> Result<Self, LocalError> {
        let token_file = layout.site(site.site()).join("token");
        durable::replace(&token_file, token.as_bytes(), Mode::Secret)?;
        let wanted = watch::Sender::new(Wanted::Stopped);
        let failed = Arc::new(watch::Sender::new(None));
        let mut gang = Self { wanted, pids: Vec::new(), failed, tasks: JoinSet::new() };
        for worker in 0..site.workers() {
            let config = layout.worker(site.site(), worker);
            let mut json = serde_json::json!({
                "run": run,
                "site": site.site(),
                "worker": worker,
                "workers": site.workers(),
                "gateway": options.gateway,
                "tokenFile": token_file,
                "store": format!("file://{}", layout.store(site.site()).display()),
                "data": options.data,
                "threads": options.threads,
            });
            if !options.test.is_null() {
                json["test"] = options.test.clone();
            }
            durable::replace_json(&config, &json, Mode::Plain)?;
            let program = Program { trainer: options.trainer.clone(), config, log: layout.log(site.site(), worker) };
            let (pid_to, pid) = watch::channel(None);
            gang.pids.push(pid);
            let (wanted, failed, site) = (gang.wanted.subscribe(), gang.failed.clone(), site.clone());
            let ended = async move |e: Ended| ended(&site, worker, e).await;
            gang.tasks.spawn(process::keep(program, wanted, pid_to, ended, failed));
        }
        Ok(gang)
    }

    /// What the supervisors shall be; no change does nothing.
    pub fn want(&self, wanted: Wanted) {
        self.wanted.send_if_modified(|old| std::mem::replace(old, wanted) != wanted);
    }

    /// Running supervisors, by worker.
    pub fn pids(&self) -> Vec<Option<u32>> {
        self.pids.iter().map(|p| *p.borrow()).collect()
    }

    /// True while a supervisor runs.
    pub fn is_running(&self) -> bool {
        self.pids().iter().any(Option::is_some)
    }

    /// Why a supervisor could not be started, if so.
    pub fn failure(&self) -> Option<String> {
        self.failed.borrow().clone()
    }

    /// Kills everything at once, as if the site had lost its power.
    pub fn kill(&self) {
        self.want(Wanted::Killed);
        for pid in self.pids().into_iter().flatten() {
            process::kill_group(pid);
        }
    }

    /// Waits until no supervisor runs.
    pub async fn stopped(&mut self) {
        for pid in &mut self.pids {
            let _ = pid.wait_for(Option::is_none).await;
        }
    }
}

impl Drop for Gang {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A supervisor ended without being asked to. True if another shall be started.
async fn ended(site: &Arc<LocalSite>, worker: u32, e: Ended) -> bool {
    let snapshot = site.snapshot();
    let orders = orders::orders(&snapshot);
    // A supervisor says 0 only once the gateway confirmed the run's end: before it, this is no supervisor.
    let early = e.code == i32::from(coalition_protocol::exit::FINISHED) && orders == Orders::Restart;
    if !is_failure(e.code) && !early {
        return orders == Orders::Restart;
    }
    let code = if early { i32::from(coalition_protocol::exit::BUG) } else { e.code };
    tracing::warn!(site = %site.site(), worker, code = e.code, "a supervisor ended");
    // The supervisor can no longer say that its process died: this site does, under the name it joined by. One that never
    // joined has no name: each of its ends is another one.
    let gang = site.gang_state();
    let seat = gang.joining.get(&worker).or_else(|| gang.members.get(worker as usize));
    let process = seat.map_or_else(|| format!("supervisor-{worker}-{}", gang.failed), |j| j.process.clone());
    let report = ExitReport { worker, process, exit_code: code, log: e.log };
    loop {
        let Ok(now) = site.gang().await else { break };
        let Some(next) = now.value.exited(&report, orders) else { break };
        if !matches!(site.swap_gang(now.version, next).await, Ok(false)) {
            break;
        }
    }
    orders == Orders::Restart
}

/// What the supervisors shall be, from what the hub asks. `running` says that some run already.
pub fn wanted(site: &LocalSite, draining: bool, running: bool) -> Wanted {
    let snapshot = site.snapshot();
    match &snapshot.site_run {
        // D8: what a site without its store goes on to do can only be wrong.
        _ if snapshot.store_lost => Wanted::Killed,
        _ if draining => Wanted::Stopped,
        Some(run) if run.desired == Desired::Run && !snapshot.over => Wanted::Running(run.incarnation),
        // The run is over or suspended: trainers see it themselves, save, report, and leave.
        Some(run) if running && (snapshot.over || run.desired == Desired::Suspend) => Wanted::Running(run.incarnation),
        _ => Wanted::Stopped,
    }
}
