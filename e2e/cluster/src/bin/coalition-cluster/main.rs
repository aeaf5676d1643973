//! `coalition-cluster`: the clusters of the tests, by hand. `cargo xtask cluster` builds and calls it; it must not know how
//! it was built.

mod forward;
mod state;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use coalition_cluster::{Cluster, Spec, World, tools, wait};
use state::State;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
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
    if let Some(state) = State::of_running(folder)? {
        println!("a cluster is up already (`cargo xtask cluster down` ends it)\n");
        state.explain();
        return Ok(());
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let start = Instant::now();
    let path = folder.join("log");
    let log = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let me = std::env::current_exe().context("this program has no path")?;
    // A session of its own: it outlives the terminal.
    let mut serve = Command::new("setsid");
    serve.arg(me).arg("--state").arg(folder).args(["serve", "--nodes", &size.nodes.to_string()]);
    serve.args(["--kwok", &size.kwok.to_string()]);
    let log2 = log.try_clone().context("cannot share the log")?;
    let mut serve = serve.stdin(Stdio::null()).stdout(log).stderr(log2).spawn().context("setsid did not start")?;
    let state = wait::until("the cluster to be up", UP, || {
        if let Some(status) = serve.try_wait().context("cannot watch the cluster")? {
            let said = fs::read_to_string(&path).unwrap_or_default();
            bail!("the cluster ended with {status}; it said:\n{}", said.trim());
        }
        State::of_running(folder)
    })
    .with_context(|| format!("its log is {}", path.display()))?;
    println!("up in {:.1} s\n", start.elapsed().as_secs_f64());
    state.explain();
    Ok(())
}

fn serve(folder: &Path, size: Size) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let guard = state::take(folder)?;
    let world = World::start()?;
    let mut spec = Spec::whole("local", size.nodes).with_s3();
    if size.kwok > 0 {
        spec = spec.with_fake_nodes(size.kwok);
    }
    let cluster = world.cluster(spec)?;
    let port = forward::start(world.pid(), (cluster.address(), 6443).into())?;
    let outside = state::outside_kubeconfig(folder, cluster.kubeconfig(), port)?;
    let state = State {
        pid: std::process::id(),
        world: world.pid(),
        inside: cluster.kubeconfig().to_owned(),
        outside,
        search_path: world.tools().search_path(),
        folder: world.folder().to_owned(),
        s3: store(&cluster)?,
    };
    state.write(folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(state::told_to_end())?;
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
    let state = State::of_running(folder)?.context("no cluster is up: `cargo xtask cluster up` starts one")?;
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
    let Some(state) = State::of_running(folder)? else {
        println!("no cluster is up");
        return Ok(());
    };
    state.tell_to_end()?;
    wait::until("the cluster to end", DOWN, || Ok(State::of_running(folder)?.is_none().then_some(())))?;
    println!("down");
    Ok(())
}
