//! Where a cluster is: kubeconfig and context, as kubectl finds them. Must not know what is asked of it.
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::{Cluster, ClusterError};
use crate::args::Reach;

/// How long a connection may take to be there: as in kubectl's own defaults, a few round trips around the world.
const CONNECT: Duration = Duration::from_secs(5);
/// What a pod has that may talk to its API server.
const IN_POD: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// True if some cluster is configured here, whether or not it answers.
pub fn is_configured() -> bool {
    files().iter().any(|f| f.is_file()) || in_pod()
}

/// The kubeconfigs that count, in their order.
fn files() -> Vec<PathBuf> {
    match std::env::var_os("KUBECONFIG").filter(|v| !v.is_empty()) {
        Some(list) => std::env::split_paths(&list).collect(),
        None => std::env::home_dir().map(|home| home.join(".kube/config")).into_iter().collect(),
    }
}

fn in_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some_and(|v| !v.is_empty()) && Path::new(IN_POD).is_file()
}

/// The kubeconfig, if there is one.
pub fn kubeconfig(file: Option<&Path>) -> Result<Option<Kubeconfig>, ClusterError> {
    let no_config = |what: String| ClusterError::NoConfig { what };
    if let Some(file) = file {
        let read = Kubeconfig::read_from(file);
        return read.map(Some).map_err(|e| no_config(format!("{} is no kubeconfig ({e})", file.display())));
    }
    let mut whole: Option<Kubeconfig> = None;
    for file in files().into_iter().filter(|f| f.is_file()) {
        let read = Kubeconfig::read_from(&file);
        let next = read.map_err(|e| no_config(format!("{} is no kubeconfig ({e})", file.display())))?;
        whole = Some(match whole {
            // The first file that sets a thing wins, as in kubectl.
            Some(first) => {
                first.merge(next).map_err(|e| no_config(format!("the kubeconfigs do not fit together ({e})")))?
            }
            None => next,
        });
    }
    Ok(whole)
}

/// The hub that is meant.
pub async fn hub(reach: &Reach) -> Result<Cluster, ClusterError> {
    cluster(reach, reach.context.as_deref()).await
}

/// The cluster of a context, else of the current one.
pub async fn cluster(reach: &Reach, context: Option<&str>) -> Result<Cluster, ClusterError> {
    let no_config = |what: String| ClusterError::NoConfig { what };
    let (mut config, called) = match kubeconfig(reach.kubeconfig.as_deref())? {
        Some(file) => {
            let name = context.map(str::to_owned).or_else(|| file.current_context.clone());
            let Some(name) = name.filter(|n| !n.is_empty()) else {
                return Err(no_config("the kubeconfig names no current context".to_owned()));
            };
            let known: Vec<String> = file.contexts.iter().map(|c| c.name.clone()).collect();
            if !known.contains(&name) {
                let near = super::error::near(&name, &known);
                return Err(no_config(format!("the kubeconfig has no context {name}{near}")));
            }
            let options = KubeConfigOptions { context: Some(name.clone()), ..KubeConfigOptions::default() };
            let config = Config::from_custom_kubeconfig(file, &options).await;
            (config.map_err(|e| no_config(format!("context {name} cannot be used ({e})")))?, format!("context {name}"))
        }
        None if context.is_some() || !in_pod() => return Err(no_config("no cluster is configured here".to_owned())),
        None => {
            let config = Config::incluster();
            let config = config.map_err(|e| no_config(format!("the pod's own access cannot be used ({e})")))?;
            (config, "this pod's cluster".to_owned())
        }
    };
    config.connect_timeout = Some(CONNECT);
    let namespace = reach.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).map_err(|e| no_config(format!("{called} cannot be used ({e})")))?;
    Ok(Cluster { client, namespace, called })
}
