//! `coalition-cluster`: the clusters of the tests, by hand. `cargo xtask cluster` builds and calls it; it must not know how
//! it was built.

mod forward;
mod state;
mod stop;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand};
use coalition_cluster::{Cluster, Spec, World, tools, wait};
use rustix::process::Signal;
use state::{Found, Guard, Server, State};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// How long `up` waits: longer than each of its parts, which say better what did not come.
const UP: Duration = Duration::from_mins(8);
/// How long `down` waits: the kernel ends every process, and control groups follow.
const DOWN: Duration = Duration::from_mins(1);

#[derive(Parser)]
#[command(name = "coalition-cluster", about = "A real Kubernetes cluster on this machine, by hand")]
struct Cli {
    /// The folder that says what is up
    #[arg(long)]
    state: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start a cluster in the background and say how to reach it
    Up(Size),
    /// Start it in the foreground; what `up` runs
    Serve(Size),
    /// Open a shell in its world, or run one command there
    Shell {
        /// The command; a shell without one
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// End it
    Down,
}

#[derive(clap::Args, Clone, Copy)]
struct Size {
    /// Real nodes
    #[arg(long, default_value_t = 1)]
    nodes: u8,
    /// Played nodes of 8 GPUs each
    #[arg(long, default_value_t = 0)]
    kwok: u32,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.verb {
        Verb::Up(size) => up(&cli.state, size),
        Verb::Serve(size) => serve(&cli.state, size),
        Verb::Shell { command } => shell(&cli.state, &command),
        Verb::Down => down(&cli.state),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn up(folder: &Path, size: Size) -> Result<()> {
    if let Some(why) = tools::missing() {
        bail!("no cluster can be started here: {why}");
    }
    let log = folder.join("log");
    match State::find(folder)? {
        Found::Up(state) => {
            println!("a cluster with {} is up already (`cargo xtask cluster down` ends it)\n", state.size);
            state.explain();
            return Ok(());
        }
        Found::Starting(_) => {
            println!("somebody is starting one already: waiting for it (`cargo xtask cluster down` ends it)");
            let state = wait::until("that cluster to be up", UP, || match State::find(folder)? {
                Found::Up(state) => Ok(Some(state)),
                Found::Starting(_) => Ok(None),
                Found::Nothing => bail!("it ended before it was up; its log is {}", log.display()),
            })?;
            state.explain();
            return Ok(());
        }
        Found::Nothing => drop(clear(folder)?),
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let start = Instant::now();
    let mut serve = spawn(folder, &log, size)?;
    let stop = stop::notice()?;
    let state = wait::until(&format!("the cluster to be up; its log is {}", log.display()), UP, || {
        if let Some(status) = serve.try_wait().context("cannot watch the cluster")? {
            // Nothing that `serve` itself does ends it so.
            ensure!(status.signal() != Some(Signal::TERM.as_raw()), "somebody ended it before it was up");
            let said = fs::read_to_string(&log).unwrap_or_default();
            bail!("the cluster ended with {status}; it said (in {}):\n{}", log.display(), said.trim());
        }
        if stop.is_asked() {
            serve.kill().context("cannot end what was begun")?;
            serve.wait().context("cannot wait for what was begun")?;
            clear(folder)?;
            bail!("interrupted: what was begun is ended");
        }
        match State::find(folder)? {
            Found::Up(state) => Ok(Some(state)),
            Found::Starting(_) | Found::Nothing => Ok(None),
        }
    })?;
    println!("up in {:.1} s\n", start.elapsed().as_secs_f64());
    state.explain();
    Ok(())
}

/// Starts the one that serves, in the background.
fn spawn(folder: &Path, path: &Path, size: Size) -> Result<Child> {
    let log = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let me = std::env::current_exe().context("this program has no path")?;
    // A session of its own: it outlives the terminal.
    let mut serve = Command::new("setsid");
    serve.arg(me).arg("--state").arg(folder).args(["serve", "--nodes", &size.nodes.to_string()]);
    serve.args(["--kwok", &size.kwok.to_string()]);
    let log2 = log.try_clone().context("cannot share the log")?;
    serve.stdin(Stdio::null()).stdout(log).stderr(log2).spawn().context("setsid did not start")
}

/// Removes what one who was killed left; true if there was something.
fn clear(folder: &Path) -> Result<bool> {
    match Server::last(folder).folder {
        Some(world) if world.is_dir() => World::remove_leftover(&world),
        _ => Ok(false),
    }
}

fn serve(folder: &Path, size: Size) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut guard = Guard::take(folder)?;
    let world = World::start()?;
    guard.note(world.folder())?;
    let mut spec = Spec::whole("local", size.nodes).with_s3();
    if size.kwok > 0 {
        spec = spec.with_fake_nodes(size.kwok);
    }
    let cluster = world.cluster(spec)?;
    let port = forward::start(world.pid(), (cluster.address(), 6443).into())?;
    let outside = state::outside_kubeconfig(folder, cluster.kubeconfig(), port)?;
    let state = State {
        size: format!("{} real and {} played nodes", size.nodes, size.kwok),
        world: world.pid(),
        inside: cluster.kubeconfig().to_owned(),
        outside,
        search_path: world.tools().search_path(),
        folder: world.folder().to_owned(),
        s3: store(&cluster)?,
    };
    let stop = stop::notice()?;
    state.write(folder)?;
    stop.wait();
    drop(cluster);
    drop(world);
    state::remove(folder)?;
    drop(guard);
    Ok(())
}

/// What tools of AWS want to know of the cluster's S3 server.
fn store(cluster: &Cluster) -> Result<BTreeMap<String, String>> {
    let s3 = cluster.s3()?;
    let words = [
        ("AWS_ENDPOINT_URL", s3.endpoint),
        ("AWS_REGION", s3.region),
        ("AWS_ACCESS_KEY_ID", s3.access_key),
        ("AWS_SECRET_ACCESS_KEY", s3.secret_key),
        ("COALITION_CLUSTER_BUCKET", s3.bucket),
    ];
    Ok(words.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn shell(folder: &Path, command: &[String]) -> Result<()> {
    let state = match State::find(folder)? {
        Found::Up(state) => state,
        Found::Starting(_) => bail!("the cluster is not up yet: `cargo xtask cluster up` waits for it"),
        Found::Nothing => bail!("no cluster is up: `cargo xtask cluster up` starts one"),
    };
    let mut nsenter = Command::new("nsenter");
    nsenter.args(["--target", &state.world.to_string(), "--net", "--"]);
    if command.is_empty() {
        println!("inside the world: kubectl and helm reach the cluster, nothing reaches the Internet; `exit` leaves");
        nsenter.arg(std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into()));
    } else {
        nsenter.args(command);
    }
    nsenter.env("KUBECONFIG", &state.inside).env("PATH", &state.search_path).envs(&state.s3);
    for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        nsenter.env_remove(name);
    }
    // Only returns if it could not.
    Err(nsenter.exec()).context("nsenter did not start")
}

fn down(folder: &Path) -> Result<()> {
    match State::find(folder)? {
        Found::Up(_) => Server::last(folder).tell_to_end()?,
        Found::Starting(server) => server.tell_to_end()?,
        Found::Nothing if clear(folder)? => {
            println!("no cluster is up; what one that was killed had left is removed");
            return Ok(());
        }
        Found::Nothing => {
            println!("no cluster is up");
            return Ok(());
        }
    }
    let ended = || Ok(matches!(State::find(folder)?, Found::Nothing).then_some(()));
    wait::until("the cluster to end", DOWN, ended)?;
    // One that was still starting ends at once and leaves its files.
    clear(folder)?;
    println!("down");
    Ok(())
}
