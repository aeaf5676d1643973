//! Its supervisor: starts the worker, reports its end, does as ordered; ends with its standard input.
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use coalition_protocol::messages::{ExitReport, Orders, Permit};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::Config;
use crate::gateway::Gateway;

pub async fn supervise(config: Config, path: &str) -> u8 {
    let gateway = Gateway::new(&config);
    let mut terminate = signal(SignalKind::terminate()).expect("signals");
    let mut orphaned = crate::orphaned();
    loop {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["work", "--config", path])
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        // `Child::wait` would close it.
        let _pipe = child.stdin.take();
        let process = format!("p{}", child.id().unwrap_or_default());
        let status = tokio::select! {
            s = child.wait() => s.expect("a child of ours"),
            _ = &mut orphaned => return 75,
            _ = terminate.recv() => {
                child.kill().await.expect("a child of ours");
                return 143;
            }
        };
        let exit_code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        let report = ExitReport { worker: config.worker, process, exit_code, log: String::new() };
        match gateway.post::<_, Permit>("/v1/exit", &report).await {
            Ok(p) if p.orders == Orders::Restart => {}
            Ok(_) => return u8::try_from(exit_code).unwrap_or(70),
            Err(_) => return 69,
        }
    }
}
