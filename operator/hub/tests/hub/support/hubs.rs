//! Hubs that can be killed: at once, or at a certain write, before the server had it or after.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use coalition_hub::Hub;
use coalition_kit::client::verb;
use coalition_kit::metrics::Metrics;
use kube::Client;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// When a hub dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dies {
    /// Only when it is told to.
    Never,
    /// At its n-th write (from 1), which the server never sees.
    Before(u64),
    /// At its n-th write, which the server has done; the answer is lost.
    After(u64),
}

/// A hub that runs, and leads whatever others do.
pub struct Running {
    task: JoinHandle<()>,
    pub metrics: Arc<Metrics>,
    /// Writes it has begun.
    pub writes: Arc<AtomicU64>,
    /// Rings once it is dead of a write.
    pub died: Arc<Notify>,
}

impl Running {
    /// Starts one.
    pub fn start(client: &Client, dies: Dies) -> Self {
        let (writes, died) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let (client, metrics) = (cut(client, dies, writes.clone(), died.clone()), Arc::new(Metrics::new("test")));
        let hub = Hub::start(client, metrics.clone(), super::SYSTEM, "hub-0");
        let task = tokio::spawn(async move { hub.lead().await });
        Self { task, metrics, writes, died }
    }

    /// Kills it where it stands.
    pub async fn kill(self) {
        self.task.abort();
        // Whether it was ended or had ended is the same.
        let _ = self.task.await;
    }
}

/// A client whose n-th write, and all that follows, fails.
fn cut(inner: &Client, dies: Dies, writes: Arc<AtomicU64>, died: Arc<Notify>) -> Client {
    let (inner, dead) = (inner.clone(), Arc::new(AtomicBool::new(false)));
    let namespace = inner.default_namespace().to_owned();
    let service = tower::service_fn(move |request: axum::http::Request<kube::client::Body>| {
        let (inner, dead, writes, died) = (inner.clone(), dead.clone(), writes.clone(), died.clone());
        async move {
            let gone = || kube::Error::Service("the process is dead".into());
            if dead.load(Ordering::SeqCst) {
                return Err(gone());
            }
            if verb(request.method().as_str()).is_none() {
                return inner.send(request).await;
            }
            let n = writes.fetch_add(1, Ordering::SeqCst) + 1;
            if dies == Dies::Before(n) {
                dead.store(true, Ordering::SeqCst);
                died.notify_one();
                return Err(gone());
            }
            let answer = inner.send(request).await;
            if dies == Dies::After(n) {
                dead.store(true, Ordering::SeqCst);
                died.notify_one();
                return Err(gone());
            }
            answer
        }
    });
    Client::new(service, namespace)
}
