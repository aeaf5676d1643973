//! The objects as they are sent, and that every pod meets the restricted profile of pod security.
use coalition_crds::site_run::SiteRunSpec;
use k8s_openapi::api::core::v1::PodSpec;
use serde_json::json;

use super::*;
use crate::samples::{self, SETTINGS as GOOD};

fn gang(shape: serde_json::Value) -> Gang {
    let site_run: SiteRunSpec = serde_json::from_value(samples::asked(shape)).unwrap();
    let mut gang = Gang::new("demo-0123456789", GangSpec { site_run, site_run_generation: 1 });
    gang.metadata.namespace = Some("training".to_owned());
    gang.metadata.uid = Some("uid-of-the-gang".to_owned());
    gang
}

const GATEWAY: &str = "http://coalition-gateway.coalition.svc:8470";

#[test]
fn a_worker_with_what_the_site_sets() {
    let settings = Settings::parse(GOOD).unwrap();
    let gang = gang(json!({"workers": 2, "cpuThreads": 1}));
    let input = Input { settings: &settings, gang: &gang, gateway: GATEWAY };
    let config = config_map(&input).unwrap();
    let name = config.metadata.name.clone().unwrap();
    insta::assert_yaml_snapshot!("config", config);
    insta::assert_yaml_snapshot!("pod", pod(&input, 1, 3, &name));
}

#[test]
fn a_worker_with_what_the_run_and_the_owner_ask_for() {
    let more = "worker:
  nodeSelector: {pool: training}
  tolerations: [{key: training, operator: Exists}]
  annotations: {example.org/team: a}
  runtimeClassName: gvisor
  terminationGracePeriodSeconds: 120
  resources: {requests: {cpu: 1}}
";
    let settings = Settings::parse(&format!("{GOOD}{more}")).unwrap();
    let resources = json!({"requests": {"cpu": "2", "memory": "4Gi"}, "limits": {"memory": "8Gi"}});
    let shape = json!({"workers": 1, "cpuThreads": 4, "image": "registry.example/trainer:2", "resources": resources, "priorityClassName": "founding"});
    let gang = gang(shape);
    let input = Input { settings: &settings, gang: &gang, gateway: GATEWAY };
    insta::assert_yaml_snapshot!("pod-overlay", pod(&input, 0, 1, "c"));
}

#[test]
fn a_data_set_that_the_site_lacks_is_named() {
    let mut settings = Settings::parse(GOOD).unwrap();
    settings.data_sets[0].name = "other".to_owned();
    let gang = gang(json!({"workers": 2, "cpuThreads": 1}));
    let refused = config_map(&Input { settings: &settings, gang: &gang, gateway: GATEWAY }).unwrap_err();
    assert_eq!(refused.to_string(), "data set words is not in the site's settings, which have: other");
}

/// The restricted profile of pod security, as Kubernetes publishes it, in so far as a pod of ours can offend it.
fn offends(spec: &PodSpec) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut must = |holds: bool, what| {
        if !holds {
            found.push(what);
        }
    };
    must(
        spec.host_network != Some(true) && spec.host_pid != Some(true) && spec.host_ipc != Some(true),
        "host namespaces",
    );
    for v in spec.volumes.iter().flatten() {
        let allowed = v.config_map.is_some() || v.empty_dir.is_some() || v.projected.is_some() || v.secret.is_some();
        must(allowed, "volume types");
    }
    let pod = spec.security_context.clone().unwrap_or_default();
    must(pod.run_as_user != Some(0), "root");
    must(pod.seccomp_profile.is_some_and(|s| s.type_ == "RuntimeDefault"), "seccomp");
    for c in &spec.containers {
        let s = c.security_context.clone().unwrap_or_default();
        must(s.privileged != Some(true), "privileged");
        must(s.allow_privilege_escalation == Some(false), "privilege escalation");
        must(s.run_as_non_root == Some(true) && s.run_as_user != Some(0), "root");
        let caps = s.capabilities.unwrap_or_default();
        must(caps.drop.is_some_and(|d| d.iter().any(|c| c == "ALL")) && caps.add.is_none(), "capabilities");
        must(c.ports.iter().flatten().all(|p| p.host_port.is_none()), "host ports");
    }
    found
}

#[test]
fn every_pod_meets_the_restricted_profile() {
    let settings = Settings::parse(GOOD).unwrap();
    let gang = gang(json!({"workers": 2, "cpuThreads": 1}));
    let mut spec = pod(&Input { settings: &settings, gang: &gang, gateway: GATEWAY }, 0, 1, "c").spec.unwrap();
    assert_eq!(offends(&spec), [] as [&str; 0]);
    assert_eq!(spec.automount_service_account_token, Some(false));
    spec.containers[0].security_context.as_mut().unwrap().allow_privilege_escalation = None;
    assert_eq!(offends(&spec), ["privilege escalation"], "the check can fail");
}
