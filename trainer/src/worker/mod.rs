//! The worker process: join, train, exchange, checkpoint, leave. Rank 0 leads, the others follow; a lost rank sends the
//! survivors back to joining, in the same process.
mod checkpointing;
mod class;
mod contribution;
mod cursor;
mod decisions;
mod effect;
mod follower;
mod join;
mod leader;
mod next;
mod outer_state;
mod progress;
mod rank;
mod report;
mod resume;
mod watch;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coalition_protocol::{Attempt, exit};
use coalition_spec::RunSpec;
use coalition_store::{BlockingStore, Location};

use crate::alive::turned;
use crate::cli::WorkerArgs;
use crate::config::WorkerConfig;
use crate::dataset;
use crate::events::{Nothing, emit, is_rank};
use crate::failure::{Failure, Stop};
use crate::gateway::Gateway;
use crate::signals;
use crate::supervisor::{PROCESS_ENV, fresh_name};
use join::Asking;
use rank::{Body, Rank};
use watch::Watch;

/// How long the gateway may take to show the run to a new process.
const FIRST_VIEW: Duration = Duration::from_mins(15);

/// Runs one worker; gives the exit code.
pub fn work(args: &WorkerArgs) -> Result<u8, Failure> {
    signals::on_orphaned(signals::vanish);
    let config = WorkerConfig::read(args)?;
    is_rank(config.worker);
    emit("started", Nothing {});
    let gateway = Gateway::new(&config)?;
    let watch = Watch::start(gateway.clone());
    let terminate = Arc::new(AtomicBool::new(false));
    let in_gang = Arc::new(AtomicBool::new(false));
    let (t, g, w) = (terminate.clone(), in_gang.clone(), watch.clone());
    signals::on_terminate(move || {
        t.store(true, Ordering::Relaxed);
        w.terminate();
        // Outside a gang there is nothing to save and nobody to tell.
        if !g.load(Ordering::Relaxed) {
            std::process::exit(i32::from(exit::STOPPED));
        }
    })?;
    let listener = TcpListener::bind(&config.listen).map_err(|e| {
        Failure::new(exit::CONFIG, format!("listen {}: cannot be bound: {e}; choose a free port, or 0", config.listen))
    })?;
    let spec = spec(&watch)?;
    let data = dataset::folder(&config)?;
    let mut body = Body::new(&config, &data, &spec, terminate)?;
    let location: Location = config.store.parse().map_err(|e| store_failure(&e))?;
    let store = BlockingStore::open(&location).map_err(|e| store_failure(&e))?.on_progress(turned);
    let process = std::env::var(PROCESS_ENV).unwrap_or_else(|_| fresh_name(0));
    let class = class::digest(config.threads, config.workers, spec.training.precision)?;
    let asking = Asking { config: &config, gateway: &gateway, process: &process, listener: &listener, class };
    let ground =
        leader::Ground { config: &config, gateway: &gateway, store: &store, watch: &watch, spec: &spec, class };
    let mut after: Option<Attempt> = None;
    loop {
        let attempt;
        let ended = match asking.join(after) {
            Ok(seat) => {
                attempt = seat.attempt;
                in_gang.store(true, Ordering::Relaxed);
                let mut rank = Rank { body: &mut body, comm: seat.comm };
                if config.worker == 0 {
                    leader::lead(&ground, &mut rank, seat.attempt)
                } else {
                    follower::follow(&mut rank)
                }
            }
            Err(Stop::Exit(f)) => return finished(f),
            Err(Stop::Rejoin(why)) => return Err(Failure::bug(why)),
        };
        match ended {
            Ok(code) => return Ok(code),
            Err(Stop::Exit(f)) => return finished(f),
            Err(Stop::Rejoin(why)) => {
                tracing::info!(%attempt, "joining again: {why}");
                emit("rejoining", Nothing {});
                if watch.now().terminate {
                    return Ok(exit::STOPPED);
                }
                in_gang.store(false, Ordering::Relaxed);
                after = Some(attempt);
            }
        }
    }
}

/// Ends that are no failures travel as codes.
fn finished(f: Failure) -> Result<u8, Failure> {
    match f.code {
        exit::FINISHED | exit::STOPPED | exit::GATEWAY => {
            tracing::info!("{f}");
            Ok(f.code)
        }
        _ => Err(f),
    }
}

fn store_failure(e: &coalition_store::StoreError) -> Failure {
    Failure::new(e.exit_code(), e.to_string())
}

/// The run's specification, as the gateway shows it.
fn spec(watch: &Watch) -> Result<RunSpec, Failure> {
    let until = Instant::now() + FIRST_VIEW;
    loop {
        turned();
        let seen = watch.now();
        if let Some(why) = seen.broken {
            return Err(Failure::new(exit::TRY_AGAIN, why));
        }
        if let Some(run) = &seen.site_run {
            return serde_json::from_value(run.spec.clone()).map_err(|e| {
                Failure::new(
                    exit::CONFIG,
                    format!("the run's specification cannot be read by this version: {e}; upgrade the trainer"),
                )
            });
        }
        if Instant::now() > until {
            return Err(Failure::new(exit::GATEWAY, "the gateway has shown no run in 15 minutes"));
        }
        watch.changed(seen.version, Duration::from_secs(1));
    }
}
