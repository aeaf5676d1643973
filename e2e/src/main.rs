//! `coalition-e2e`: the harness as a program. `cargo xtask` calls it, and so may a person who wants one trial again.

use anyhow::{Context, Result};
use coalition_e2e::rundir::RunDir;
use coalition_e2e::{audit, learnt, programs, restart, trials, wait};
use serde_json::json;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// What `--help` prints: all there is to ask for.
const USAGE: &str = "usage:
  coalition-e2e audit RUN DATA     check the history in RUN against itself and the data
  coalition-e2e learnt RUN DATA    bits per byte before and after, beside counting models on the bytes RUN was fed
  coalition-e2e fed RUN DATA       the windows of DATA that committed work of RUN was fed, in the order of their positions
  coalition-e2e learn MANIFEST DATA RUN [OPTION...]
                                   runs MANIFEST in the folder RUN on DATA, whose name there is `rust`, then as `learnt`
  coalition-e2e restart KILLS      milliseconds from the kill of a worker until its gang trains again, by phase
  coalition-e2e trial NAME SEED    one seeded disturbance of a small run, and what must hold afterwards
Each prints one JSON object. RUN is the folder of a local run, DATA that of its prepared data.

The programs are looked for in $COALITION_BIN_DIR, else beside this one.

Example:
  coalition-e2e trial kills 7";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["audit", run, data] => run_audit(Path::new(run), Path::new(data)),
        ["learnt", run, data] => run_learnt(Path::new(run), Path::new(data)),
        ["fed", run, data] => run_fed(Path::new(run), Path::new(data)),
        ["learn", manifest, data, run, options @ ..] => {
            run_learn(Path::new(manifest), Path::new(data), Path::new(run), options)
        }
        ["restart", kills] => run_restart(kills),
        ["trial", name, seed] => run_trial(name, seed),
        ["--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_audit(dir: &Path, data: &Path) -> Result<()> {
    let run = RunDir::new(dir);
    let samples = run.samples(data)?;
    let records = run.records()?;
    let account = audit::account(&records)?;
    let checked = audit::batch_hashes(&records, &samples)?;
    println!(
        "{}",
        json!({
            "records": records.len(), "commits": account.commits, "tokens": account.tokens,
            "positions": account.used.len(), "hashes": checked, "ended": account.ended,
            "state": account.state.map(|(seq, digest)| json!({"of": seq, "digest": digest.to_string()})),
        })
    );
    Ok(())
}

/// Training takes minutes; an hour is a machine that hangs.
const LEARNING: Duration = Duration::from_hours(1);

fn run_learn(manifest: &Path, data: &Path, dir: &Path, options: &[&str]) -> Result<()> {
    let mut command = Command::new(programs::cli()?);
    command.arg("local").arg(manifest).arg("--dir").arg(dir).arg("--plain").args(options);
    command.arg("--data").arg(format!("rust={}", data.display())).arg("--trainer").arg(programs::trainer()?);
    // Standard output is this program's one line.
    command.stdin(Stdio::null()).stdout(std::io::stderr());
    let mut child = command.spawn().context("kubectl-coalition does not start")?;
    let ended = wait::until("the run to end", LEARNING, || Ok(child.try_wait()?));
    if ended.is_err() {
        child.kill().context("the run that took too long cannot be ended")?;
    }
    let status = ended?;
    anyhow::ensure!(status.success(), "the run ended with {status}");
    run_learnt(dir, data)
}

fn run_fed(dir: &Path, data: &Path) -> Result<()> {
    let run = RunDir::new(dir);
    let samples = run.samples(data)?;
    let used = audit::account(&run.records()?)?.used;
    let windows = used.iter().map(|position| Ok(samples.place(position)?.window)).collect::<Result<Vec<u64>>>()?;
    println!("{}", json!({ "windows": windows }));
    Ok(())
}

fn run_learnt(dir: &Path, data: &Path) -> Result<()> {
    let run = RunDir::new(dir);
    let samples = run.samples(data)?;
    let found = learnt::read(&run, &samples)?;
    println!("{}", serde_json::to_string(&found).context("not a number")?);
    Ok(())
}

fn run_restart(kills: &str) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("coalition-restart-").tempdir().context("no temporary folder")?;
    let restarts = restart::measure(folder.path(), restart::kills(kills)?)?;
    println!("{}", json!({ "restarts": restarts }));
    Ok(())
}

/// A trial that fails is an outcome; its folder is kept and named.
fn run_trial(name: &str, seed: &str) -> Result<()> {
    let seed = seed.parse().with_context(|| format!("SEED is a number, not `{seed}`"))?;
    let folder = tempfile::Builder::new().prefix("coalition-trial-").tempdir().context("no temporary folder")?;
    let mut outcome = trials::run(name, seed, folder.path())?;
    if outcome["ok"] != true {
        outcome["folder"] = json!(folder.keep());
    }
    println!("{outcome}");
    Ok(())
}
