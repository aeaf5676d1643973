//! Who may talk to a gang's gateway in a cluster: the newest pod of each of its workers, by the token that the kubelet gave it.
//! A pod that was replaced may still run somewhere; with its token nothing can be written any more.
use std::sync::Arc;

use coalition_gateway::guard::{Answer, Caller, Guard};
use coalition_gateway::refusal::Refusal;

use super::keys::{BadToken, Keys};
use crate::backend::ClusterSite;
use crate::callers::Sender;

/// Lets in current pods of one gang.
#[derive(Debug)]
pub struct PodGuard {
    /// The cluster's keys.
    pub keys: Arc<Keys>,
    /// The gang's namespace.
    pub namespace: String,
    /// The gang.
    pub site: Arc<ClusterSite>,
}

impl PodGuard {
    async fn check(&self, token: &str) -> Result<Caller, Refusal> {
        let pod = self.keys.pod(token).await.map_err(|e| match e {
            BadToken::Invalid(what) => Refusal::Unauthorized(what),
            BadToken::NoKeys(what) => Refusal::Unavailable(what),
        })?;
        if pod.namespace != self.namespace {
            return Err(Refusal::Unauthorized(format!("pod {}/{} is not of this gang", pod.namespace, pod.name)));
        }
        match self.site.sender(&pod.name, &pod.uid) {
            Sender::Worker(worker) => Ok(Caller::Worker(worker)),
            Sender::Nobody => Err(Refusal::Unauthorized(format!(
                "pod {} is not the newest of a worker of this gang: another took its place, and nothing it does counts",
                pod.name
            ))),
            Sender::NotSeen => {
                Err(Refusal::Unavailable(format!("pod {} was just made and is not seen yet: ask again", pod.name)))
            }
        }
    }
}

impl Guard for PodGuard {
    fn caller<'a>(&'a self, token: &'a str) -> Answer<'a> {
        Box::pin(self.check(token))
    }
}
