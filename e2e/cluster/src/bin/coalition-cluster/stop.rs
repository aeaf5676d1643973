//! Whether this program was told to end: by Ctrl-C, by `down`, or by a terminal that was closed. Must not end it: who asks does.

use anyhow::{Context, Result};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use tokio::signal::unix::{SignalKind, signal};

/// Tells.
pub struct Stop(Receiver<()>);

/// From now on the signals that would end this program are noticed instead.
pub fn notice() -> Result<Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let all = runtime.block_on(async {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        kinds.map(signal).into_iter().collect::<std::io::Result<Vec<_>>>()
    });
    let mut all = all.context("no handler for signals")?;
    let (tell, told) = channel();
    thread::spawn(move || {
        runtime.block_on(async {
            let any = all.iter_mut().map(|one| Box::pin(one.recv()));
            futures::future::select_all(any).await;
        });
        // Nobody listens any more: the program has come to its end by itself.
        let _ = tell.send(());
    });
    Ok(Stop(told))
}

impl Stop {
    /// True once, if it was told to end.
    pub fn is_asked(&self) -> bool {
        self.0.try_recv().is_ok()
    }

    /// Returns when it is told to end.
    pub fn wait(&self) {
        // An error would mean that the thread has ended, which it does only after it told.
        let _ = self.0.recv();
    }
}
