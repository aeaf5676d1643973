//! A role of this process: it works while it holds its Lease, and not an instant longer. Must not know what the work is.
use std::sync::Arc;

use kube::Client;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::health::Health;
use crate::lease::{self, Lock, Timing, Until};
use crate::metrics::{self, Metrics, Name};

/// What all roles of a process share.
#[derive(Clone)]
pub struct Process {
    /// The API server of the operator's own cluster.
    pub client: Client,
    /// The operator's own namespace, where its Leases are.
    pub namespace: String,
    /// Who this process is among its replicas.
    pub identity: String,
    /// What must be so before it is ready.
    pub health: Health,
    /// What it measures.
    pub metrics: Arc<Metrics>,
    /// Becomes true when the process shall end.
    pub stop: watch::Receiver<bool>,
}

/// Does `work` whenever this process holds the Lease `coalition-ROLE`, and stops it (by dropping it, wherever it stands) when
/// the Lease is lost. Work that ends by itself begins again. Ends when the process shall end, after the Lease was given back.
pub async fn lead<F: Future<Output = ()>>(
    process: &Process,
    role: &'static str,
    timing: Timing,
    work: impl FnMut() -> F,
) {
    let lock = Lock {
        namespace: process.namespace.clone(),
        name: format!("coalition-{role}"),
        me: process.identity.clone(),
        timing,
    };
    let until = Arc::new(watch::Sender::new(None));
    let (ending, end) = watch::channel(false);
    let kept = lease::keep(process.client.clone(), lock, until.clone(), end);
    let mut stop = process.stop.clone();
    let led = async {
        tokio::select! {
            () = follow(until.subscribe(), role, &process.metrics, work) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        // The work is dropped by now: only then may another process begin.
        process.metrics.lease.get_or_create(&metrics::Role { role: Name(role) }).set(0);
        ending.send_replace(true);
    };
    tokio::join!(kept, led);
}

async fn follow<F: Future<Output = ()>>(
    mut until: watch::Receiver<Until>,
    role: &'static str,
    metrics: &Metrics,
    mut work: impl FnMut() -> F,
) {
    let held = metrics.lease.get_or_create_owned(&metrics::Role { role: Name(role) });
    held.set(0);
    while until.wait_for(|u| u.is_some_and(|at| at > Instant::now())).await.is_ok() {
        tracing::info!(role, "this process leads");
        held.set(1);
        tokio::select! {
            () = work() => {}
            () = lost(&mut until) => tracing::warn!(role, "this process leads no more"),
        }
        held.set(0);
    }
}

/// Ends when this process leads no more.
async fn lost(until: &mut watch::Receiver<Until>) {
    loop {
        let at = *until.borrow_and_update();
        let Some(at) = at.filter(|at| *at > Instant::now()) else { return };
        tokio::select! {
            () = sleep_until(at) => {}
            changed = until.changed() => if changed.is_err() { return },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    /// Work that is being done, counted.
    struct Running(Arc<AtomicU32>);

    impl Drop for Running {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_done_while_the_lease_is_held_and_only_then() {
        let (sender, receiver) = watch::channel(None);
        let running = Arc::new(AtomicU32::new(0));
        let r = running.clone();
        let metrics = Arc::new(Metrics::new("0"));
        let m = metrics.clone();
        let task = tokio::spawn(async move {
            follow(receiver, "hub", &m, || {
                r.fetch_add(1, Ordering::SeqCst);
                let guard = Running(r.clone());
                async move {
                    let _guard = guard;
                    std::future::pending::<()>().await;
                }
            })
            .await;
        });
        let wait = |millis| tokio::time::sleep(Duration::from_millis(millis));
        wait(100).await;
        assert_eq!(running.load(Ordering::SeqCst), 0, "it never led");
        sender.send_replace(Some(Instant::now() + Duration::from_secs(10)));
        wait(100).await;
        assert_eq!(running.load(Ordering::SeqCst), 1);
        assert!(metrics.text().contains(r#"lease_held{role="hub"} 1"#));
        wait(8_000).await;
        sender.send_replace(Some(Instant::now() + Duration::from_secs(10)));
        wait(9_000).await;
        assert_eq!(running.load(Ordering::SeqCst), 1, "it was renewed");
        wait(2_000).await;
        assert_eq!(running.load(Ordering::SeqCst), 0, "it ran out unseen");
        sender.send_replace(Some(Instant::now() + Duration::from_secs(10)));
        wait(100).await;
        assert_eq!(running.load(Ordering::SeqCst), 1, "and came back");
        sender.send_replace(None);
        wait(100).await;
        assert_eq!(running.load(Ordering::SeqCst), 0, "another holds it");
        drop(sender);
        task.await.unwrap();
    }
}
