//! The workers of a run in a site's own cluster: the gang there, and the newest pod of each worker. Must not know what they write.
use std::collections::BTreeMap;

use coalition_crds::Gang;
use coalition_crds::names::{BIRTH_LABEL, INDEX_LABEL, RUN_LABEL};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;

use super::{Cluster, ClusterError};

/// The gangs of a run in this cluster, one a site that it is.
pub async fn gangs(
    site: &Cluster,
    namespace: Option<&str>,
    run: &str,
    hub_namespace: Option<&str>,
) -> Result<Vec<Gang>, ClusterError> {
    let all: Vec<Gang> = match site.list(namespace, &ListParams::default()).await {
        // Who may not look everywhere may still look where they are.
        Err(ClusterError::Forbidden { said, verb, resource, place }) if namespace.is_none() => {
            let forbidden = |_| ClusterError::Forbidden {
                said,
                verb,
                resource,
                place: format!("{place}, or --site-namespace with one you may look into,"),
            };
            site.list(Some(&site.namespace), &ListParams::default()).await.map_err(forbidden)?
        }
        other => other?,
    };
    Ok(of(all, run, hub_namespace))
}

/// Those that belong to a run: by its identity, by the name of the TrainingRun, and by its namespace where one was named or
/// several have that name.
fn of(all: Vec<Gang>, run: &str, hub_namespace: Option<&str>) -> Vec<Gang> {
    let mut found: Vec<Gang> = all
        .into_iter()
        .filter(|g| g.name_any() == run || g.spec.site_run.training_run.name == run)
        .filter(|g| hub_namespace.is_none_or(|n| g.spec.site_run.training_run.namespace == n))
        .collect();
    found.sort_by_key(|g| g.spec.site_run.message.site.clone());
    found
}

/// The site that a gang is of.
pub fn site(gang: &Gang) -> &str {
    gang.spec.site_run.message.site.as_str()
}

/// The newest pod of each worker of a gang, by index.
pub async fn newest(site: &Cluster, gang: &Gang) -> Result<BTreeMap<u32, Pod>, ClusterError> {
    let of_it = format!("{RUN_LABEL}={}", gang.name_any());
    let pods = site.list::<Pod>(gang.namespace().as_deref(), &ListParams::default().labels(&of_it)).await?;
    Ok(newest_of(pods))
}

/// A pod that was made anew leaves the old one where its node does not answer: only the newest counts.
fn newest_of(pods: Vec<Pod>) -> BTreeMap<u32, Pod> {
    let mut out: BTreeMap<u32, (u64, Pod)> = BTreeMap::new();
    for pod in pods {
        let number = |label: &str| pod.labels().get(label)?.parse::<u64>().ok();
        let Some((index, birth)) = number(INDEX_LABEL).and_then(|i| u32::try_from(i).ok()).zip(number(BIRTH_LABEL))
        else {
            continue;
        };
        if out.get(&index).is_none_or(|(older, _)| *older < birth) {
            out.insert(index, (birth, pod));
        }
    }
    out.into_iter().map(|(index, (_, pod))| (index, pod)).collect()
}

/// Why a pod has no log yet, if so.
pub fn waits(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() != Some("Pending") {
        return None;
    }
    let waiting = status.container_statuses.iter().flatten().find_map(|c| c.state.as_ref()?.waiting.clone());
    let condition = status.conditions.iter().flatten().find(|c| c.status == "False" && c.message.is_some());
    let why = waiting
        .and_then(|w| w.message.or(w.reason))
        .or_else(|| condition.and_then(|c| c.message.clone()))
        .unwrap_or_else(|| "its node has not begun with it".to_owned());
    Some(format!("pod {} has not started: {why}", pod.name_any()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(index: u32, birth: u64) -> Pod {
        let labels =
            json!({RUN_LABEL: "mine-0123456789", INDEX_LABEL: index.to_string(), BIRTH_LABEL: birth.to_string()});
        serde_json::from_value(json!({"metadata": {"name": format!("mine-{index}-{birth}"), "labels": labels}}))
            .unwrap()
    }

    #[test]
    fn the_newest_birth_of_each_worker_counts() {
        let names = |pods: Vec<Pod>| -> Vec<String> { newest_of(pods).values().map(ResourceExt::name_any).collect() };
        // Births are numbers: the tenth comes after the ninth.
        assert_eq!(names(vec![pod(1, 9), pod(0, 1), pod(1, 10), pod(1, 2)]), ["mine-0-1", "mine-1-10"]);
        let mut strange = pod(0, 1);
        strange.labels_mut().remove(INDEX_LABEL);
        assert!(newest_of(vec![strange]).is_empty());
    }

    #[test]
    fn a_pod_that_waits_says_why() {
        let with = |status: serde_json::Value| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": "mine-0-1"}, "status": status})).unwrap()
        };
        assert_eq!(waits(&with(json!({"phase": "Running"}))), None);
        let unscheduled = with(json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available: insufficient cpu"}]}));
        assert_eq!(
            waits(&unscheduled).unwrap(),
            "pod mine-0-1 has not started: 0/3 nodes are available: insufficient cpu"
        );
        let image = with(json!({"phase": "Pending", "containerStatuses": [{
            "name": "trainer", "ready": false, "restartCount": 0, "image": "", "imageID": "",
            "state": {"waiting": {"reason": "ErrImagePull"}}}]}));
        assert!(waits(&image).unwrap().ends_with("ErrImagePull"));
    }
}
