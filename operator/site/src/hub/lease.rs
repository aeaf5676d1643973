//! The site's sign of life at the hub: one Lease, renewed by the site's leader. The hub dates it by its arrival there; the times
//! in it are for people. Must not know what the site does.
use std::time::Duration;

use coalition_crds::names::{SITE_LABEL, site_namespace};
use coalition_protocol::SiteId;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{Instant, sleep_until, timeout};

/// Name of the Lease.
const NAME: &str = "site";
/// Between two renewals; the hub counts on it.
pub const PERIOD: Duration = Duration::from_secs(5);
/// What the Lease says of its duration, seconds: three renewals may be missed before a site counts as away.
const DURATION: i32 = 15;

/// Renews the Lease until it is dropped. `me` is this process, for people.
pub async fn sign_of_life(hub: Client, site: SiteId, me: String) {
    let api: Api<Lease> = Api::namespaced(hub, &site_namespace(site.as_str()));
    let mut held: Option<Lease> = None;
    let mut told = false;
    loop {
        let next = Instant::now() + PERIOD;
        let done = timeout(PERIOD, renew(&api, &site, &me, &mut held)).await;
        let failed = match done {
            Ok(Ok(())) => None,
            Ok(Err(e)) => Some(e.to_string()),
            Err(_) => Some("no answer".to_owned()),
        };
        match failed {
            None if std::mem::take(&mut told) => tracing::info!("the hub hears of this site again"),
            None => {}
            Some(error) => {
                held = None;
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(error, "the hub does not hear of this site; it is tried again");
                }
            }
        }
        sleep_until(next).await;
    }
}

async fn renew(api: &Api<Lease>, site: &SiteId, me: &str, held: &mut Option<Lease>) -> Result<(), kube::Error> {
    if held.is_none() {
        *held = api.get_opt(NAME).await?;
    }
    let spec = LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: Some(DURATION),
        renew_time: Some(MicroTime(Timestamp::now())),
        ..LeaseSpec::default()
    };
    let written = if let Some(old) = held {
        api.replace(NAME, &PostParams::default(), &Lease { spec: Some(spec), ..old.clone() }).await?
    } else {
        let metadata = ObjectMeta {
            name: Some(NAME.to_owned()),
            labels: Some([(SITE_LABEL.to_owned(), site.to_string())].into()),
            ..ObjectMeta::default()
        };
        api.create(&PostParams::default(), &Lease { metadata, spec: Some(spec) }).await?
    };
    *held = Some(written);
    Ok(())
}
