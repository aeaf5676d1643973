//! Real supervisors and workers, watched through the lines they write.
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use coalition_protocol::SiteId;
use rustix::process::{Pid, Signal, kill_process};

use super::hub::Hub;

/// A supervisor and what it and its workers said.
pub struct Supervisor {
    child: Option<Child>,
    config: PathBuf,
    command: Vec<String>,
    lines: Arc<(Mutex<Vec<serde_json::Value>>, Condvar)>,
}

/// Writes the configuration of a worker and starts its supervisor. It pauses for `pause` milliseconds after each step.
pub fn start(dir: &Path, hub: &Hub, gateway: &str, site: &str, worker: u32, pause: u64) -> Supervisor {
    start_with(dir, hub, gateway, site, worker, &serde_json::json!({"stepPauseMillis": pause}))
}

/// The same with any test switches.
pub fn start_with(
    dir: &Path,
    hub: &Hub,
    gateway: &str,
    site: &str,
    worker: u32,
    test: &serde_json::Value,
) -> Supervisor {
    let mut json = config(dir, hub, gateway, site);
    json["worker"] = worker.into();
    json["test"] = test.clone();
    let config = dir.join(format!("{site}-{worker}.json"));
    std::fs::write(&config, json.to_string()).unwrap();
    Supervisor::start(&config, plain(&config, &[]))
}

/// The configuration of a site's workers, without what only one of them is told. Its token is in the file `token`.
pub fn config(dir: &Path, hub: &Hub, gateway: &str, site: &str) -> serde_json::Value {
    let id: SiteId = site.parse().unwrap();
    let (workers, store) = {
        let s = hub.lock();
        (s.sites[&id].workers, s.sites[&id].store.clone())
    };
    let token = dir.join("token");
    std::fs::write(&token, "hush\n").unwrap();
    serde_json::json!({
        "run": "tiny", "site": site, "workers": workers, "gateway": gateway, "tokenFile": token,
        "store": format!("file://{}", store.display()), "data": super::data(), "threads": 1,
    })
}

/// The command line of a supervisor.
pub fn plain(config: &Path, more: &[&str]) -> Vec<String> {
    let config = config.to_str().unwrap();
    let words = [&[env!("CARGO_BIN_EXE_coalition-trainer"), "supervise", "--config", config], more].concat();
    words.into_iter().map(str::to_owned).collect()
}

impl Supervisor {
    /// Starts any command that ends in a supervisor; `config` gives its name in messages.
    pub fn start(config: &Path, command: Vec<String>) -> Self {
        let mut s = Self { child: None, config: config.to_owned(), command, lines: Arc::default() };
        s.restart();
        s
    }

    pub fn restart(&mut self) {
        let mut child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let lines = self.lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Ok(v) = serde_json::from_str::<serde_json::Value>(&line) {
                    lines.0.lock().unwrap().push(v);
                    lines.1.notify_all();
                }
            }
        });
        let name = self.config.file_stem().unwrap().to_string_lossy().into_owned();
        thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                eprintln!("{name}: {line}");
            }
        });
        self.child = Some(child);
    }

    /// How many lines of an event were written.
    pub fn count(&self, event: &str) -> usize {
        self.events(event).len()
    }

    pub fn events(&self, event: &str) -> Vec<serde_json::Value> {
        self.lines.0.lock().unwrap().iter().filter(|v| v["event"] == event).cloned().collect()
    }

    /// Waits until more than `n` lines of an event were written.
    pub fn wait(&self, event: &str, n: usize, limit: Duration) {
        let until = Instant::now() + limit;
        let mut lines = self.lines.0.lock().unwrap();
        while lines.iter().filter(|v| v["event"] == event).count() <= n {
            let left = until.saturating_duration_since(Instant::now());
            let last: Vec<_> = lines.iter().rev().take(5).collect();
            assert!(!left.is_zero(), "waited {limit:?} for line {n} of {event}; the last lines: {last:?}");
            lines = self.lines.1.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// For every restart in place: milliseconds from the worker's end to its next process's start, its own first line,
    /// joined, restored, first step.
    pub fn phases(&self) -> Vec<[u64; 5]> {
        let lines = self.lines.0.lock().unwrap();
        let at = |from: usize, event: &str| {
            lines[from..].iter().find(|v| v["event"] == event).map(|v| v["ms"].as_u64().unwrap())
        };
        let ends = lines.iter().enumerate().filter(|(_, v)| v["event"] == "workerEnded");
        ends.filter_map(|(n, v)| {
            let ended = v["ms"].as_u64().unwrap();
            let after = |event| Some(at(n, event)?.saturating_sub(ended));
            Some([
                after("workerStarted")?,
                after("started")?,
                after("joined")?,
                after("restored")?,
                after("firstStep")?,
            ])
        })
        .collect()
    }

    pub fn worker_pid(&self) -> Option<Pid> {
        let last = self.events("workerStarted").pop()?;
        Pid::from_raw(last["pid"].as_i64()? as i32)
    }

    /// The process that was started.
    pub fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().unwrap())
    }

    pub fn kill_worker(&self) {
        let _ = kill_process(self.worker_pid().unwrap(), Signal::KILL);
    }

    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid(), signal);
    }

    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits for the supervisor's end; gives its exit code.
    pub fn end(&mut self, limit: Duration) -> i32 {
        let until = Instant::now() + limit;
        let mut child = self.child.take().unwrap();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < until, "the supervisor did not end in {limit:?}");
            // A bounded poll: the standard library has no wait with a deadline.
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
