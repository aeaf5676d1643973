//! What the outside tells a process without words: SIGTERM, and the end of its standard input. Must not know what is done
//! about it.
use std::io::Read;
use std::thread;

use rustix::fs::{FileType, fstat};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// The exit code of who was killed, as shells count.
const KILLED: i32 = 137;

/// Calls `then` at every SIGTERM or SIGINT, from a thread of its own.
pub fn on_terminate(then: impl Fn() + Send + 'static) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::bug(format!("cannot watch signals: {e}")))?;
    let (ready, is_ready) = std::sync::mpsc::channel();
    thread::spawn(move || {
        runtime.block_on(async move {
            let pair = signal(SignalKind::terminate()).and_then(|t| Ok((t, signal(SignalKind::interrupt())?)));
            let (mut term, mut int) = match pair {
                Ok(p) => p,
                Err(e) => {
                    let _ = ready.send(Err(e.to_string()));
                    return;
                }
            };
            let _ = ready.send(Ok(()));
            loop {
                tokio::select! {
                    s = term.recv() => if s.is_none() { return },
                    s = int.recv() => if s.is_none() { return },
                }
                then();
            }
        });
    });
    match is_ready.recv() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(e)) => Err(Failure::bug(format!("cannot watch signals: {e}"))),
        Err(_) => Err(Failure::bug("the thread that watches signals ended")),
    }
}

/// Calls `then` when standard input closes, if it is a pipe or a socket: whoever started this process holds the other end
/// and is gone. A terminal, a file or /dev/null says nothing.
pub fn on_orphaned(then: impl FnOnce() + Send + 'static) {
    let piped = fstat(std::io::stdin())
        .is_ok_and(|s| matches!(FileType::from_raw_mode(s.st_mode), FileType::Fifo | FileType::Socket));
    if !piped {
        return;
    }
    thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = [0; 256];
        loop {
            match stdin.read(&mut buffer) {
                Ok(n) if n > 0 => {}
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        then();
    });
}

/// Ends this process at once, without running anything: for orphans, which nobody waits for.
pub fn vanish() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // The first process of a container cannot kill itself so; everything else in there ends with it.
    std::process::exit(KILLED);
}
