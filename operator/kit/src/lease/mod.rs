//! One Lease a role: held by one replica at a time, renewed until it ends, given back when it does. Must not know what a role
//! does with it: it says until when this process leads, and nothing more.
pub mod step;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

pub use step::Timing;
use step::{Memory, Read, Write};

use crate::outage::is_away;
use crate::said::Said;

/// Until when this process leads; none while it does not.
pub type Until = Option<Instant>;

/// Which Lease, and who asks for it.
#[derive(Clone, Debug)]
pub struct Lock {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Its name, one for each role.
    pub name: String,
    /// This process: the pod's name, which no other process of the role has at the same time.
    pub me: String,
    /// How long things take.
    pub timing: Timing,
}

/// Keeps the Lease for as long as the returned future is polled, and says through `until` when this process leads. Ends when
/// `stop` becomes true, after it gave the Lease back.
pub async fn keep(client: Client, lock: Lock, until: Arc<watch::Sender<Until>>, mut stop: watch::Receiver<bool>) {
    let api: Api<Lease> = Api::namespaced(client, &lock.namespace);
    let origin = Instant::now();
    let clock = || u64::try_from(origin.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (mut memory, mut said) = (Memory::default(), Said::default());
    while !*stop.borrow_and_update() {
        let next = Instant::now() + lock.timing.retry;
        // A request that takes longer than the time between two is given up: its answer would come too late to count.
        match timeout(lock.timing.retry, attempt(&api, &lock, &mut memory, &clock)).await {
            Ok(Ok(())) => {
                said.forget();
            }
            // Of a server that is away its client says so.
            Ok(Err(e)) if is_away(&e) => tracing::debug!(lease = lock.name, error = %e, "the lease was not renewed"),
            Ok(Err(e)) if said.is_news(&e) => {
                tracing::warn!(lease = lock.name, error = %e, "the lease was not renewed; it is tried again");
            }
            Ok(Err(_)) => {}
            Err(_) => tracing::debug!(lease = lock.name, "the API server did not answer about the lease in time"),
        }
        let leads = memory.leads_until(&lock.timing).map(|at| origin + Duration::from_millis(at));
        until.send_if_modified(|old| {
            let news = *old != leads;
            *old = leads;
            news
        });
        tokio::select! {
            () = sleep_until(next) => {}
            _ = stop.changed() => {}
        }
    }
    let led = memory.leads(&lock.timing, clock());
    until.send_replace(None);
    if led && let Err(e) = give_back(&api, &lock).await {
        tracing::warn!(lease = lock.name, error = %e, "the lease was not given back: the next leader waits for it to run out");
    }
}

async fn attempt(
    api: &Api<Lease>,
    lock: &Lock,
    memory: &mut Memory,
    clock: &impl Fn() -> u64,
) -> Result<(), kube::Error> {
    let found = api.get_opt(&lock.name).await?;
    let read = found.as_ref().map(|l| read(l, &lock.timing));
    let write = step::step(memory, &lock.me, read.as_ref(), clock());
    let sent = clock();
    let written = match write {
        Write::Nothing => {
            memory.lost();
            return Ok(());
        }
        Write::Create => api.create(&PostParams::default(), &lease(lock, None, None)).await,
        Write::Renew { version } | Write::Take { version } => {
            api.replace(&lock.name, &PostParams::default(), &lease(lock, found.as_ref(), Some(version))).await
        }
    };
    match written {
        Ok(_) => memory.written(sent),
        // Somebody else was quicker: the next attempt reads who.
        Err(kube::Error::Api(status)) if status.code == 409 => memory.lost(),
        Err(e) => return Err(e),
    }
    Ok(())
}

fn read(lease: &Lease, timing: &Timing) -> Read {
    let spec = lease.spec.as_ref();
    let seconds = spec.and_then(|s| s.lease_duration_seconds).and_then(|s| u64::try_from(s).ok());
    Read {
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: spec.and_then(|s| s.holder_identity.clone()).filter(|h| !h.is_empty()),
        duration: seconds.map_or(timing.duration, Duration::from_secs),
    }
}

/// The Lease as it shall stand. Its times are for people and for other tools; this program reads none of them.
fn lease(lock: &Lock, before: Option<&Lease>, version: Option<String>) -> Lease {
    let now = MicroTime(Timestamp::now());
    let old = before.and_then(|l| l.spec.as_ref());
    let mine = old.is_some_and(|s| s.holder_identity.as_deref() == Some(lock.me.as_str()));
    let transitions = old.and_then(|s| s.lease_transitions).unwrap_or(0);
    Lease {
        metadata: ObjectMeta {
            name: Some(lock.name.clone()),
            namespace: Some(lock.namespace.clone()),
            resource_version: version,
            ..before.map(|l| l.metadata.clone()).unwrap_or_default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(lock.me.clone()),
            lease_duration_seconds: Some(i32::try_from(lock.timing.duration.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: if mine { old.and_then(|s| s.acquire_time.clone()) } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(if mine || before.is_none() { transitions } else { transitions.saturating_add(1) }),
            ..LeaseSpec::default()
        }),
    }
}

async fn give_back(api: &Api<Lease>, lock: &Lock) -> Result<(), kube::Error> {
    let Some(mut found) = api.get_opt(&lock.name).await? else { return Ok(()) };
    let Some(spec) = found.spec.as_mut().filter(|s| s.holder_identity.as_deref() == Some(lock.me.as_str())) else {
        return Ok(());
    };
    spec.holder_identity = None;
    api.replace(&lock.name, &PostParams::default(), &found).await.map(drop)
}
